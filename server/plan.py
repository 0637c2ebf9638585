"""What a run will ask and what each query may cost: as devices reckon it too, see `fedrec.privacy.run_plan`."""

from __future__ import annotations

from fedrec.privacy.run_plan import (
    bands_of,
    delta_of,
    first_rounds,
    rounds_of,
    rows_of,
    separation_of,
    share_of,
    spends_of,
)

__all__ = ["bands_of", "delta_of", "first_rounds", "rounds_of", "rows_of", "separation_of", "share_of", "spends_of"]
