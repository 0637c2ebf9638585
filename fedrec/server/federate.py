"""A whole run on the server's side, whatever carries it: durable state, the run, a signed release, and its record.

A run that was cut off goes on where it stopped when it is called again with the same arguments.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from fedrec.config import Config
from fedrec.content.feature_table import FEATURES_FILE, Features, features_from_bytes
from fedrec.content.fit import fit_to_content
from fedrec.errors import ContentError
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import budget_of, described, quality_of_sums, statement_of
from fedrec.queries.secure_wire import PROTOCOL
from fedrec.release.bundle import write_release
from fedrec.release.keys import create_key, load_key
from fedrec.server.event_log import EventLog
from fedrec.server.publish import contents_of
from fedrec.server.results import Devices, RoundEvent, RunResult, bytes_up_each
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState

_log = logging.getLogger(__name__)
EVENTS, RECORD, RELEASE = "events.jsonl", "server.json", "model"


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
) -> dict[str, Any]:
    """Run, then write the release and the record.

    Args:
        config: the settings, which the devices must have accepted; what the catalogue has nothing of is left out.
        catalogue: the server's.
        devices: whom to ask.
        out: where ``ledger.sqlite``, ``server.sqlite``, ``events.jsonl`` (a line for each opened sum
            and for each that failed), ``release.key`` (made where there is none), ``model/`` and ``server.json`` go.
        note: is told each line of ``events.jsonl``.

    Returns:
        The content of ``server.json``.

    Raises:
        FedrecError: settings that do not fit, a budget that cannot be met, or no device that answers.
    """
    config, left_out = fit_to_content(config, server_catalogue.features)
    for sentence in left_out:
        _log.warning("settings fitted to the content: %s", sentence)
    if config.speed.threads:
        torch.set_num_threads(config.speed.threads)
    out.mkdir(parents=True, exist_ok=True)
    delta = delta_of(config, devices.users)
    budget = budget_of(config, devices.users)

    run = {
        "config": config.model_dump(mode="json"),
        "catalogue": server_catalogue.features.digest(),
        "users": devices.users,
    }
    with (
        Ledger.open(out / "ledger.sqlite", budget) as ledger,
        ServerState(out / "server.sqlite", json.dumps({**run, "devices": devices.size}, sort_keys=True)) as state,
    ):
        lines = EventLog(out / EVENTS, goes_on=state.resumed)

        def observe(step: RoundEvent) -> None:
            if not lines.has(step.request.query, step.request.round):
                lines.add(_line(step, devices.tally))
                note(json.dumps(lines.records[-1]))

        outcome = FederatedRun(config, server_catalogue.features, devices, ledger, state, observe).run()
    record = _record(config, server_catalogue.features, devices, outcome, delta)
    _release(config, server_catalogue, outcome, record, out)
    record["data"]["left_out_of_settings"] = left_out
    record["rounds"] = lines.records
    record["secure_aggregation"]["aborted"] = aborts_of(config, lines.records)
    (out / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def aborts_of(config: Config, lines: Iterable[Mapping[str, Any]]) -> dict[str, int] | None:
    """Attempts that gave no sum, by reason, over all lines of ``events.jsonl``; None where no sums are masked."""
    if config.secure_aggregation.protocol != PROTOCOL:
        return None
    total: Counter[str] = Counter()
    for line in lines:
        total.update(line.get("aborted") or {})
    return dict(total)


def _line(step: RoundEvent, tally: Mapping[str, int]) -> dict[str, Any]:
    return {
        "round": step.request.round,
        "query": step.request.query,
        "seconds": round(step.seconds, 4),
        "asked": step.cohort,
        "devices": step.opened.devices,
        "left_out": {reason: count for reason, count in tally.items() if count and reason != "sum"},
        "aborted": dict(step.opened.aborted),
        "reason": step.opened.reason,
        "bytes_up_per_device": bytes_up_each(step.request, step.opened),
        "epsilon_spent": step.epsilon_spent,
    }


def _record(config: Config, features: Features, devices: Devices, outcome: RunResult, delta: float) -> dict[str, Any]:
    privacy = statement_of(config, outcome.costs, delta)
    return {
        "schema": 1,
        "config": config.model_dump(mode="json"),
        "data": {"name": config.run.name, "users": devices.users, "items": len(features), "devices": devices.size},
        "privacy": {**privacy, "ledger": dict(outcome.ledger)},
        "costs": [asdict(cost) for cost in outcome.costs],
        "secure_aggregation": {"protocol": config.secure_aggregation.protocol},
        "queries": described(outcome.results),
        "validation": outcome.validation,
        "stopped": outcome.stopped,
        "cost": {"accounting_seconds": round(outcome.accounting_seconds, 4)},
    }


def _release(
    config: Config, server_catalogue: ServerCatalogue, outcome: RunResult, record: Mapping[str, Any], out: Path
) -> None:
    quality = quality_of_sums(outcome.results)
    contents = contents_of(
        config, server_catalogue.encoders, outcome, record["privacy"], quality=quality, data=record["data"]
    )
    path = out / "release.key"
    key = load_key(path) if path.exists() else create_key(path)
    write_release(out / RELEASE, contents, key=key, replace=True)
