"""The page of rivals: two tables a data set, fedrec's own lines from the ``run.json`` of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.console import DASH
from fedrec.errors import DataError
from simulations.benchmarks.many_runs import rows_as_markdown
from simulations.benchmarks.rivals_study import over_seeds

Record = Mapping[str, Any]
Tables = dict[str, dict[str, list[dict[str, Any]]]]  # of each data set: ``private`` and ``central`` records
_FIGURES: Final = ("hr", "ndcg", "full_hr", "full_ndcg")
_FOUR: Final = ("HR@10", "NDCG@10", "HR@10 of all", "NDCG@10 of all")
_ABOUT: Final = """\
# Rivals on the same files and by the same protocol

The test item against the file's 99 negatives, and against all that the user did not touch; measured by
`fedrec.ranking.protocols`, as fedrec is (ties count half). `±` is the standard error over users. When a rival ranks for
the test item it has the validation item in the user's history, as fedrec's devices have. Settings are chosen by the
NDCG@10 of the validation item, never by the test item. For the rivals that choice is in no epsilon, which is in their
favour wherever fedrec's own selection is inside its epsilon; of tuned configs (`*-fedrec-eps*`) it is not either.

**Private and federated.** User level, delta = users^-1.1, epsilon by the exact composition of Gaussian releases in
which every user takes part. Mean over seeds; `sd` is the standard deviation of HR@10 over them. Our own
implementations, in numpy:

- *private ALS* (`private_als.py`): Chien et al. 2021 with the adaptive weights of Krichene et al. 2023 (count^-p, p
  searched), head items, the share of the budget and of the bound for each part of a sum searched. No content, no order.
- *private ALS, item features*: the same with public features as Curmei et al. 2023 factorise them beside; the features
  are fedrec's own of text, attributes and picture, joined as its content prior joins them. When a user ranks, later
  events may weigh more (on files with an order), as fedrec's recency does.
- *personal scores (PFedRec)* (`federated_scores.py`): Zhang et al. 2023, item vectors averaged over devices, a score
  function on each; with noise, user-level DP federated averaging (McMahan et al. 2018), every device in every round.

fedrec's lines are runs of `fedrec simulate`, named by `run.name`. Where the name says *LSA texts*, the config of
that name ran with encoders that need no download (`--set content.text.encoder=lsa --set content.text.dimension=256
--set content.image.encoder=statistics`). A rival without a row on a data set was not run there.

Each budget's settings are the best of so many tries: two of private ALS found by hand on ml1m-mm, what was best at
other budgets and on other sets, then a fifth at random and the rest near the best. With noise the 4 best (2 of
personal scores, and of what was searched on lfm2k-mm) are tried with 3 other draws of it and the best mean is
taken. Some tries were made before ranges and rule were what they are: about 50 of ml1m-mm's at epsilon 8, and 90 of
ml100k-mm's where 150 are stated. While settings were sought by hand, test figures of about 15 of them were seen on
ml1m-mm: in private ALS's favour. That rivals had fewer tries than fedrec's tuned configs (`docs/figures.md`) is
not: rows of few tries, those of personal scores above all, may be better with more. The settings stand in
`rivals_settings.json`; without a data set's entry there the search is done anew.

**Central, without privacy.** Trained by Cornac and RecBole in environments of their own, one seed, one thread. The
chosen settings are trained again with the validation items among the training items, which fedrec's training never
sees: in the rivals' favour. *Unseen* is what they reach without: the validation item then is neither trained on nor
known when they rank. VBPR reads fedrec's text and picture features.
"""

_COMMAND: Final = """\
`python -m simulations.benchmarks.rivals {names} --out DIR --environments DIR --ours RUN.json ...`
runs what `--rivals` names, all by default. With `--records simulations/benchmarks/rivals.json --ours RUN.json ...`
and no data set the same command puts other lines of fedrec beside the rivals' records and runs nothing."""


