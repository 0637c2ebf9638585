"""What a simulation takes down of its run: a line for each sum, with quality where the config asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fedrec.config import Config
from fedrec.console import Reporter, jsonable
from fedrec.queries.registry import QUERIES
from fedrec.server.aggregation_failed import AGGREGATION_FAILED
from fedrec.server.event_log import EventLog
from fedrec.server.results import Devices, RoundEvent
from fedrec.server.run_directory import line_of
from fedrec.simulation.measure import quality_of
from fedrec.simulation.study import Study
from fedrec.simulators_view import KEY
from fedrec.training.update import Update


class SimulatedDevices(Devices, Protocol):
    """Devices inside this process, whose last update the simulator can look at."""

    @property
    def last_update(self) -> Update | None:
        """Loss and clipped rows of the last training round, where the engine can know them."""


@dataclass
class RunRecorder:
    """Writes a line of ``events.jsonl`` for each opened sum, measuring quality where the config asks for it."""

    config: Config
    study: Study
    lines: EventLog
    reporter: Reporter
    devices: SimulatedDevices | None = None
    rows: int = 0
    asking_seconds: float = 0.0

    @property
    def records(self) -> list[dict[str, Any]]:
        """All lines so far, also those of a run that was cut off."""
        return self.lines.records

    def note(self, step: RoundEvent) -> None:
        """Take down one step, once."""
        request = step.request
        if self.lines.has(request.query, request.round):
            return
        training = QUERIES[request.query].sampled
        update = self.devices.last_update if training and self.devices is not None else None
        self.rows += update.rows if update else 0
        self.asking_seconds += step.seconds if training else 0.0
        record = {
            **line_of(step),
            "bytes_down_per_device": sum(array.nbytes for array in request.arrays.values()),
            "loss": update.loss / update.rows if update and update.rows else None,
            "clipped": update.clipped / update.rows if update and update.rows else None,
            "clip": request.settings.get("clip"),
            "quality": self._quality(step),
            KEY: ["loss", "clipped", "quality"],
        }
        self.lines.add(jsonable(record))
        total = self.config.training.rounds
        self.reporter.progress(request.round if training else 0, total, "rounds")
        self.reporter.round(record)

    def _quality(self, step: RoundEvent) -> dict[str, Any] | None:
        every, number = self.config.evaluation.every, step.request.round
        if (
            not every
            or not QUERIES[step.request.query].sampled
            or number % every
            or step.opened.reason == AGGREGATION_FAILED
        ):
            return None
        return dict(
            quality_of(self.config, self.study, step.model, step.collaborative, features=step.features).as_dict()
        )
