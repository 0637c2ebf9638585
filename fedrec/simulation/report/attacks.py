"""The attack table as a page of its own, or as a section of a run's report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from fedrec.html.templates import environment, style_sheet
from fedrec.privacy.simulated import SIMULATED
from fedrec.simulation.attacks.table import HEADINGS, AttackTable
from fedrec.simulation.report import page

_BEGIN: Final = "<!-- attacks: begin -->"
_END: Final = "<!-- attacks: end -->"
_SECTION: Final = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}\n?", re.DOTALL)


def write_attacks(out: Path, table: AttackTable, *, name: str) -> Path:
    """Write the table into ``out/report.html`` and return its path.

    Where ``out`` is the directory of a run, its report gets (or has replaced) a section with the table; else the page
    is written anew, with a chart.

    Raises:
        OSError: the file cannot be written.
    """
    path = out / "report.html"
    section = _section(table)
    run_report = (out / "run.json").exists() and path.exists()
    text = _inserted(path.read_text(encoding="utf-8"), section) if run_report else _page(table, section, name)
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return path


def _section(table: AttackTable) -> str:
    drawn = environment().from_string(page.resource("attacks.section.html.j2"))
    rows = [table.row(attack) for attack in table.attacks]
    body = drawn.render(headings=[HEADINGS[one] for one in table.defences], rows=rows, notes=table.notes())
    return f"{_BEGIN}\n{body}\n{_END}\n"


def _inserted(report: str, section: str) -> str:
    """The report with the section at the end of its main part, in place of an earlier one."""
    without = _SECTION.sub("", report)
    before, main, after = without.rpartition("</main>")
    return before + section + main + after


def _page(table: AttackTable, section: str, name: str) -> str:
    library, own = page.plotly(), page.resource("attacks.js")
    return (
        environment()
        .from_string(page.resource("attacks.html.j2"))
        .render(
            name=name,
            about=SIMULATED,
            policy=page.policy(library, own),
            style=Markup(style_sheet()),
            section=Markup(section),
            library=Markup(library),
            script=Markup(own),
            chart_json=Markup(page.script_json(_bars(table))),
        )
    )


def _bars(table: AttackTable) -> list[dict[str, Any]]:
    """A series a defence: a bar an attack, with its interval."""
    series = []
    for defence in table.defences:
        cells = [cell for (_, against), cell in table.cells.items() if against == defence]
        series.append(
            {
                "name": HEADINGS[defence],
                "x": [f"{cell.attack} ({cell.metric})" for cell in cells],
                "y": [cell.value for cell in cells],
                "above": [cell.high - cell.value for cell in cells],
                "below": [cell.value - cell.low for cell in cells],
            }
        )
    return series
