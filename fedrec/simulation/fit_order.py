"""Settings about the order of events held to the data that there is: where nothing has a time, none is known."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.data.schema import Dataset

_KEY = "collaborative.scoring.recency"


def fit_to_order(config: Config, dataset: Dataset) -> tuple[Config, list[str]]:
    """Let all events count alike at first, where no interaction of the data set has a timestamp.

    Whether data has times is a public fact of it.  Without, the order of the file stands for time, and may mean
    nothing; so where settings follow the noise (`fedrec.queries.sizing`) recency is left to what the devices choose.
    For simulations: what a device keeps has times.

    Returns:
        The settings and a sentence for what was changed; the config itself where nothing was, or recency was written.
    """
    collaborative = config.collaborative
    if not collaborative.follows_noise or _KEY in collaborative.as_written or not collaborative.scoring.recency:
        return config, []
    if (dataset.interactions.timestamp >= 0).any():
        return config, []
    scoring = collaborative.scoring.model_copy(update={"recency": 0.0})
    settled = config.model_copy(update={"collaborative": collaborative.model_copy(update={"scoring": scoring})})
    return settled, [f"order: no interaction has a timestamp; {_KEY} is 0 unless the devices choose otherwise"]
