"""A run as a run of MLflow, in a store of its own beside it, or in one of the user's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.extras import need
from fedrec.simulation.tracking.figures import TrackedFigure, artifacts_of, name_of, of_line, of_record, settings_of

_EXPERIMENT: Final = "fedrec"
# How many parameters MLflow takes at once, how many metrics, and how long a value may be.
_MOST_PARAMETERS: Final = 100
_MOST_METRICS: Final = 1000
_LONGEST: Final = 6000


class MlflowRun:
    """A new run of the experiment ``fedrec``: metrics while the run goes on; settings, record and card at its end.

    Args:
        store: the address of a store, as ``MLFLOW_TRACKING_URI`` has it; None: ``out/mlflow.db``, a file.

    Raises:
        MissingExtraError: MLflow is not installed.
    """

    def __init__(self, out: Path, *, store: str | None = None) -> None:
        need("mlflow", "tracking", what="writing for MLflow")
        tracking: Any = need("mlflow.tracking", "tracking", what="writing for MLflow")
        self._entities: Any = need("mlflow.entities", "tracking", what="writing for MLflow")
        self.place = f"sqlite:///{(out / 'mlflow.db').resolve()}" if store is None else store
        self._out = out
        self._client = tracking.MlflowClient(tracking_uri=self.place)
        known = self._client.get_experiment_by_name(_EXPERIMENT)
        kept = None if store is not None else (out / "mlflow-artifacts").resolve().as_uri()
        found = known.experiment_id if known else self._client.create_experiment(_EXPERIMENT, artifact_location=kept)
        self._run = self._client.create_run(found, run_name=out.name).info.run_id
        self._written = 0

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write those of all ``lines`` of the run so far that were not written yet."""
        new = enumerate(lines[self._written :], start=self._written + 1)
        self._metrics(one for step, line in new for one in of_line(line, step))
        self._written = len(lines)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write what is of the whole run, under the run's name, and say that it is finished."""
        self._metrics(of_record(record))
        self._client.update_run(self._run, name=name_of(record))
        parameters = [self._entities.Param(key, value[:_LONGEST]) for key, value in settings_of(record).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self._run, params=parameters[start : start + _MOST_PARAMETERS])
        if about := record.get("about"):
            self._client.set_tag(self._run, "about", str(about)[:_LONGEST])
        for path in artifacts_of(self._out):
            self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run)

    def abandon(self) -> None:
        """Say that the run did not come to its end."""
        self._client.set_terminated(self._run, status="FAILED")

    def _metrics(self, figures: Iterable[TrackedFigure]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(one.name, one.value, now, one.step or 0) for one in figures]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._run, metrics=metrics[start : start + _MOST_METRICS])
