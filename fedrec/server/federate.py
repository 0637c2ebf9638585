"""A whole run on the server's side, whatever carries it: durable state, the run, a signed release, and its record.

A run that was cut off goes on where it stopped when it is called again with the same arguments.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from fedrec.config import Config
from fedrec.content.feature_table import FEATURES_FILE, Features, features_from_bytes
from fedrec.content.fit import fit_to_content
from fedrec.errors import ContentError
from fedrec.queries.plan import quality_of_sums
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.sizing import sized_by_noise
from fedrec.server.publish import contents_of
from fedrec.server.results import Devices, RoundEvent
from fedrec.server.run_directory import RunDirectory, line_of, record_of
from fedrec.server.run_files import RECORD

_log = logging.getLogger(__name__)


class CountedDevices(Devices, Protocol):
    """Devices that tell what became of the last request."""

    @property
    def tally(self) -> Mapping[str, int]:
        """How many devices are in the sum, and how many are left out by reason."""


@dataclass(frozen=True, eq=False)
class ServerCatalogue:
    """The catalogue as the server keeps it: features, and saved encoders by modality, which it passes on unread."""

    features: Features
    encoders: Mapping[str, bytes]


def load_server_catalogue(directory: Path) -> ServerCatalogue:
    """Read a directory that `fedrec.content.features.save_features` made.

    Raises:
        ContentError: a file is missing, damaged, or not the one that was saved with the others.
    """
    try:
        features, hashes = features_from_bytes((directory / FEATURES_FILE).read_bytes())
        files = {name: (directory / name).read_bytes() for name in hashes}
    except OSError as error:
        action = "Set catalogue to a directory of features"
        raise ContentError(f"no catalogue: {error.strerror}", value=str(directory), action=action) from None
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ContentError(f"{name} is not the file saved with these features", action="Build them again")
    encoders = {Path(name).stem.removeprefix("encoder-"): data for name, data in files.items()}
    return ServerCatalogue(features, encoders)


def federate(
    config: Config,
    server_catalogue: ServerCatalogue,
    devices: CountedDevices,
    out: Path,
    note: Callable[[str], None] = lambda line: None,
    *,
    manifest: RunManifest | None = None,
) -> dict[str, Any]:
    """Run, then write the release and the record.

    Args:
        config: the settings, which the devices must have accepted; what the catalogue has nothing of is left out.
        catalogue: the server's.
        devices: whom to ask.
        out: where ``ledger.sqlite``, ``server.sqlite``, ``events.jsonl`` (a line for each opened sum
            and for each that failed), ``release.key`` (made where there is none), ``model/`` and ``server.json`` go.
        note: is told each line of ``events.jsonl``.
        manifest: what the publisher signed for this run; None in simulations.

    Returns:
        The content of ``server.json``.

    Raises:
        FedrecError: settings that do not fit, a budget that cannot be met, or no device that answers.
    """
    config, left_out = fit_to_content(config, server_catalogue.features)
    for sentence in left_out:
        _log.warning("settings fitted to the content: %s", sentence)
    features, users = server_catalogue.features, devices.users
    config = sized_by_noise(config, users, len(features))
    run = {"config": config.model_dump(mode="json"), "catalogue": features.digest(), "users": users}
    signed = None if manifest is None else {"digest": manifest.digest, "counter": manifest.counter}
    identity = json.dumps({**run, "devices": devices.size, "manifest": signed}, sort_keys=True)
    with RunDirectory.opened(out, config, users=users, identity=identity) as opened:

        def observe(event: RoundEvent) -> None:
            if not opened.log.has(event.request.query, event.request.round):
                left = {reason: count for reason, count in devices.tally.items() if count and reason != "sum"}
                opened.log.add({**line_of(event), "left_out": left})
                note(json.dumps(opened.log.records[-1]))

        outcome = opened.run(features, devices, observe)
        record = {
            **record_of(config, outcome, opened.log.records, users, devices.size),
            "manifest": signed,
            "data": {"name": config.run.name, "users": users, "items": len(features), "devices": devices.size},
            "costs": [asdict(cost) for cost in outcome.costs],
            "cost": {"accounting_seconds": round(outcome.accounting_seconds, 4)},
        }
        quality = quality_of_sums(outcome.results)
        for sentence in record["warnings"]:
            _log.warning("%s", sentence)
        contents = contents_of(
            outcome.config,
            server_catalogue.encoders,
            outcome,
            record["privacy"],
            quality=quality,
            data=record["data"],
            warnings=record["warnings"],
        )
        opened.write_release(contents)
        record["data"]["left_out_of_settings"] = left_out
        record["rounds"] = opened.log.records
        opened.write_record(RECORD, record)
    return record
