"""Pages need an extra; a run without it keeps everything else, and says what it left out."""

from __future__ import annotations

from typing import Final

from fedrec.console import Reporter
from fedrec.extras import EXTRAS, install_command, is_installed

EXTRA: Final = "report"
_MODULES: Final = ("jinja2", "markupsafe", "plotly")


def can_report(reporter: Reporter) -> bool:
    """Whether pages can be written here. If not, one line says that they are left out and how to have them."""
    if is_installed(*_MODULES):
        return True
    reporter.stage(f"  left out: {EXTRAS[EXTRA]}; to have them: {install_command(EXTRA)}")
    return False
