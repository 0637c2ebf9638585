"""A release that tests may change."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_cases import KEY
from release_cases import CREATED, contents

from fedrec.release.bundle import write_release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    directory = tmp_path / "release"
    write_release(directory, contents(), key=KEY, created_at=CREATED)
    return directory
