"""Run in a process of its own: what is named on the command line cannot be imported, as if it were not installed.

``python blocked.py MODULE,MODULE CODE``.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Blocker(MetaPathFinder):
    """Says of some modules that they are not there."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise where the module, or a package around it, is blocked; else leave it to the others."""
        if fullname.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


if __name__ == "__main__":
    sys.path.pop(0)  # this directory
    sys.meta_path.insert(0, Blocker(sys.argv[1].split(",")))
    exec(compile(sys.argv[2], "blocked", "exec"))
