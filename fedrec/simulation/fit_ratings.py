"""Settings about ratings held to the data that there is: what it lacks is left out, before a budget is spent on it."""

from __future__ import annotations

import numpy as np

from fedrec.config import Config, from_tree
from fedrec.data.schema import Dataset


def fit_to_ratings(config: Config, dataset: Dataset) -> tuple[Config, list[str]]:
    """Leave out of the settings what uses ratings, where no interaction of the data set has one.

    For simulations: a deployment does not know what its devices hold.

    Returns:
        The settings and a sentence for each thing that was left out; the config itself where there is nothing.
    """
    ratings = config.collaborative.ratings
    used = {
        "data.positive_ratings": config.data.positive_ratings != "all",
        "collaborative.ratings.predict": ratings.predict,
        "collaborative.ratings.weight": ratings.weight > 0,
    }
    if not any(used.values()) or not np.isnan(dataset.interactions.rating).all():
        return config, []
    tree = config.model_dump()
    tree["data"]["positive_ratings"] = "all"
    tree["collaborative"]["ratings"] |= {"predict": False, "weight": 0.0}
    keys = ", ".join(key for key, there in used.items() if there)
    return from_tree(tree), [f"ratings: no interaction of the data has one; not used, left out of {keys}"]


def ratings_beyond(config: Config, dataset: Dataset) -> list[str]:
    """A sentence where ratings that are used lie outside of ``collaborative.ratings``: they count as its nearer end."""
    ratings = config.collaborative.ratings
    known = dataset.interactions.rating[~np.isnan(dataset.interactions.rating)]
    if not ratings.used or not ((known < ratings.lowest) | (known > ratings.highest)).any():
        return []
    return [
        f"some ratings of the data lie beyond the range from {ratings.lowest:g} to {ratings.highest:g} and count as "
        "its nearer end; set collaborative.ratings.lowest and highest to what can be given"
    ]
