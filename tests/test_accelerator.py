"""Devices: which is chosen, that all of a batch goes there and comes back, and that results do not depend on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fedrec import accelerator
from fedrec.accelerator import current_device, devices_there, exact_device, find_device, symmetric_eigen, use_device
from fedrec.config import ModelSettings, from_tree
from fedrec.errors import ConfigError
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.testing import model_cases as cases
from fedrec.training.clipping import ClippedGradients
from fedrec.training.placement import device_of, on_device

ELSEWHERE = [device for device in devices_there() if device != "cpu"]
META = torch.device("meta")


@pytest.fixture(autouse=True)
def chosen_before() -> Iterator[None]:
    yield
    use_device("cpu")


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        ("auto", ["cuda", "cpu"], "cuda"),
        ("auto", ["mps", "cpu"], "mps"),
        ("auto", ["cpu"], "cpu"),
        ("cpu", ["cuda", "cpu"], "cpu"),
        ("cuda", ["cuda", "mps", "cpu"], "cuda"),
        ("mps", ["cuda", "mps", "cpu"], "mps"),
    ],
)
def test_auto_takes_what_is_there(asked: str, there: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "devices_there", lambda: there)
    assert find_device(asked) == chosen  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "devices_there", lambda: ["cpu"])
    with pytest.raises(ConfigError, match=r"'cuda'.*speed\.device to auto or to cpu"):
        use_device("cuda")
    assert current_device() == "cpu"
    with pytest.raises(ConfigError, match="device"):
        from_tree({"speed": {"device": "tpu"}})


def test_what_needs_float64_stays_on_the_processor_where_an_accelerator_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accelerator, "devices_there", lambda: ["mps", "cpu"])
    assert use_device("auto") == current_device() == "mps"
    assert exact_device() == "cpu"


def test_every_tensor_of_a_batch_is_moved() -> None:
    rows = cases.make_rows(ModelSettings(notes=True, photos=True), cases.SHAPES)
    moved = on_device(rows, META)
    assert {name: value.device for name, value in moved.tensors().items()} == dict.fromkeys(rows.tensors(), META)
    assert moved.rows == rows.rows
    assert moved.positives == rows.positives
    assert on_device(rows, torch.device("cpu")) is rows


@pytest.mark.parametrize(
    "tree", [{}, {"notes": True, "photos": True}, {"user_tower": "attention"}, {"fusion": "gated"}]
)
def test_a_model_makes_no_tensor_beside_the_device_it_is_on(tree: dict[str, object]) -> None:
    """On torch's device without data, where any tensor of the processor's among the others is an error."""
    settings = ModelSettings.model_validate(tree)
    model = Recommender(settings, cases.SHAPES, seed=0, temperature=0.1).to(META)
    rows = on_device(cases.make_rows(settings, cases.SHAPES), device_of(model))
    loss = loss_per_row("sampled-softmax", model(rows), rows).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.device == META
    assert {value.grad.device for value in model.parameters() if value.grad is not None} == {META}


@pytest.mark.skipif(not ELSEWHERE, reason="no accelerator at hand")
@pytest.mark.parametrize("mode", ["hooks", "ghost", "functional"])
def test_clipped_sums_are_those_of_the_processor(mode: str) -> None:
    settings = ModelSettings()
    rows = cases.make_rows(settings, cases.SHAPES)
    sums = []
    for device in ("cpu", use_device("auto")):
        place = "cpu" if device == "cpu" else exact_device()
        model = Recommender(settings, cases.SHAPES, seed=0, temperature=0.1).to(place)
        clipped = ClippedGradients(model, lambda y, r: loss_per_row("sampled-softmax", y, r), 0.1, mode)  # type: ignore[arg-type]
        sums.append(clipped(rows)[0])
    np.testing.assert_allclose(sums[1], sums[0], atol=1e-4)


@pytest.mark.parametrize("device", devices_there())
def test_eigenvectors_are_those_of_the_matrix(device: str) -> None:
    use_device(device)  # type: ignore[arg-type]
    half = np.random.default_rng(0).standard_normal((30, 30))
    matrix = half @ half.T
    values, vectors = symmetric_eigen(matrix)
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, atol=1e-9)


def test_the_benchmark_says_where_no_card_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from simulations.benchmarks import accelerator as benchmark

    monkeypatch.setattr(benchmark, "devices_there", lambda: ["cpu"])
    assert benchmark.measured() == "not at hand"


def test_the_benchmark_measures_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it, with the processor in the place of a card: both sides are then equal."""
    from simulations.benchmarks import accelerator as benchmark

    monkeypatch.setattr(benchmark, "devices_there", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(benchmark, "use_device", lambda asked: asked)
    monkeypatch.setattr(benchmark, "device_name", lambda device: "a card")
    monkeypatch.setattr(benchmark, "exact_device", lambda: "cpu")
    monkeypatch.setattr(benchmark, "_encoded", lambda: lambda device: np.ones(3))
    monkeypatch.setattr(benchmark, "ROWS", 8)
    monkeypatch.setattr(benchmark, "SECONDS", 0.0)
    found = benchmark.measured()
    assert isinstance(found, dict)
    assert found["card"] == "a card"
    assert all(found[name]["parity"] and found[name]["apart"] == 0 for name in ("w1", "tower", "encoding"))
