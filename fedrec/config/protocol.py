"""How sums are opened in an engine: what ``secure_aggregation.protocol`` ``auto`` stands for."""

from __future__ import annotations

from fedrec.config.root import Config
from fedrec.config.run import Engine
from fedrec.errors import ConfigError


def with_protocol(config: Config, engine: Engine) -> Config:
    """Settle ``secure_aggregation.protocol`` where it is ``auto``: ``secagg+`` in every engine that sends messages.

    Engine ``cohort`` sends none: it computes the sum that secure aggregation would open, without masks (``none``).

    Raises:
        ConfigError: ``secagg+`` is asked of engine ``cohort``, or of sampled cohorts that are too small for it.
    """
    protocol = config.secure_aggregation.protocol
    if protocol == "auto":
        protocol = "none" if engine == "cohort" else "secagg+"
    elif protocol == "secagg+" and engine == "cohort":
        raise ConfigError(
            "engine 'cohort' sends no messages that could be masked",
            value=protocol,
            action="Set run.engine=grid, or leave secure_aggregation.protocol out: the sum is the same",
        )
    if protocol == "none" and engine != "cohort" and config.privacy.noise_place == "distributed":
        raise ConfigError(
            "noise that devices share protects sums, and without secure aggregation the server sees each contribution",
            value=protocol,
            action="Leave secure_aggregation.protocol out, or set privacy.noise_place to server",
        )
    least, asked = config.secure_aggregation.minimum_cohort, config.training.cohort
    if protocol == "secagg+" and config.training.sampling != "full" and 0 < asked < least:
        raise ConfigError(
            f"no device takes part in cohorts of fewer than {least}",
            value=asked,
            action="Raise training.cohort, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
        )
    return config.model_copy(
        update={"secure_aggregation": config.secure_aggregation.model_copy(update={"protocol": protocol})}
    )
