"""What a run leaves, written for TensorBoard and MLflow and read back by the real libraries."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import MissingExtraError
from fedrec.simulation.tracking.figures import measured, settings_of
from fedrec.simulation.tracking.to_mlflow import write_mlflow
from fedrec.simulation.tracking.to_tensorboard import write_tensorboard
from fedrec.simulation.tracking.write import write_tracking

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


def test_only_finite_figures_are_taken_and_nothing_is_made_up() -> None:
    assert {(one.name, one.step): one.value for one in measured(RECORD, LINES)} == WANTED
    assert list(measured({}, [])) == list(measured(dict.fromkeys(RECORD), [dict.fromkeys(LINES[0])])) == []
    assert settings_of(RECORD)["run.seed"] == "3"
    assert settings_of(RECORD)["privacy.epsilon"] == ""


@pytest.mark.skipif(not CAN_TENSORBOARD, reason="TensorBoard is not installed")
def test_tensorboard_reads_the_curves_back(out: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(write_tensorboard(out, RECORD, LINES)))
    found.Reload()
    curves = {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert set(curves) == {name for name, _ in WANTED}
    assert curves["privacy/epsilon_spent"] == [(1, 3.0), (2, 8.0)]
    assert curves["final/loo-99neg/hr_at_10"] == [(2, 0.5)]
    texts = {name: found.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in found.Tags()["tensors"]}
    assert "| run.seed | 3 |" in texts["settings/text_summary"]
    assert texts["card/text_summary"] == "# A card\n"


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MLFLOW, reason="MLflow is not installed")
def test_mlflow_reads_the_run_back(out: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=write_mlflow(out, RECORD, LINES))
    experiment = client.get_experiment_by_name("fedrec")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "tracked"
    assert run.info.status == "FINISHED"
    assert run.data.params["run.seed"] == "3"
    assert run.data.metrics["final/epsilon_released"] == 8.0
    history = client.get_metric_history(run.info.run_id, "privacy/epsilon_spent")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 8.0)]
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"run.json", "MODEL_CARD.md"}
    # A second run goes beside the first.
    write_mlflow(out, RECORD, LINES)
    assert len(client.search_runs([experiment.experiment_id])) == 2


@pytest.mark.skipif(not CAN_TENSORBOARD, reason="TensorBoard is not installed")
def test_a_run_in_its_directory_is_written_for_what_was_asked(out: Path) -> None:
    (out / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    assert write_tracking(["tensorboard", "tensorboard"], out, RECORD) == {"tensorboard": str(out / "tensorboard")}
    assert len(list((out / "tensorboard").iterdir())) == 1


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
        write_mlflow(out, RECORD, LINES)