def ours(paths: Iterable[Path]) -> dict[str, list[dict[str, Any]]]:
    """fedrec's records by data set: runs of one data set, name and epsilon are seeds of one another.

    Raises:
        DataError: a file is no ``run.json`` of a measured run.
    """
    found: dict[tuple[str, str, float | None], list[dict[str, Any]]] = {}
    for path in paths:
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            few, full = run["quality"]["loo-99neg"], run["quality"]["loo-full"]
            place = (run["data"]["name"], run["config"]["run"]["name"], run["config"]["privacy"]["epsilon"])
            figures = {
                f"{prefix}{ours}": table[theirs]
                for prefix, table in (("", few), ("full_", full))
                for ours, theirs in (
                    ("hr", "hr@10"),
                    ("ndcg", "ndcg@10"),
                    ("hr_error", "hr@10-error"),
                    ("ndcg_error", "ndcg@10-error"),
                )
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                "not the run.json of a measured run", path=path, action="Give files that `fedrec simulate` wrote"
            ) from error
        found.setdefault(place, []).append(figures)
    tables: dict[str, list[dict[str, Any]]] = {}
    for (data, name, epsilon), runs in found.items():
        record = {"rival": f"**fedrec**, `{name}`", "epsilon": epsilon, "seeds": len(runs), "quality": over_seeds(runs)}
        tables.setdefault(data, []).append(record)
    return tables


def joined(before: Tables, more: Tables) -> Tables:
    """Both; a record of ``more`` takes the place of one of the same rival and budget."""
    found = {name: {kind: list(records) for kind, records in kinds.items()} for name, kinds in before.items()}
    for name, kinds in more.items():
        for kind, records in kinds.items():
            new = {(one["rival"], one.get("epsilon")) for one in records}
            place = found.setdefault(name, {})
            kept = [one for one in place.get(kind, []) if (one["rival"], one.get("epsilon")) not in new]
            place[kind] = kept + list(records)
    return found


def markdown(tables: Mapping[str, Mapping[str, Sequence[Record]]]) -> str:
    """The page, of each data set's records: ``private`` (fedrec's own among them) and ``central``."""
    lines = [_ABOUT, _COMMAND.format(names=" ".join(tables)), ""]
    versions = {
        package: number
        for kinds in tables.values()
        for one in kinds.get("central", ())
        for package, number in one["versions"].items()
        if package in ("cornac", "dgl", "recbole")
    }
    if versions:
        lines += [", ".join(f"{package} {number}" for package, number in versions.items()) + ".", ""]
    for name, kinds in tables.items():
        lines += [f"## {name}", ""]
        if private := kinds.get("private"):
            head: tuple[str, ...] = ("rival", "epsilon", *_FOUR, "sd", "seeds", "tries", "CPU seconds")
            lines += [*rows_as_markdown(head, [_private_row(one) for one in ordered(private)], 2), ""]
        if central := kinds.get("central"):
            head = ("central, no privacy", "settings", *_FOUR, "unseen", "tries", "CPU seconds")
            rows = [_central_row(one) for one in sorted(central, key=lambda one: float(one["quality"]["ndcg"]))]
            lines += [*rows_as_markdown(head, rows, 2), ""]
    return "\n".join(lines)


def ordered(records: Sequence[Record]) -> list[Record]:
    """By budget, none first, then by NDCG@10."""
    budget = [(-float("inf") if one["epsilon"] is None else -float(one["epsilon"])) for one in records]
    places = sorted(range(len(records)), key=lambda at: (budget[at], float(records[at]["quality"]["ndcg"])))
    return [records[at] for at in places]


def _private_row(one: Record) -> list[str]:
    epsilon = "no noise" if one["epsilon"] is None else f"{one['epsilon']:g}"
    spread = one["quality"].get("seed_hr")
    seconds = DASH if "cpu_seconds" not in one else f"{one['cpu_seconds']:.0f}"
    end = [DASH if spread is None else _short(spread), str(one["seeds"]), str(one.get("tried", DASH)), seconds]
    return [one["rival"], epsilon, *_four(one["quality"]), *end]


def _central_row(one: Record) -> list[str]:
    settings = ", ".join(f"{name}={value}" for name, value in one["settings"].items()) or "defaults"
    unseen = " / ".join(_short(one["quality_unseen"][name]) for name in ("hr", "ndcg"))
    return [one["rival"], settings, *_four(one["quality"]), unseen, str(one["tried"]), f"{one['cpu_seconds']:.0f}"]


def _four(quality: Record) -> list[str]:
    return [f"{_short(quality[name])} ± {_short(quality[f'{name}_error'])}" for name in _FIGURES]


def _short(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}".removeprefix("0")
