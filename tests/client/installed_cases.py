"""An environment into which this checkout is installed, so that an isolated interpreter finds it and nothing else."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def installed_python(directory: Path) -> Path:
    """Make a virtual environment that has this checkout and what the running interpreter has; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    [packages] = directory.glob("lib/python*/site-packages")
    paths = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (packages / "checkout.pth").write_text("\n".join(dict.fromkeys(paths)) + "\n")
    return directory / "bin" / "python"
