"""README.md: short, with links that lead somewhere and commands that run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_cases import ROOT, blocks, console_lines, text_of

README = text_of(ROOT / "README.md")


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_it_is_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150


def test_its_figures_stand_in_the_page_that_says_how_they_were_made() -> None:
    quality = text_of(ROOT / "docs" / "quality.md")
    section = README[README.index("## What it reaches") : README.index("## From Python")]
    figures = set(re.findall(r"\.\d{3}", section))
    assert len(figures) > 15
    assert figures <= set(re.findall(r"\.\d{3}", quality))


def test_what_takes_minutes_is_a_target_of_the_makefile() -> None:
    made = [line.split()[1] for line in console_lines(README) if line.startswith("make ")]
    assert {"demo", "test"} <= set(made) <= targets()


def test_its_python_is_the_example_that_another_test_runs() -> None:
    [block] = blocks(README, "python")
    example = (ROOT / "examples" / "own_data.py").read_text(encoding="utf-8")
    assert block.strip() == example.split('"""')[2].strip()


@pytest.mark.slow
def test_every_other_command_runs_as_it_stands(tmp_path: Path) -> None:
    script = [line for line in console_lines(README) if not line.startswith("make ")]
    assert all(line.startswith("fedrec ") for line in script)
    assert len(script) >= 8
    (tmp_path / "simulations").symlink_to(ROOT / "simulations")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "FEDREC_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["privacy"]["epsilon_released"] == pytest.approx(8, rel=1e-3)
    assert "<html" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "# Privacy statement" in done.stdout or "Privacy statement" in done.stdout
    assert len(list((tmp_path / "devices").glob("*.sqlite"))) == 200
