"""The mark of what only a simulator sees: quality measured on everybody's held-out items, and losses.

A simulation holds all data in one process and measures exactly.  No sum was asked for such figures, no noise is in
them and no epsilon covers them; published beside a private release they would say what the release hides.  A deployment
has nothing but `fedrec.queries.metrics` and `fedrec.queries.validation`, sums with noise.  So every place that
shows such a figure says this, in these words.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "simulator's view"
KEY: Final = "simulators_view"
"""In ``run.json``, in each line of its ``events.jsonl`` and in ``sweep.json``."""


def simulators_view(what: str) -> str:
    """The sentence about ``what``, such as "Quality"."""
    return (
        f"{what}: {MARK}, exact and outside of epsilon; no deployment has it, and it is not for publication beside a "
        "private release"
    )
