"""The model of a run: what its config and its catalogue's features make it, the same on the server and every device."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.model.encoder_lora import LoraText
from fedrec.model.losses import wants_offset
from fedrec.model.recommender import Recommender


def build_model(config: Config, features: Features) -> Recommender:
    """Build with initial values from the run's seed.

    Raises:
        ModelError: the config asks for something that the features cannot feed.
    """
    model = Recommender(
        config.model,
        {name: tuple(values.shape[1:]) for name, values in features.values.items()},
        seed=config.run.seed,
        temperature=config.training.temperature,
        vocabulary=config.content.text.vocabulary,
        offset=wants_offset(config.training.loss),
        auxiliary=config.training.auxiliary > 0,
        items=len(features.ids) if config.model.id_embedding else 0,
    )
    for name, encoder in model.encoders.items():
        if isinstance(encoder, LoraText):
            encoder.layer.become(features.weights.get(name, {}))
    return model
