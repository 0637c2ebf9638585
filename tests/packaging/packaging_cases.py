"""Processes of their own: what a process imports, and when, cannot be seen from within a test run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BLOCKED: Final = Path(__file__).with_name("blocked.py")


def run_python(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python with this checkout first on its path; fails with what was printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def run_blocked(modules: Sequence[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code where some modules are not there."""
    return run_python(BLOCKED, ",".join(modules), code)


def loaded_by(code: str) -> set[str]:
    """The modules that are loaded after some code ran."""
    done = run_python("-c", f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))")
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str | Path) -> str:
    """Code that runs ``fedrec`` with these arguments, and fails where it fails."""
    return (
        "import fedrec.cli.main\n"
        f"code = fedrec.cli.main.build()({[str(one) for one in arguments]!r}, standalone_mode=False)\n"
        "assert not code, code\n"
    )
