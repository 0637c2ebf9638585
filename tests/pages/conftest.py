"""A shop, a run on it, and the device of one of its users; made once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages_cases import Place

from fedrec.console import SilentReporter
from fedrec.data.reader import read_dataset
from fedrec.data.splits import split
from fedrec.simulation import demo
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of ``fedrec demo``, of fewer users and with one round."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDREC_CACHE", str(out / "cache"))
        write_shop(out / demo.SHOP, users=30, items=500, seed=0)
        config = demo.demo_config(0)
        training = config.training.model_copy(update={"rounds": 1})
        evaluation = config.evaluation.model_copy(update={"every": 0})
        changed = config.model_copy(update={"training": training, "evaluation": evaluation})
        simulate(changed, out / demo.SHOP, out, reporter=SilentReporter())
        dataset = read_dataset(out / demo.SHOP)
        held = split(dataset)
        demo.make_device(out / demo.DEVICE, dataset, held, demo.shown_person(dataset, held))
        yield out


@pytest.fixture
def device_place(made_demo: Path, tmp_path: Path) -> Place:
    """A device that a test may change."""
    shutil.copy(made_demo / demo.DEVICE, tmp_path / "device.sqlite")
    return Place(tmp_path / "device.sqlite", made_demo / "model", made_demo / demo.SHOP)
