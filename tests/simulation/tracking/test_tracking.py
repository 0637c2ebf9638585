"""What a run leaves, written for TensorBoard and MLflow and read back by the real libraries."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.console import SilentReporter
from fedrec.errors import MissingExtraError
from fedrec.simulation.tracking import live
from fedrec.simulation.tracking.figures import of_line, of_record, settings_of
from fedrec.simulation.tracking.live import TrackedRun, tracking
from fedrec.simulation.tracking.to_mlflow import MlflowRun
from fedrec.simulation.tracking.to_tensorboard import TensorboardRun

CAN_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None
CAN_MLFLOW = importlib.util.find_spec("mlflow") is not None

RECORD: dict[str, Any] = {
    "about": "simulation: no protection",
    "config": {
        "run": {"name": "tracked", "seed": 3},
        "content": {"modalities": ["text"]},
        "privacy": {"epsilon": None},
    },
    "quality": {"loo-99neg": {"hr@10": 0.5, "ndcg@10": float("nan")}},
    "privacy": {"epsilon_released": 8.0, "epsilon_server": None},
    "cost": {"seconds": 12.5},
}
LINES: list[dict[str, Any]] = [
    {"query": "popularity", "round": 0, "seconds": 1.0, "loss": None, "epsilon_spent": 3.0, "quality": None},
    {"query": "training", "round": 1, "loss": 2.5, "epsilon_spent": 8.0, "quality": {"loo-99neg": {"hr@10": 0.4}}},
]
WANTED = {
    ("cost/seconds", 1): 1.0,
    ("privacy/epsilon_spent", 1): 3.0,
    ("privacy/epsilon_spent", 2): 8.0,
    ("training/loss", 2): 2.5,
    ("quality/loo-99neg/hr_at_10", 2): 0.4,
    ("final/loo-99neg/hr_at_10", None): 0.5,
    ("final/epsilon_released", None): 8.0,
    ("final/seconds", None): 12.5,
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1}))
    (tmp_path / "model" / "MODEL_CARD.md").write_text("# A card\n")
    return tmp_path


def whole(run: TrackedRun) -> str:
    """Write the run from its beginning to its end; where it is."""
    run.write(LINES)
    run.finish(RECORD)
    return run.place


def curves(out: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads in a run's directory."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}


def take_down(out: Path, *lines: dict[str, Any]) -> None:
    with (out / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_only_finite_figures_are_taken_and_nothing_is_made_up() -> None:
    found = [*of_line(LINES[0], 1), *of_line(LINES[1], 2), *of_record(RECORD)]
    assert {(one.name, one.step): one.value for one in found} == WANTED
    assert [*of_line({}, 1), *of_line(dict.fromkeys(LINES[0]), 1), *of_record(dict.fromkeys(RECORD))] == []
    assert settings_of(RECORD)["run.seed"] == "3"
    assert settings_of(RECORD)["privacy.epsilon"] == ""


@pytest.mark.skipif(not CAN_TENSORBOARD, reason="TensorBoard is not installed")
def test_tensorboard_reads_the_curves_back(out: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(whole(TensorboardRun(out)))
    found.Reload()
    assert set(curves(out)) == {name for name, _ in WANTED}
    assert curves(out)["privacy/epsilon_spent"] == [(1, 3.0), (2, 8.0)]
    assert curves(out)["final/loo-99neg/hr_at_10"] == [(2, 0.5)]
    texts = {name: found.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in found.Tags()["tensors"]}
    assert "| run.seed | 3 |" in texts["settings/text_summary"]
    assert texts["card/text_summary"] == "# A card\n"


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MLFLOW, reason="MLflow is not installed")
def test_mlflow_reads_the_run_back(out: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=whole(MlflowRun(out)))
    experiment = client.get_experiment_by_name("fedrec")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "tracked"
    assert run.info.status == "FINISHED"
    assert run.data.params["run.seed"] == "3"
    assert run.data.metrics["final/epsilon_released"] == 8.0
    history = client.get_metric_history(run.info.run_id, "privacy/epsilon_spent")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 8.0)]
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"run.json", "MODEL_CARD.md"}
    # A second run goes beside the first; cut off after its first line, it has that line, and says that it failed.
    cut_off = MlflowRun(out)
    cut_off.write(LINES[:1])
    cut_off.abandon()
    both = client.search_runs([experiment.experiment_id])
    assert sorted(one.info.status for one in both) == ["FAILED", "FINISHED"]
    [left] = [one for one in both if one.info.status == "FAILED"]
    assert left.data.metrics["privacy/epsilon_spent"] == 3.0


@pytest.mark.skipif(not CAN_TENSORBOARD, reason="TensorBoard is not installed")
def test_curves_grow_while_the_run_goes_on_and_one_that_is_resumed_is_not_doubled(out: Path) -> None:
    with pytest.raises(KeyboardInterrupt), tracking(SilentReporter(), ["tensorboard", "tensorboard"], out) as first:
        take_down(out, LINES[0])
        first.round(LINES[0])
        assert curves(out)["privacy/epsilon_spent"] == [(1, 3.0)]
        raise KeyboardInterrupt
    with tracking(SilentReporter(), ["tensorboard"], out) as second:
        take_down(out, LINES[1])
        second.round(LINES[1])
        assert curves(out)["privacy/epsilon_spent"] == [(1, 3.0), (2, 8.0)]
        assert second.finish(RECORD) == {"tensorboard": str(out / "tensorboard")}
    assert curves(out)["training/loss"] == [(2, 2.5)]
    assert curves(out)["final/seconds"] == [(2, 12.5)]


@pytest.mark.skipif(not CAN_TENSORBOARD, reason="TensorBoard is not installed")
def test_a_tool_that_fails_half_way_spoils_nothing_and_gets_the_whole_run(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    class Failing(TensorboardRun):
        def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
            tried.append(len(lines))
            if len(tried) == 1:
                raise ConnectionError("the server went away")
            super().write(lines)

    monkeypatch.setattr(live, "TensorboardRun", Failing)
    with tracking(SilentReporter(), ["tensorboard"], out) as told:
        for line in LINES:
            take_down(out, line)
            told.round(line)
        told.finish(RECORD)
    assert tried == [1, 2], "left alone until the end"
    assert curves(out)["privacy/epsilon_spent"] == [(1, 3.0), (2, 8.0)]


@pytest.mark.skipif(CAN_MLFLOW, reason="MLflow is installed")
def test_a_tool_that_is_missing_is_said_before_the_run(tmp_path: Path) -> None:
    shop = tmp_path / "no-shop"
    shop.mkdir()
    call = ["simulate", "--data", str(shop), "--out", str(tmp_path / "out"), "--log-to", "mlflow"]
    said = CliRunner().invoke(build(), call)
    assert said.exit_code == MissingExtraError.exit_code
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(CAN_MLFLOW, reason="MLflow is installed")
def test_without_mlflow_it_is_said_how_to_get_it(out: Path) -> None:
    with pytest.raises(MissingExtraError, match="writing for MLflow needs the extra 'tracking'"):
        MlflowRun(out)
