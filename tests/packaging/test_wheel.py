"""What is installed: one name, whole, and working from wherever it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging_cases import ROOT

# What a part of the package reads at run time, beside its modules.
DATA = (
    "py.typed",
    "simulation/attack.toml",
    "simulation/demo.toml",
    "config/shipped/ml100k-fedrec-eps8.toml",
    "simulation/report/report.html.j2",
    "html/page.css",
    "simulation/report/report.js",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network by the backend that is installed."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out, cwd=ROOT)
    [found] = out.glob("*.whl")
    return found


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command to its end, without this checkout on Python's path; fails with what it printed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_has_one_name_and_all_files_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    assert {name.split("/")[0] for name in names} == {"fedrec", f"{wheel.name.split('-py3')[0]}.dist-info"}
    package = ROOT / "fedrec"
    ours = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyi")}
    assert {str(path.relative_to(ROOT)) for path in ours} <= names
    assert {f"fedrec/{name}" for name in DATA} <= names


@pytest.mark.slow
def test_the_wheel_says_what_it_needs_and_which_commands_it_has(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        [metadata] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        said = HeaderParser().parsestr(opened.read(metadata).decode())
        scripts = opened.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    needed = [text for text in said.get_all("Requires-Dist") or [] if "extra ==" not in text]
    for optional in ("ray", "plotly", "jinja2", "pandas", "transformers"):
        assert not any(text.lower().startswith(optional) for text in needed), optional
    assert "fedrec = fedrec.cli.main:main" in scripts
    assert said["Requires-Python"] == ">=3.11"


@pytest.mark.slow
def test_the_installed_wheel_runs_the_demo_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(home), "platbase": str(home)}))
    pip = (sys.executable, "-m", "pip", "--python", home, "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # What fedrec needs is taken from the environment of the tests; its .pth files (and so its own fedrec) are not read.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python, fedrec, elsewhere = home / "bin" / "python", home / "bin" / "fedrec", tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = (
        "import fedrec, fedrec.extras as extras\n"
        "print(fedrec.__file__)\nprint(extras.checkout())\nprint(extras.install_command('data'))"
    )
    said = run(python, "-c", where, cwd=elsewhere).splitlines()
    assert said == [str(site / "fedrec" / "__init__.py"), "None", "pip install 'fedrec[data]'"]
    named = json.loads(run(fedrec, "config", "list", "--json", cwd=elsewhere))["configs"]
    assert set(named) == {path.stem for path in (ROOT / "simulations" / "configs").glob("*.toml")}
    assert all(named.values()), "a config says in its first line what it is for"
    cache = {"FEDREC_CACHE": str(tmp_path / "cache")}
    printed = run(fedrec, "demo", "--users", "20", "--out", "out", "--json", cwd=elsewhere, **cache)
    result = json.loads(printed)
    assert len(result["recommendations"]) == 10
    assert result["run"]["privacy"]["epsilon_released"] > 0
    assert sorted(path.name for path in elsewhere.iterdir()) == ["out"]
    assert "<html" in (elsewhere / "out" / "report.html").read_text()
    checked = json.loads(run(fedrec, "privacy", "verify", "out", "--json", cwd=elsewhere, **cache))
    assert checked["passed"] is True
