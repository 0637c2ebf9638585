"""What a simulation takes down of its run: a line for each sum, with quality where the config asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fedrec.config import Config
from fedrec.console import Reporter, jsonable
from fedrec.training.learner import Update
from server.given_up import GIVEN_UP
from server.lines import RoundLines
from server.run import Devices, Step, bytes_up_each
from simulations.measure import quality_of
from simulations.study import Study


class SimulatedDevices(Devices, Protocol):
    """Devices inside this process, whose last update the simulator can look at."""

    @property
    def last_update(self) -> Update | None:
        """Loss and clipped rows of the last training round, where the engine can know them."""


@dataclass
class Diary:
    """Writes a line of ``events.jsonl`` for each opened sum, measuring quality where the config asks for it."""

    config: Config
    study: Study
    lines: RoundLines
    reporter: Reporter
    devices: SimulatedDevices | None = None
    rows: int = 0
    asking_seconds: float = 0.0

    @property
    def records(self) -> list[dict[str, Any]]:
        """All lines so far, also those of a run that was cut off."""
        return self.lines.records

    def note(self, step: Step) -> None:
        """Take down one step, once."""
        question, opened = step.question, step.opened
        if self.lines.has(question.query, question.round):
            return
        training = question.query == "training"
        update = self.devices.last_update if training and self.devices is not None else None
        self.rows += update.rows if update else 0
        self.asking_seconds += step.seconds if training else 0.0
        record = {
            "round": question.round,
            "query": question.query,
            "seconds": round(step.seconds, 4),
            "devices": opened.devices,
            "asked": step.cohort,
            "bytes_up_per_device": bytes_up_each(question, opened),
            "bytes_down_per_device": sum(array.nbytes for array in question.arrays.values()),
            "aborted": dict(opened.aborted),
            "reason": opened.reason,
            "epsilon_spent": step.epsilon_spent,
            "loss": update.loss / update.rows if update and update.rows else None,
            "clipped": update.clipped / update.rows if update and update.rows else None,
            "clip": question.settings.get("clip"),
            "quality": self._quality(step),
        }
        self.lines.add(jsonable(record))
        total = self.config.training.rounds
        self.reporter.progress(question.round if training else 0, total, "rounds")
        self.reporter.round(record)

    def _quality(self, step: Step) -> dict[str, Any] | None:
        every, number = self.config.evaluation.every, step.question.round
        if not every or step.question.query != "training" or number % every or step.opened.reason == GIVEN_UP:
            return None
        return dict(quality_of(self.config, self.study, step.model, step.behaviour, features=step.features).as_dict())
