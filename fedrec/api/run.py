"""A run that has ended: its figures, its ledger, its plots, and recommendations from what it released."""

from __future__ import annotations

import math
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrec.api.load_run import LEDGER, read_lines, read_record
from fedrec.console import figure
from fedrec.data.schema import Dataset, Event
from fedrec.errors import ConfigError, DataError
from fedrec.extras import need
from fedrec.privacy.ledger import Ledger
from fedrec.simulators_view import MARK

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from fedrec.api.release import OpenedRelease
    from fedrec.client.recommendation import Recommendation
    from fedrec.data.sources import Source


class Run:
    """A run that has ended, as it lies in its directory.

    Args:
        directory: where it lies, as `fedrec.simulate` or ``fedrec simulate`` left it.
        data: the data that it ran on, which only `recommend` needs: anything that `fedrec.read_data` takes.
        owned: whether the directory goes when this object goes, unless `save` is called before.

    Raises:
        DataError: no run ended there, or its record cannot be read.
    """

    def __init__(self, directory: str | os.PathLike[str], data: Source | None = None, *, owned: bool = False) -> None:
        self._directory = Path(directory)
        self._source = data
        self._record = read_record(self._directory)[0]
        self._discard: Callable[[], Any] | None = None
        if owned:
            self._discard = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)

    @property
    def directory(self) -> Path:
        """Where the run lies: ``run.json``, ``events.jsonl``, ``model/``, ``report.html``, ``ledger.sqlite``."""
        return self._directory

    @property
    def record(self) -> Mapping[str, Any]:
        """The content of ``run.json``; a figure that does not apply is None."""
        return self._record

    @property
    def quality(self) -> Mapping[str, Any]:
        """What was measured on held-out items, by protocol: ``run.quality["loo-99neg"]["hr@10"]``, from 0 to 1.

        The simulator's view, exact and outside of epsilon (`fedrec.simulators_view`). Empty for a
        deployment, whose server has no data to measure with.
        """
        found: Mapping[str, Any] = self._record.get("quality") or {}
        return found

    @property
    def privacy(self) -> Mapping[str, Any]:
        """What is promised, and how it is kept: ``epsilon_released``, ``epsilon_server``, ``delta``, ``unit``, ..."""
        found: Mapping[str, Any] = self._record["privacy"]
        return found

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before the figures, a sentence each, such as that popularity ranks as well."""
        return [str(said) for said in self._record.get("warnings") or ()]

    @property
    def stopped(self) -> str | None:
        """Why the run ended before its last round; None where it did not."""
        found: str | None = self._record.get("stopped")
        return found

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """The rows of the privacy ledger, whose chain is checked: ``query``, ``round``, ``cost``, ``detail``, ...

        Raises:
            DataError: there is none. PrivacyError: it was changed.
        """
        path = self._directory / LEDGER
        if not path.is_file():
            raise DataError("the run has no ledger", path=path)
        with Ledger.open(path) as ledger:
            return [asdict(entry) for entry in ledger.entries()]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of ``events.jsonl``: one for each sum that was opened."""
        return read_lines(self._directory)

    @property
    def report(self) -> Path | None:
        """The report, one HTML file; None where none was written."""
        path = self._directory / "report.html"
        return path if path.is_file() else None

    @cached_property
    def release(self) -> OpenedRelease:
        """What the run released, opened to recommend. Raises ReleaseError where it cannot be used."""
        from fedrec.api.release import open_release

        return open_release(self._directory / "model")

    @cached_property
    def data(self) -> Dataset:
        """The data that it ran on.

        Raises:
            DataError: it cannot be read. ConfigError: the run was opened without it.
        """
        from fedrec.data.sources import read_data

        if self._source is None:
            raise ConfigError(
                "this run was opened without its data, so its users are not known",
                action="Open it as fedrec.Run(directory, data), or use run.release.recommend(history=[...])",
            )
        return read_data(self._source)

    def recommend(self, user: str | int, top: int = 10) -> list[Recommendation]:
        """What the released model recommends to a user of the data, best first, with reasons.

        The user's device would rank so: from everything that the data has of this user, notes and photos too. What was
        held out to measure with is in the history here, so the list is about what comes next. A private vector that
        training may have made (``model.adapter``) is not kept with a run, and not used.

        Args:
            user: the id in the data.
            top: how many items at most, from 1.

        Raises:
            DataError: the data has no such user. ConfigError: the run was opened without its data.
        """
        data = self.data
        try:
            place = data.users.index(str(user))
        except ValueError:
            raise DataError(
                "the data has no such user", path=data.name, value=user, action=f"Ids are like {data.users[0]!r}"
            ) from None
        return self.release.recommend(
            _history(data, place), notes=data.notes.get(place, ()), photos=data.photos.get(place, ()), top=top
        )

    def plots(self) -> dict[str, go.Figure]:
        """The charts of the report as plotly figures, by name; those without a single figure are left out.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        from fedrec.simulation.report.charts import all_charts

        graphs = need("plotly.graph_objects", "report", what="Run.plots")
        drawn = all_charts(self._record, self.events, self._record.get("baselines") or {})
        return {chart["id"]: _figure(graphs, chart) for chart in drawn if not chart["empty"]}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Copy the run to a directory that stays. From then on this object is about the copy.

        Raises:
            ConfigError: the directory exists and is not empty.
        """
        target = Path(path).expanduser()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError("there is something here already", value=str(target), action="Give an empty directory")
        shutil.copytree(self._directory, target, dirs_exist_ok=True)
        if self._discard is not None:
            self._discard()
            self._discard = None
        self._directory = target
        self.__dict__.pop("release", None)
        return target

    def __repr__(self) -> str:
        name, measured = self._record["config"]["run"]["name"], self.quality.get("loo-99neg") or {}
        epsilon = self.privacy.get("epsilon_released")
        promise = "no noise, nothing promised" if epsilon is None else f"epsilon {epsilon:.3g} a {self.privacy['unit']}"
        quality = f"HR@10 {figure(measured.get('hr@10'))}, NDCG@10 {figure(measured.get('ndcg@10'))}"
        quality += f" ({MARK})" if measured else ""
        return f"<Run {name!r}: {quality}; {promise}; in {self._directory}>"


def _history(data: Dataset, place: int) -> list[Event]:
    """A user's events in time order."""
    table = data.interactions
    rows = slice(*np.searchsorted(table.user, [place, place + 1]).tolist())
    met = zip(table.item[rows].tolist(), table.timestamp[rows].tolist(), table.rating[rows].tolist(), strict=True)
    return [
        Event(data.items[item].id, time if time >= 0 else None, None if math.isnan(rating) else rating)
        for item, time, rating in met
    ]


def _figure(graphs: Any, chart: Mapping[str, Any]) -> go.Figure:
    make = graphs.Bar if chart["kind"] == "bar" else graphs.Scatter
    drawn = graphs.Figure(make(x=chart["x"], y=chart["y"], hovertext=chart["hover"], name=chart["title"]))
    for level in chart["levels"]:
        drawn.add_hline(y=level["value"], line_dash="dot", annotation_text=level["name"])
    drawn.update_layout(title=chart["title"], xaxis_title="round", yaxis_title=chart["unit"] or chart["title"])
    return drawn
