"""What ``auto`` stands for in an engine: how sums are opened, and who adds the noise."""

from __future__ import annotations

from typing import Final

from fedrec.config.root import Config
from fedrec.config.run import Engine
from fedrec.errors import ConfigError
from fedrec.registry import registry_of

_BY_NAME: Final = "or trust the server with exact sums, by name: privacy.noise_place=server"


def with_protocol(config: Config, engine: Engine) -> Config:
    """Settle ``secure_aggregation.protocol`` and ``privacy.noise_place`` where they are ``auto``.

    Engines that send messages mask contributions (``secagg+``), and devices share the noise (``distributed``).  Engine
    ``cohort`` sends none: it computes the sum that secure aggregation would open, without masks (``none``), and adds
    the noise to it (``server``).  A run without noise has ``server`` everywhere: there is none to share.

    Raises:
        ConfigError: ``secagg+`` is asked of engine ``cohort``, or of sampled cohorts that are too small for it; or
            devices cannot share the noise of these settings, and nobody said that the server is to be trusted.
    """
    config = _with_protocol(config, engine)
    config = _with_noise_place(config, engine)
    _check_cohorts(config)
    return config


def _with_protocol(config: Config, engine: Engine) -> Config:
    protocol = config.secure_aggregation.protocol
    if protocol == "auto":
        protocol = "none" if engine == "cohort" else "secagg+"
    elif protocol == "secagg+" and engine == "cohort":
        raise ConfigError(
            "engine 'cohort' sends no messages that could be masked",
            value=protocol,
            action="Set run.engine=grid, or leave secure_aggregation.protocol out: the sum is the same",
        )
    section = config.secure_aggregation.model_copy(update={"protocol": protocol})
    return config.model_copy(update={"secure_aggregation": section})


def _with_noise_place(config: Config, engine: Engine) -> Config:
    privacy, sampling = config.privacy, config.training.sampling
    place = privacy.noise_place
    if place == "auto":
        place = "server" if engine == "cohort" or privacy.epsilon is None else "distributed"
        if place == "distributed" and not registry_of("mechanism")[privacy.noise].divisible:
            action = f"Set privacy.noise=independent, {_BY_NAME}"
            raise ConfigError("devices cannot share this noise", value=privacy.noise, action=action)
        if place == "distributed" and sampling in ("poisson", "balls-in-bins", "cyclic-poisson"):
            raise ConfigError(
                "devices share noise in cohorts of a known size, and samples that amplify have none",
                value=sampling,
                action=f"Set training.sampling to fixed or cyclic, {_BY_NAME}",
            )
        if place == "distributed" and config.training.secret_cohorts:
            action = f"Set training.secret_cohorts=false, {_BY_NAME}"
            raise ConfigError("secret cohorts are of a server that is trusted", value=sampling, action=action)
    if place == "distributed" and config.secure_aggregation.protocol == "none" and engine != "cohort":
        raise ConfigError(
            "noise that devices share protects sums, and without secure aggregation the server sees each contribution",
            value="none",
            action=f"Leave secure_aggregation.protocol out, {_BY_NAME}",
        )
    return config.model_copy(update={"privacy": privacy.model_copy(update={"noise_place": place})})


def _check_cohorts(config: Config) -> None:
    least, asked = config.secure_aggregation.minimum_cohort, config.training.cohort
    masked = config.secure_aggregation.protocol == "secagg+"
    if masked and config.training.sampling != "full" and 0 < asked < least:
        raise ConfigError(
            f"no device takes part in cohorts of fewer than {least}",
            value=asked,
            action="Raise training.cohort, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
        )
