"""Fixtures that tests of several folders share; what they are made of is in ``federation_cases``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import federation_cases as cases
import pytest

from simulations.study import Study


@pytest.fixture(scope="session")
def federation_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A shop of 24 users, encoded; read only."""
    directory: Path = tmp_path_factory.mktemp("federation")
    with mock.patch.dict(os.environ, {"FEDREC_CACHE": str(directory / "cache")}):
        yield cases.make_study(directory / "shop")
