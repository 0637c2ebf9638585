"""From settings as a person wrote them to a run manifest that a publisher can sign: nothing in it is left open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fedrec.config import Config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.content.feature_table import Features
from fedrec.content.fit import fit_to_content
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.run_manifest import (
    SEED_BYTES,
    RunManifest,
    SignedBudget,
    SignedRoster,
    installed_code,
    what_is_wrong,
)
from fedrec.queries.sizing import sized_by_noise
from fedrec.secagg.roster import Roster


def settled_for_devices(config: Config, features: Features, users: int) -> Config:
    """The settings as a manifest has them: preset, protocol and delta settled, and fitted to the catalogue.

    Raises:
        ConfigError: they do not fit each other or the catalogue.
    """
    config = with_protocol(with_preset(config), "flower")
    config = sized_by_noise(fit_to_content(config, features)[0], users, len(features))
    updates: dict[str, Any] = {"run": config.run.model_copy(update={"engine": "flower"})}
    if config.privacy.epsilon is not None:
        updates["privacy"] = config.privacy.model_copy(update={"delta": delta_of(config, users)})
    return config.model_copy(update=updates)


def make_manifest(
    config: Config,
    features: Features,
    roster: Roster,
    *,
    counter: int,
    users: int = 0,
    seed: bytes = b"",
    encoders: Mapping[str, str] | None = None,
) -> RunManifest:
    """The manifest of a run with this fedrec, before it is signed.

    Args:
        config: the settings, as a person wrote them.
        features: of the catalogue.
        roster: of the devices.
        counter: above that of every manifest of the publisher before.
        users: how many people stand behind the devices; 0 = one each.
        seed: 32 bytes; empty = drawn from the operating system, as it must be for devices of people.
        encoders: `encoder_hashes` of the catalogue; without them no device reads notes or photos.

    Raises:
        ConfigError: the settings do not fit each other, the catalogue or the roster.
    """
    users = users or len(roster.devices)
    settled = settled_for_devices(config, features, users)
    privacy = settled.privacy
    delta = None if privacy.epsilon is None else privacy.delta
    try:
        return RunManifest(
            name=settled.run.name,
            counter=counter,
            settings=settled.model_dump(mode="json"),
            catalogue=features.digest(),
            encoders=dict(encoders or {}),
            roster=SignedRoster(digest=roster.digest.hex(), version=roster.version, devices=len(roster.devices)),
            code=installed_code(),
            budget=SignedBudget(unit=privacy.unit, epsilon=privacy.epsilon, delta=delta),
            users=users,
            seed=(seed or os.urandom(SEED_BYTES)).hex(),
        )
    except ValidationError as error:
        raise ConfigError(f"no manifest can be made: {what_is_wrong(error)}", action="Mend what it names") from None
