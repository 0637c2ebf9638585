"""Three ways to choose settings inside the same epsilon, by what the choice costs in quality.

    python -m simulations.benchmarks.selection DATA [DATA ...] --out FILE.md [--epsilon 8 3 1] [--seeds 0 1]

For each data set, epsilon and seed the sums are paid for once, with 0.95 of the budget (in 1/z^2).  Sixteen readings of
them are scored on each user's validation item, as query ``selection`` asks, and with open eyes on the test items.  Each
way of choosing is then drawn 400 times with the noise that the other 0.05 leaves it, on the same numbers:
`simulations.benchmarks.selection_rivals` has the ways.  ``--keep`` keeps what was measured, so that it is not measured
twice.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.reading import read
from fedrec.config import Config, from_tree
from fedrec.console import open_reporter, say
from fedrec.content.fit import fit_to_content
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.device.encoder import EncoderContext
from fedrec.queries.device.selection import SelectionEncoder, expected_gains
from fedrec.queries.plan import budget_of
from fedrec.queries.request import Request
from fedrec.queries.schedule import make_request
from fedrec.queries.selection import SELECTION
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import quality_of
from fedrec.simulation.run import settled
from fedrec.simulation.study import Study, prepare
from simulations.benchmarks.selection_rivals import WAYS, Stake

Floats = NDArray[np.float64]
SHARE: Final = 0.05
DRAWS = 400
DEFAULT: Final = "prior 1, discount .3, fold-in"
REPEATS = 40
FEW: Final = (50, 100, 300)
_RANK: Final = {8.0: 24, 3.0: 16, 1.0: 8}
_BLOCK: Final = 256


def candidates() -> dict[str, dict[str, Any]]:
    """Sixteen readings: weight of the prior, discount, fold-in, recency; and popularity."""
    found: dict[str, dict[str, Any]] = {}
    for prior, discount, folded in itertools.product((0.3, 1.0, 3.0), (0.0, 0.3), (False, True)):
        name = f"prior {prior:g}, discount {discount:g}".replace("0.", ".") + (", fold-in" if folded else "")
        found[name] = {
            "prior": {"weight": prior},
            "scoring": {"discount": discount},
            "fold_in": {"weight": 0.5, "unknown": 0.1} if folded else False,
        }
    for prior in (0.3, 1.0, 3.0):
        changes = found[f"prior {prior:g}, discount .3, fold-in".replace("0.", ".")]
        scoring = {**changes["scoring"], "recency": 0.75}
        found[f"prior {prior:g}, recent first".replace("0.", ".")] = {**changes, "scoring": scoring}
    found["popularity"] = {"scoring": {"personal": False, "popularity_weight": 1.0}}
    return found


def config_of(epsilon: float, seed: int) -> Config:
    """Settings that belong to no data set: of what is asked, only the rank follows from epsilon."""
    power = {"enabled": True, "steps": 1, "rank": _RANK.get(epsilon, 16), "scale": 1.0}
    prior = {"weight": 1.0, "modalities": {"text": 0.7, "attributes": 0.8, "image": 0.1}, "sharpness": 1.5}
    return from_tree(
        {
            "run": {"seed": seed, "name": "selection"},
            "content": {"modalities": ["text", "image", "attributes"], "text": {"dimension": 256}},
            "model": {"tower": False},
            "collaborative": {
                "cooccurrence": {"enabled": False},
                "power_iteration": power,
                "prior": prior,
                "solver": {"ridge": 20.0},
                "scoring": {"weight": 1.0},
                "selection": {"candidates": candidates(), "default": DEFAULT},
            },
            "privacy": {
                "epsilon": epsilon,
                "shares": {"popularity": 0.15, "directions": 0.2, "factors": 0.6, "selection": SHARE},
            },
            "speed": {"threads": 1},
        }
    )


@dataclass(frozen=True)
class Measured:
    """What there is to choose from, all as arrays.

    ``gains``: [users, K], what a device knows of each candidate; rows of zeros where nothing is held out.  ``hr``,
    ``ndcg``: [K], on test items, with open eyes.  ``facts``: z of a Gaussian release of the whole budget, epsilon,
    delta, and the bytes that a device got.
    """

    gains: Floats
    hr: Floats
    ndcg: Floats
    facts: Floats

    @property
    def stake(self) -> Stake:
        """What a way of choosing is given."""
        z, epsilon, delta, _ = map(float, self.facts)
        collaborative = config_of(epsilon, 0).collaborative
        trees = {name: collaborative.candidate(name).model_dump(mode="json") for name in candidates()}
        return Stake(self.gains, trees, list(trees).index(DEFAULT), z, epsilon, delta, SHARE)


def measure(config: Config, study: Study) -> Measured:
    """Pay for the sums, and look at every candidate."""
    users = len(study.population)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Ledger.open(Path(scratch) / "ledger.sqlite", budget_of(config, users)) as ledger,
        ServerState(None, "selection") as kept,
    ):
        devices = CohortDevices(config, study.features, study.population)
        run = FederatedRun(config, study.features, devices, ledger, kept, lambda event: None)
        run.run()
        sums, said = run.state.sums, SELECTION.broadcast(run.state, 0)
    request = make_request(SELECTION, config, 0, said, users, study.features)
    quality = []
    for name in config.collaborative.selection.candidates:
        chosen = config.choosing(name)
        factors = read(sums, chosen.collaborative, study.features)
        quality.append(quality_of(chosen, study, None, factors).loo_99neg)
    epsilon, delta = config.privacy.epsilon, delta_of(config, users)
    assert epsilon is not None
    down = sum(array.nbytes for array in said.arrays.values())
    return Measured(
        gains_of(config, study, request),
        np.array([one.hr for one in quality], np.float64),
        np.array([one.ndcg for one in quality], np.float64),
        np.array([gaussian_noise(epsilon, delta), epsilon, delta, down]),
    )


def gains_of(config: Config, study: Study, request: Request) -> Floats:
    """Every user's numbers, [users, K], before they are centred and clipped."""
    scorers = SelectionEncoder(EncoderContext(config, study.features)).candidates(request)
    users = len(study.population)
    blocks = (np.arange(start, min(start + _BLOCK, users)) for start in range(0, users, _BLOCK))
    return np.concatenate([expected_gains(scorers, study.population.take(block)) for block in blocks])


