"""One run on disk: its ledger, its state, its lines, its release and its record, for a server and a simulation alike.

ledger.sqlite   what was charged, written before a sum is used
server.sqlite   what a run that is cut off goes on from
events.jsonl    a line for each opened sum, and for each that failed
release.key     signs the release; made where there is none
model/          the release
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.accelerator import use_device
from fedrec.config import Config
from fedrec.console import jsonable
from fedrec.content.feature_table import Features
from fedrec.errors import StoreError
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import delta_of
from fedrec.privacy.simulated import KEY as ABOUT
from fedrec.privacy.simulated import about
from fedrec.queries.plan import budget_of, choice_of_sums, described, statement_of, warnings_of_sums
from fedrec.queries.secure_wire import PROTOCOL
from fedrec.release.bundle import write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import create_key, load_key
from fedrec.run_warnings import public_warnings
from fedrec.server.event_log import EventLog
from fedrec.server.results import (
    AttemptingDevices,
    Devices,
    ExcludingDevices,
    RoundEvent,
    RunResult,
    bytes_up_each,
)
from fedrec.server.run import FederatedRun
from fedrec.server.run_files import EVENTS, KEY, LEDGER, RELEASE, STATE
from fedrec.server.sampled_cohorts import delta_of_samples
from fedrec.server.state import ServerState
from fedrec.thread_settings import use_threads
from fedrec.whole_files import PUBLIC, write_whole


@dataclass(frozen=True, eq=False)
class RunDirectory:
    """An open run. ``path``: where it is; ``log``: its lines, also those of before it was cut off."""

    path: Path
    config: Config
    ledger: Ledger
    state: ServerState
    log: EventLog

    @classmethod
    @contextmanager
    def opened(cls, path: Path, config: Config, *, users: int, identity: str) -> Iterator[RunDirectory]:
        """Open a directory for a run, or to go on with the one that is in it.

        Args:
            path: made where there is none.
            config: the settings; how many threads torch gets, and where it computes, is taken from them.
            users: how many there are, from which the budget's delta follows.
            identity: names the run: settings and data. A directory of another one is refused.

        Raises:
            PrivacyError: the ledger is broken, or of another budget.
            StoreError: the state is damaged, or of another run; or another process is at work in the directory.
        """
        use_threads(config.speed.threads)
        use_device(config.speed.device)
        path.mkdir(parents=True, exist_ok=True)
        with (
            _alone(path),
            Ledger.open(path / LEDGER, budget_of(config, users)) as ledger,
            ServerState(path / STATE, identity) as state,
        ):
            yield cls(path, config, ledger, state, EventLog(path / EVENTS, goes_on=state.resumed))

    def run(self, features: Features, devices: Devices, observe: Callable[[RoundEvent], None]) -> RunResult:
        """Ask everything that the settings ask. ``observe`` is shown each opened sum. Raises as `FederatedRun`."""
        if isinstance(devices, AttemptingDevices):
            devices.attempts.keep_in(self.state)
        if isinstance(devices, ExcludingDevices):
            devices.exclusions.keep_in(self.state)
        return FederatedRun(self.config, features, devices, self.ledger, self.state, observe).run()

    def write_release(self, contents: ReleaseContents) -> None:
        """Write and sign the release. Raises ReleaseError."""
        key = load_key(self.path / KEY) if (self.path / KEY).exists() else create_key(self.path / KEY)
        write_release(self.path / RELEASE, contents, key=key, replace=True)

    def write_record(self, name: str, record: Mapping[str, Any]) -> None:
        """Write the run's record, as JSON, whole or not at all. Raises StoreError where the disk refuses."""
        write_whole(self.path / name, (json.dumps(jsonable(record), indent=2) + "\n").encode(), mode=PUBLIC)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep others out of a run's directory: two processes in it would charge, and draw noise, twice."""
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            action = "Wait for its end, or use another --out directory"
            raise StoreError("another process is at work in this directory", value=str(path), action=action) from None
        yield
    finally:
        os.close(handle)


def line_of(event: RoundEvent) -> dict[str, Any]:
    """What a line of ``events.jsonl`` says of a sum, whoever writes it."""
    return {
        "round": event.request.round,
        "query": event.request.query,
        "seconds": round(event.seconds, 4),
        "asked": event.cohort,
        "devices": event.opened.devices,
        "aborted": dict(event.opened.aborted),
        "excluded": dict(event.opened.excluded),
        "reason": event.opened.reason,
        "bytes_up_per_device": bytes_up_each(event.request, event.opened),
        "epsilon_spent": event.epsilon_spent,
    }


def record_of(
    config: Config, outcome: RunResult, lines: Sequence[Mapping[str, Any]], users: int, devices: int
) -> dict[str, Any]:
    """What every record says of a run: settings, what is promised, what queries found, and how sums were opened.

    ``config`` is as the run was asked; ``selection`` says what the devices chose, null where they were not asked.
    ``warnings`` are of public facts and of sums that were paid for, so a model card may have them.
    """
    samples = delta_of_samples(config, users, devices)
    privacy = statement_of(config, outcome.costs, delta_of(config, users), delta_of_samples=samples)
    return {
        "schema": 1,
        ABOUT: about(config.run.reproducible, privacy["noise_place"]).get(ABOUT),
        "warnings": [*public_warnings(privacy, users), *warnings_of_sums(outcome.results)],
        "config": config.model_dump(mode="json"),
        "privacy": {**privacy, "ledger": dict(outcome.ledger)},
        "secure_aggregation": {
            "protocol": config.secure_aggregation.protocol,
            "aborted": _aborts_of(config, lines),
            "excluded": _excluded_of(config, lines),
        },
        "queries": described(outcome.results),
        "selection": choice_of_sums(outcome.results),
        "validation": outcome.validation,
        "stopped": outcome.stopped,
    }


def _aborts_of(config: Config, lines: Iterable[Mapping[str, Any]]) -> dict[str, int] | None:
    """Attempts that gave no sum, by reason; None where no sums are masked."""
    if config.secure_aggregation.protocol != PROTOCOL:
        return None
    total: Counter[str] = Counter()
    for line in lines:
        total.update(line.get("aborted") or {})
    return dict(total)


def _excluded_of(config: Config, lines: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """Devices that are left out at the end, by reason; None where no sums are masked."""
    if config.secure_aggregation.protocol != PROTOCOL:
        return None
    return dict(lines[-1].get("excluded") or {}) if lines else {}
