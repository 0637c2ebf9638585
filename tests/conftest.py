"""Fixtures that tests of several folders share; what they are made of is in ``federation_cases``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from fedrec.simulation.study import Study

# One thread a process, set before anything imports NumPy or PyTorch: the arrays of tests are small, and threads that
# wait for one another took up to half of a test's time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Stores and ledgers wait for the disk at each commit, milliseconds a time.  Memory keeps what a killed process wrote as
# well as a disk does.
_MEMORY = Path("/dev/shm")
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# A busy machine is no defect of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

FIRST = ("flower", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that wait for Flower's processes, then with long ones, so that no process ends with one alone.

    pytest-xdist would begin with files of many tests, and end with those of one long one: ``--no-loadscope-reorder``.
    """
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in FIRST])


@pytest.fixture(scope="session")
def federation_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A shop of 24 users, encoded; read only."""
    # Here, so that tests which need no federation do not wait for Flower to be imported.
    import federation_cases as cases

    directory: Path = tmp_path_factory.mktemp("federation")
    with mock.patch.dict(os.environ, {"FEDREC_CACHE": str(directory / "cache")}):
        yield cases.make_study(directory / "shop")


@pytest.fixture(scope="session")
def flower_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app as a clone has it that is not set up: Flower would look at each file of a virtual environment."""
    from server.deploy.app_copy import copy_app

    return copy_app(Path(__file__).resolve().parents[1], tmp_path_factory.mktemp("app") / "fedrec")