def all_measured(
    data: Path, epsilons: Sequence[float], seeds: Sequence[int], keep: Path
) -> dict[float, list[Measured]]:
    """By epsilon, a measure for each seed; from ``keep`` where it lies there."""
    found: dict[float, list[Measured]] = {epsilon: [] for epsilon in epsilons}
    study: Study | None = None
    for epsilon, seed in itertools.product(epsilons, seeds):
        path = keep / f"{data.name}-{epsilon:g}-{seed}.npz"
        if not path.exists():
            config = settled(config_of(epsilon, seed))
            if study is None:
                with open_reporter(silent=True) as reporter:
                    study = prepare(config, data, reporter)
            one = measure(fit_to_content(config, study.features)[0], study)
            np.savez(path, gains=one.gains, hr=one.hr, ndcg=one.ndcg, facts=one.facts)
            say(f"{data.name}, epsilon {epsilon:g}, seed {seed}: measured")
        found[epsilon].append(Measured(**np.load(path)))
    return found


def lines_of(data: str, found: Mapping[float, Sequence[Measured]]) -> Iterator[str]:
    """The rows of a data set in both tables' first one: HR@10 on test items by way of choosing."""
    for epsilon, several in found.items():
        rows = [_row(one) for one in several]
        cells = " | ".join(f"{abs(value):.4f}" for value in np.mean(rows, axis=0).round(4))
        yield f"| {data} | {len(several[0].gains):,} | {epsilon:g} | {cells} |"


def _row(one: Measured) -> list[float]:
    known = one.gains.mean(axis=0)
    drawn = [float(one.hr[way(one.stake, DRAWS)].mean()) for way in WAYS.values()]
    return [float(one.hr[one.stake.default]), *drawn, float(one.hr[known.argmax()]), float(one.hr.max())]


def lost_lines(data: str, found: Mapping[float, Sequence[Measured]]) -> Iterator[str]:
    """What choosing costs on the items it is made by: NDCG@10 below the best candidate, by number of users."""
    for epsilon, several in found.items():
        for users in (*FEW, len(several[0].gains)):
            rows = [_lost(one, users) for one in several]
            cells = " | ".join(f"{abs(value):.4f}" for value in np.mean(rows, axis=0).round(4))
            yield f"| {data} | {users:,} | {epsilon:g} | {cells} |"


def _lost(one: Measured, users: int) -> Floats:
    truth, rng = one.gains.mean(axis=0), np.random.default_rng(users)
    rows = []
    whole = users == len(one.gains)
    for _ in range(1 if whole else REPEATS):
        some = one.gains if whole else one.gains[rng.choice(len(one.gains), users, replace=False)]
        stake = one.stake.of_users(some)
        draws = DRAWS if whole else DRAWS // REPEATS
        rows.append([truth[stake.default], *(truth[way(stake, draws)].mean() for way in WAYS.values())])
    return np.asarray(truth.max() - np.mean(rows, axis=0))


def markdown(tables: Mapping[str, Mapping[float, Sequence[Measured]]], command: str, seeds: int) -> str:
    """The page."""
    head = "| data | users | epsilon | default | " + " | ".join(WAYS) + " |"
    lines = [
        "# Choosing settings inside epsilon",
        "",
        f"`{command}`; mean of {seeds} seeds. How it is done:",
        "`simulations/benchmarks/selection.py`; the ways of choosing: `simulations/benchmarks/selection_rivals.py`.",
        "Sixteen candidates, 0.05 of the budget (in 1/z²) for the choice, which is inside epsilon, at user level,",
        "delta N^-1.1.",
        "",
        "HR@10 on test items against 99 negatives, mean over draws of the choice's noise. `validation, no noise`: the",
        "best on validation items, looked at without noise, which is what every way aims at. `test`: the best on the",
        "test items.",
        "",
        head + " validation, no noise | test |",
        "|---|---:|---:|" + "---:|" * (len(WAYS) + 3),
        *(line for data, found in tables.items() for line in lines_of(data, found)),
        "",
        "NDCG@10 that a choice loses on the items it is made by, against the best candidate there; of fewer users,",
        "drawn from the same ones, with the noise that so many users have at this epsilon.",
        "",
        head,
        "|---|---:|---:|" + "---:|" * (len(WAYS) + 1),
        *(line for data, found in tables.items() for line in lost_lines(data, found)),
        "",
        "A device gets "
        + ", ".join(
            f"{max(one.facts[3] for several in found.values() for one in several) / 1e6:.2f} MB ({data})"
            for data, found in tables.items()
        )
        + " to read all candidates with.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[8.0, 3.0, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        keep = asked.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        tables = {data.name: all_measured(data, asked.epsilon, asked.seeds, keep) for data in asked.data}
    names = " ".join(data.name for data in asked.data)
    seeds, epsilons = (" ".join(f"{one:g}" for one in several) for several in (asked.seeds, asked.epsilon))
    command = f"python -m simulations.benchmarks.selection {names} --epsilon {epsilons} --seeds {seeds} --out FILE.md"
    asked.out.write_text(markdown(tables, command, len(asked.seeds)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
