"""Every example does what it says, from first line to last."""

from __future__ import annotations

import ast
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples run in a folder of their own, with a cache of their own, and leave nothing outside of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def lines_of_code(text: str) -> int:
    """Lines that are neither blank, nor comments, nor the docstring."""
    docstring = ast.parse(text).body[0]
    assert docstring.end_lineno is not None
    rest = [line.strip() for line in text.splitlines()[docstring.end_lineno :]]
    return sum(bool(line) and not line.startswith("#") for line in rest)


def test_own_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of_code((EXAMPLES / "own_data.py").read_text(encoding="utf-8")) <= 10
    names = runpy.run_path(str(EXAMPLES / "own_data.py"), run_name="__main__")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 6 and told[0].startswith("<Run ")
    assert [line.split()[0] for line in told[1:]] == list("12345")
    known = {f"Album {item}" for user, item, _ in names["heard"] if user == 7}
    assert not known & {line.split(" ", 1)[1].rsplit(" Because", 1)[0] for line in told[1:]}
    assert names["run"].privacy["epsilon_released"] == pytest.approx(8, rel=1e-3)


@pytest.mark.slow
def test_privacy_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["privacy_evaluation.py", str(tmp_path / "place"), "24"])
    runpy.run_path(str(EXAMPLES / "privacy_evaluation.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "# Privacy statement" in told
    rows = told[told.index("epsilon   noise") :].splitlines()
    assert [row.split()[-1] for row in rows[1:4]] == ["holds"] * 3
    assert rows[1].startswith("no noise") and rows[2].startswith("8.00") and rows[3].startswith("1.00")
    assert "not refuted" in rows[4]


@pytest.mark.slow
def test_quickstart_notebook() -> None:
    notebook = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    # Outputs are for whoever runs it: in the tree they would only grow old.
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        exec(compile("".join(cell["source"]), f"quickstart.ipynb, {cell['id']}", "exec"), names)
    assert names["run"].directory == names["place"] / "run"
    assert len(names["release"].items) == 150
    assert names["found"].rank == 3


def test_every_example_is_here() -> None:
    tested = Path(__file__).parent.glob("test_*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in tested)
    assert all(path.name in text for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb"))
