"""The model card: what a release was trained on, how good it is, what privacy was promised, and what it cannot do.

The sections follow Mitchell et al., "Model cards for model reporting" (FAT* 2019), section 4. Every figure comes from
the facts given; what was not measured says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fedrec.privacy.simulated import first_line
from fedrec.simulators_view import simulators_view

NOT_MEASURED = "not measured"
LIMITS = (
    "It ranks items of the catalogue it was made with, and new items encoded with the encoders in this release; "
    "content of another kind ranks poorly.",
    "Differential privacy bounds what the release tells about one privacy unit. It does not hide what is true of many "
    "people, and it promises nothing about what a device shows on its own screen.",
    "Popular items are favoured to the degree that the interactions favoured them; compare coverage and diversity.",
    "Quality was measured offline, on held-out interactions, which says little about what people would do when shown "
    "other lists.",
)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


_EXACT: Final = f"{simulators_view('Quality')}.\n\n"


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. All mappings are JSON-able; None means that a figure does not apply or was not measured.

    Args:
        name: of the release.
        created_at: UTC as ``2026-11-22T05:00:00Z``.
        data: what it was trained on, such as name, users, items, interactions.
        model: such as preset, modalities, parameters_shared, parameters_private.
        quality: the ``quality`` table of ``run.json``.
        exact_quality: whether a simulator measured it, which the card then says.
        privacy: the ``privacy`` table of ``run.json``, or the whole privacy statement.
        aggregation: the ``secure_aggregation`` table of ``run.json``.
        limits: what a reader should know beyond `LIMITS`.
        warnings: what a reader must know first, a sentence each, see `fedrec.run_warnings`.
    """

    name: str
    created_at: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    quality: Mapping[str, Any]
    privacy: Mapping[str, Any]
    aggregation: Mapping[str, Any] = field(default_factory=dict)
    limits: Sequence[str] = ()
    exact_quality: bool = False
    warnings: Sequence[str] = ()


def model_card(facts: CardFacts) -> str:
    """The card as Markdown. Text from outside (names of data sets) is escaped and cannot change its structure."""
    simulated = first_line(facts.privacy)
    parts = [
        *([f"**{_text(simulated)}**\n"] if simulated else []),
        f"# {_text(facts.name)}\n",
        *(f"**Warning: {_text(warning)}.**\n" for warning in facts.warnings),
        f"A federated multimodal recommender released by fedrec on {_text(facts.created_at)}. It ranks on the device, "
        "without a network. Its files hold no interaction, note or photo of anybody.\n",
        _section("Trained on", facts.data),
        _section("Model", facts.model),
        _section("Quality on held-out interactions", facts.quality, _EXACT if facts.exact_quality else ""),
        "## Privacy\n\n" + _promise(facts.privacy) + "\n\n" + _table(facts.privacy),
        _section("Secure aggregation", facts.aggregation),
        "## Limits\n\n" + "".join(f"- {limit}\n" for limit in (*LIMITS, *map(_text, facts.limits))),
    ]
    return "\n".join(parts)


def _promise(privacy: Mapping[str, Any]) -> str:
    """The two epsilons in a sentence each, or that there is no promise."""
    unit, delta = _text(privacy.get("unit") or "unit"), privacy.get("delta")
    released, server = privacy.get("epsilon_released"), privacy.get("epsilon_server")
    if released is None and server is None:
        return "**No differential privacy is promised:** this release was made without noise."
    said = []
    if released is not None:
        said.append(
            f"Whoever holds the release learns about one {unit} at most what epsilon = {_shown(released)} at delta = "
            f"{_shown(delta)} allows."
        )
    if server is None:
        said.append("**Against the server that took part in the training nothing is promised.**")
    else:
        said.append(f"The server itself is held to epsilon = {_shown(server)} at the same delta.")
    if privacy.get("adjacency"):
        said.append(f"What is protected is the difference that it makes when {_text(privacy['adjacency'])}.")
    return " ".join(said)


def _section(title: str, facts: Mapping[str, Any], before: str = "") -> str:
    return f"## {title}\n\n{before}{_table(facts)}"


def _table(facts: Mapping[str, Any]) -> str:
    rows = [f"| {_text(name)} | {_shown(value)} |\n" for name, value in _flat(facts)]
    return "| | |\n|---|---|\n" + "".join(rows) if rows else f"{NOT_MEASURED}\n"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(name)}: {_shown(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "; ".join(_shown(part) for part in value) or "none"
    return _text(value)


def _text(value: object) -> str:
    """One line of plain text, with everything that Markdown or HTML would read as markup escaped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return _SPECIAL.sub(r"\\\1", line)
