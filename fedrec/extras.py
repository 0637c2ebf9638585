"""Optional parts of fedrec: which there are, and what to say where one that is needed is not installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from fedrec.errors import MissingExtraError

TRAIN: Final = "train"
# Extra -> what a user goes without while it is not installed.
EXTRAS: Final[Mapping[str, str]] = {
    "data": "reading data frames and Parquet files",
    "executorch": "export of a release to ExecuTorch",
    "export": "export of a release to ONNX",
    "pages": "pages in a browser",
    "pretrained": "pretrained encoders of text and pictures",
    "report": "report.html of a run and the page of attacks",
    "simulation": "engine 'flower', which is Flower's simulation runtime on Ray",
    "tracking": "writing runs for TensorBoard and MLflow",
    TRAIN: "training, and a release with a content tower",
}
# What only training needs, by the names that are imported and required: a device's light install leaves it out
# (client/requirements.txt, docs/device.md).
TRAINING: Final = ("torch", "torchvision", "opacus")


def need(module: str, extra: str, *, what: str = "") -> ModuleType:
    """Import a module that comes with an extra.

    Args:
        module: its name, as in ``import``.
        extra: one of `EXTRAS`.
        what: what needs it, for people; by default what the extra is for.

    Raises:
        MissingExtraError: it is not installed or does not import; says what is not to be had without, and the command
            that installs it here.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(extra, str(error), what=what) from None


def is_installed(*modules: str) -> bool:
    """Whether all these modules can be found. None of them is imported, but the packages that they lie in."""
    try:
        return all(importlib.util.find_spec(module) is not None for module in modules)
    except (ImportError, ValueError):  # a package around one is not there, or was blocked
        return False


def without_training(error: ImportError) -> MissingExtraError | None:
    """What to say where an import failed for want of what a light install leaves out; None for any other error."""
    package = (error.name or "").partition(".")[0]
    return missing(TRAIN, str(error)) if package in TRAINING and not is_installed(package) else None


def missing(extra: str, reason: str, *, what: str = "") -> MissingExtraError:
    """The error of an extra (one of `EXTRAS`) that is not installed; ``reason``: what was looked for in vain."""
    text = f"{what or EXTRAS[extra]} needs the extra '{extra}', which is not installed: {reason}"
    return MissingExtraError(text, action=install_command(extra))


def install_command(extra: str) -> str:
    """The command that adds an extra to what is installed here: to a checkout, or to an installed wheel."""
    root = checkout()
    if root is None:
        return f"pip install 'fedrec[{extra}]'"
    return f"pip install -e '{'.' if root == Path.cwd() else root}[{extra}]'"


def checkout() -> Path | None:
    """The directory of the checkout that this package is imported from; None where it is an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if project_of(root) else None


def project_of(root: Path) -> dict[str, Any]:
    """The table ``project`` of fedrec's ``pyproject.toml`` in ``root``; empty where there is none."""
    import tomllib  # of a checkout only

    try:
        tree = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    project: dict[str, Any] = tree.get("project", {})
    return project if project.get("name") == "fedrec" else {}
