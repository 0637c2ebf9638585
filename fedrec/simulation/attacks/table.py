"""The table of attacks and defences: filled cell by cell, kept after each, so that a run that was cut off goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from fedrec.console import DASH, Reporter, figure, jsonable
from fedrec.errors import FedrecError, StoreError
from fedrec.simulation.attacks.result import DEFENCES, Attack, AttackResult, Defence

FILE: Final = "attacks.json"
HEADINGS: Final[Mapping[Defence, str]] = {
    "plain": "plain averaging",
    "secagg": "secure aggregation",
    "user-dp-8": "user-level epsilon 8",
    "user-dp-1": "user-level epsilon 1",
}
_SCHEMA: Final = 1


@dataclass
class AttackTable:
    """Results by attack and defence, and the file they are kept in.

    Args:
        path: of the file.
        key: what the figures depend on (settings, data, seed): a file of another key is refused.
        facts: what else the file says.
    """

    path: Path
    key: str
    facts: Mapping[str, Any]
    cells: dict[tuple[str, str], AttackResult] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, key: str, facts: Mapping[str, Any]) -> AttackTable:
        """An empty table, or what the file holds.

        Raises:
            StoreError: the file is not one of these, or of other settings, data or seed.
        """
        table = cls(path, key, facts)
        if not path.exists():
            return table
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["schema"] != _SCHEMA:
                raise ValueError(f"schema {kept['schema']}")
            same, results = kept["key"] == key, [AttackResult(**result) for result in kept["results"]]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path.name} cannot be read: {error}", action="Use another --out directory") from None
        if not same:
            raise StoreError(
                f"{path.name} is of other settings, data or another seed", action="Use another --out directory"
            )
        table.cells = {(result.attack, result.defence): result for result in results}
        return table

    def content(self) -> dict[str, Any]:
        """What the file holds, JSON-able."""
        return {
            "schema": _SCHEMA,
            "key": self.key,
            **self.facts,
            "results": [asdict(result) for result in self.cells.values()],
            "failed": [{"attack": a, "defence": d, "reason": reason} for (a, d), reason in self.failed.items()],
        }

    def keep(self, result: AttackResult) -> None:
        """Put a cell in, and write the file in one step."""
        self.cells[result.attack, result.defence] = result
        self._write()

    def fail(self, attack: str, defence: str, reason: str) -> None:
        """Say why a cell stays empty; it is tried again next time."""
        self.failed[attack, defence] = reason
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".part")
        scratch.write_text(json.dumps(jsonable(self.content()), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        scratch.replace(self.path)

    @property
    def attacks(self) -> list[str]:
        """The rows, in the order of their first cell."""
        return list(dict.fromkeys(attack for attack, _ in [*self.cells, *self.failed]))

    @property
    def defences(self) -> list[Defence]:
        """The columns, in the order of strength."""
        return [one for one in DEFENCES if any(one == defence for _, defence in [*self.cells, *self.failed])]

    def row(self, attack: str) -> tuple[str, str, str, list[str]]:
        """Name, metric, the figure of chance, and a text a column."""
        cells = [self.cells.get((attack, defence)) for defence in self.defences]
        some = next((cell for cell in cells if cell is not None), None)
        chance = DASH if some is None else figure(some.chance)
        return attack, DASH if some is None else some.metric, chance, [cell_text(cell) for cell in cells]

    def notes(self) -> list[tuple[str, str]]:
        """For each attack and defence what the adversary saw, or why there is no figure."""
        found = [(f"{attack}, {HEADINGS[r.defence]}", r.note) for (attack, _), r in self.cells.items()]
        return found + [(f"{attack}, {defence}", reason) for (attack, defence), reason in self.failed.items()]

    def markdown(self) -> str:
        """The table as a Markdown page."""
        head = ["attack", "figure", "chance", *(HEADINGS[one] for one in self.defences)]
        lines = ["# Attacks on ourselves", "", _line(head), _line(["---"] * len(head))]
        for attack in self.attacks:
            name, metric, chance, cells = self.row(attack)
            lines.append(_line([name, metric, chance, *cells]))
        lines += ["", "In brackets: 95% interval. What the adversary saw:", ""]
        lines += [f"- {_safe(where)}: {_safe(note)}" for where, note in self.notes()]
        return "\n".join(lines) + "\n"


def fill(
    table: AttackTable,
    attacks: Sequence[Attack],
    defences: Sequence[Defence],
    study: Any,
    config: Any,
    *,
    seed: int,
    reporter: Reporter,
) -> None:
    """Run what the table lacks. An attack that cannot be run on this data leaves its cell empty, with the reason."""
    wanted = [(attack, defence) for attack in attacks for defence in defences]
    for number, (attack, defence) in enumerate(wanted):
        if (attack.name, defence) in table.cells:
            continue
        reporter.stage(f"{attack.name} against {HEADINGS[defence]} ({number + 1} of {len(wanted)})")
        try:
            table.keep(attack.run(study, config, defence, seed=seed, reporter=reporter))
        except FedrecError as error:
            table.fail(attack.name, defence, str(error))


def cell_text(result: AttackResult | None) -> str:
    """A figure with its interval; a dash where there is none."""
    if result is None:
        return DASH
    return f"{figure(result.value)} [{figure(result.low, 2)}, {figure(result.high, 2)}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_safe(cell) for cell in cells) + " |"


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
