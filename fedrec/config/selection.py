"""Settings of the private selection: ways to read the paid sums among which the devices choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import Field, model_validator

from fedrec.config.base import Settings

JOINT: Final = " + "
"""Between the names of candidates that are taken together."""
MOST_CANDIDATES: Final = 64
"""Numbers that a user adds at most."""

# By section of ``collaborative``: what changes only how sums are read, and nothing of what is asked; None = all of it.
READING: Final[Mapping[str, frozenset[str] | None]] = {
    "prior": frozenset({"weight"}),
    "solver": None,
    "scoring": None,
    "fold_in": None,
    "power_iteration": frozenset({"scale"}),
}


# Settings that pull at the same thing: two of their changes do not add up, and may overshoot together.
_TOPICS: Final[Mapping[str, str]] = {
    "scoring.discount": "popular items",
    "scoring.popularity_weight": "popular items",
    "fold_in.flattening": "popular items",
    "prior.weight": "how far sums are believed",
    "solver.ridge": "how far sums are believed",
    "power_iteration.scale": "how far sums are believed",
}


class SelectionSettings(Settings):
    """The devices choose among ways to read the sums that were paid for, by one more private sum, see
    `fedrec.queries.selection`; not asked without candidates."""

    candidates: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        max_length=MOST_CANDIDATES,
        description="name of a candidate to what it changes under collaborative, in tables: prior.weight, solver, "
        "scoring, fold_in (false = none) and power_iteration.scale; {} = nothing",
    )
    default: str = Field(
        default="", description="the candidate that is taken where the sum says too little; needed with candidates"
    )
    clip: float = Field(
        default=0.2,
        gt=0,
        le=8,
        description="L2 bound of a user's numbers, one a candidate: its NDCG@10 less the default's, by half of this at "
        "most, centred over the candidates",
    )
    caution: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="without combine: another than the default is taken where it is better by more than this many "
        "standard deviations of what is known of their difference",
    )
    combine: bool = Field(
        default=False,
        description="beside one candidate, take the changes of all that are better than the default and change one "
        "setting each, about different things: as many ways to read the sums as there are combinations, for one number "
        "a change",
    )
    content_columns: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="columns of the content kernel that devices get to read power iteration with, those that say most",
    )

    @property
    def asked(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.candidates)

    @model_validator(mode="after")
    def _candidates_are_readings(self) -> SelectionSettings:
        if not self.candidates:
            if self.default:
                raise ValueError("selection.default names a candidate, and there are no selection.candidates")
            return self
        if len(self.candidates) < 2:
            raise ValueError("selection.candidates needs two candidates at least, or none")
        if split := sorted(name for name in self.candidates if not name or JOINT.strip() in name):
            raise ValueError(f"selection.candidates: a name is not empty and has no {JOINT.strip()!r} in it: {split}")
        if self.default not in self.candidates:
            raise ValueError(f"selection.default must be one of the candidates {sorted(self.candidates)}")
        for name, tree in self.candidates.items():
            if unknown := sorted(_not_reading(tree)):
                raise ValueError(
                    f"selection.candidates.{name} changes what is asked, or nothing that there is: {unknown}; a "
                    "candidate may change prior.weight, solver, scoring, fold_in and power_iteration.scale"
                )
        return self


def joined_name(names: Iterable[str]) -> str:
    """How several candidates taken together are called."""
    return JOINT.join(names)


def parts_of(name: str) -> list[str]:
    """The candidates that a name stands for, one or several taken together."""
    return name.split(JOINT)


def topics_of(tree: Mapping[str, Any]) -> frozenset[str]:
    """What a candidate's changes are about: settings with dots, or what several of them have in common."""
    return frozenset(_TOPICS.get(key, key) for key in changed_keys(tree))


def changed_keys(tree: Mapping[str, Any]) -> frozenset[str]:
    """The settings that a candidate changes, with dots."""
    return frozenset(
        key
        for section, change in tree.items()
        for key in ([f"{section}.{name}" for name in change] if isinstance(change, Mapping) else [section])
    )


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings tree of ``collaborative`` with a candidate's changes; ``fold_in`` false stands for none."""
    found = dict(tree)
    for name, change in changes.items():
        beside = found.get(name)
        if isinstance(change, Mapping):
            found[name] = {**(beside if isinstance(beside, Mapping) else {}), **change}
        else:
            found[name] = None
    return found


def _not_reading(tree: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a candidate that it may not change, or that are no table."""
    for section, change in tree.items():
        if section not in READING:
            yield section
        elif not isinstance(change, Mapping):
            if section != "fold_in" or change not in (None, False):
                yield section
        elif (allowed := READING[section]) is not None:
            yield from (f"{section}.{key}" for key in change if key not in allowed)
