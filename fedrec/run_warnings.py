"""What a reader of a run's figures must know first: sentences for the terminal, the report, the record and the card.

Public facts (how many users there are, which delta was promised) and sums that were paid for may stand on the card of a
private release.  What the simulator measured exactly may not: it is for ``run.json``, the terminal and the report,
which say that they are no publication (`fedrec.simulators_view`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LARGEST_DELTA: Final = 0.01
"""Above it, a promise may be void for one privacy unit in a hundred."""
FEWEST_USERS: Final = 50
"""Below it, a sum says little of many people, and noise that hides one of them hides the rest."""


def public_warnings(privacy: Mapping[str, Any], users: int) -> list[str]:
    """Of public facts alone: the ``privacy`` table of a run, and how many users there are."""
    said = []
    epsilon, delta = privacy.get("epsilon_released"), privacy.get("delta")
    if epsilon is not None and delta is not None and delta > LARGEST_DELTA:
        said.append(
            f"delta is {delta:.3g}, above {LARGEST_DELTA:g}: with a probability of up to 1 in {1 / delta:,.0f} the "
            f"promise of epsilon does not hold; set privacy.delta lower, or ask more users"
        )
    if users < FEWEST_USERS:
        promise = "there is no noise" if epsilon is None else "what noise leaves of them says little"
        said.append(
            f"{users:,} {'user takes' if users == 1 else 'users take'} part, fewer than {FEWEST_USERS}: sums over so "
            f"few are close to single people, and {promise}; take this run for a trial, neither its quality nor its "
            "privacy for what many users would get"
        )
    return said


def not_better_than_popularity(
    measures: Mapping[str, float | None], *, popularity: str = "popularity", measure: str = "HR@10", of: str = ""
) -> str | None:
    """A sentence where no candidate beats ranking by popularity; None where one does, or nothing can be compared.

    Args:
        measures: candidate's name to its measure, the higher the better; ``popularity`` among them, one other at least.
        popularity: the name of the candidate that ranks by popularity.
        measure: what was measured, as the sentence calls it.
        of: who measured it, at the end of the sentence, such as "by the private query selection".
    """
    others = {name: value for name, value in measures.items() if name != popularity and value is not None}
    level = measures.get(popularity)
    if level is None or not others:
        return None
    best = max(others, key=lambda name: others[name])
    if others[best] > level:
        return None
    return (
        f"{best} does not beat {popularity}: {measure} {others[best]:.3f} against {level:.3f}"
        f"{f', {of}' if of else ''}; popularity alone (preset popularity-only) ranks as well and needs less"
    )


def simulators_warnings(quality: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[str]:
    """Where the model does not beat private popularity, or popularity by exact counts; exact, the simulator's view.

    ``quality``, ``baselines``: as in ``run.json``.
    """
    own = _hit_rate(quality.get("loo-99neg"))
    # Exact counts rank better than noisy ones: who does not beat these need not be told of those.
    for name, words in _IN_WORDS.items():
        said = not_better_than_popularity({"this model": own, words: _hit_rate(baselines.get(name))}, popularity=words)
        if said is not None:
            return [said]
    return []


PRIVATE_POPULARITY: Final = "private popularity"
"""Among the baselines of ``run.json``: the counts with the noise that they would have for the whole budget."""
_IN_WORDS: Final = {
    PRIVATE_POPULARITY: "private popularity at the same epsilon",
    "popularity": "popularity by exact counts",
}


def _hit_rate(metrics: Any) -> float | None:
    found = metrics.get("hr@10") if isinstance(metrics, Mapping) else None
    return None if found is None else float(found)
