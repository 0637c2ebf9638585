"""What `flwr build` packs for a SuperLink: the two apps and the package, and nothing that only this checkout needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from packaging_cases import ROOT

from fedrec.code_hash import code_hash
from fedrec.simulation.engines.flower import command_of

MOST_BYTES = 10_000_000  # Flower takes no larger one
# Flower looks at each file of a clone, and a virtual environment has 70,000: here it has one.
LARGE = shutil.ignore_patterns(".venv", ".git", ".hypothesis", "*_cache", "__pycache__", "out", "build", "dist")


@pytest.mark.slow
def test_the_bundle_has_the_apps_and_the_package_and_no_tests(tmp_path: Path) -> None:
    environment = {**os.environ, "FLWR_HOME": str(tmp_path / "home"), "FLWR_DISABLE_UPDATE_CHECK": "1"}
    environment["FLWR_TELEMETRY_ENABLED"] = "0"
    clone = Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=LARGE))
    (clone / ".venv" / "fedrec").mkdir(parents=True)
    (clone / ".venv" / "fedrec" / "installed.py").touch()
    command = [command_of("flwr"), "build", "--app", str(clone)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [bundle] = tmp_path.glob("*.fab")
    with zipfile.ZipFile(bundle) as opened:
        names = set(opened.namelist())
        opened.extractall(tmp_path / "unpacked")
    assert bundle.stat().st_size < MOST_BYTES
    assert {name.split("/")[0] for name in names} == {
        "fedrec",
        "server",
        "client",
        "pyproject.toml",
        "LICENSE",
        ".info",
    }
    assert {name for name in names if name.startswith("server/")} == {"server/__init__.py", "server/app.py"}
    assert {name for name in names if name.startswith("client/")} == {"client/__init__.py", "client/app.py"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "fedrec").rglob("*.py")}
    assert {name for name in names if name.startswith("fedrec/") and name.endswith(".py")} == modules
    # What is signed of the code holds on a server, which runs the bundle, as on a device, which runs what it installed.
    assert code_hash(tmp_path / "unpacked" / "fedrec") == code_hash(ROOT / "fedrec")
