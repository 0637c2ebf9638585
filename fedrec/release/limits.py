"""How large a release may be: what a reader holds a manifest to before it reads a file or allocates anything for it.

What bounds memory, for a release of ``n`` bytes within these limits:

- files are read whole: n, and once more while arrays are copied out of them;
- JSON becomes Python values, which take up to 25 times its text (an empty list is 3 bytes of text and 64 of memory),
  so that text has limits of its own, far below those of arrays;
- arrays take what their file takes, which `fedrec.release.tensors` holds each header to;
- a model is laid out without memory and compared with the arrays before it is built (`fedrec.release.model_state`);
- what ranking derives from it (vectors of all items, a square of factors) is held to ``derived`` or
  ``derived_ratio`` times n, whichever is more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from fedrec.errors import ConfigError, ReleaseError
from fedrec.release.contents import ReleaseContents
from fedrec.release.manifest import FileEntry

CATALOGUE_FILE: Final = "catalogue.json"
_ARRAYS: Final = ".safetensors"
_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_ACTION = "Do not use it; if the publisher vouches for it, read it with larger limits (fedrec.release.limits)"


@dataclass(frozen=True)
class ReleaseLimits:
    """What a reader accepts; sizes in bytes, of 1 KiB at least.

    Args:
        files: beside the manifest, at least 1.
        text: of a file of JSON or Markdown.
        catalogue: of ``catalogue.json``: ids and titles.
        arrays: of a file of arrays.
        total: of all files together.
        derived: of what ranking derives, whatever the release's size.
        derived_ratio: of what ranking derives, in sizes of the release, at least 1.

    Raises:
        ConfigError: a limit below these.
    """

    files: int = 64
    text: int = 4 * _MIB
    catalogue: int = 128 * _MIB
    arrays: int = 4 * _GIB
    total: int = 8 * _GIB
    derived: int = 256 * _MIB
    derived_ratio: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 1 if field.name in ("files", "derived_ratio") else _KIB
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"a release's limit of {field.name} is at least {least}", value=value)

    def largest(self, name: str) -> int:
        """The most bytes of the file of this name."""
        if name == CATALOGUE_FILE:
            return self.catalogue
        return self.arrays if name.endswith(_ARRAYS) else self.text

    def check_files(self, files: Mapping[str, FileEntry]) -> None:
        """Raise ReleaseError where a manifest names more, or larger files than these."""
        if len(files) > self.files:
            raise ReleaseError(f"the release has more than {self.files} files", value=len(files), action=_ACTION)
        for name, entry in files.items():
            if entry.size > self.largest(name):
                what = f"{name} of the release is larger than {self.largest(name):,} bytes"
                raise ReleaseError(what, value=entry.size, action=_ACTION)
        total = sum(entry.size for entry in files.values())
        if total > self.total:
            raise ReleaseError(f"the release is larger than {self.total:,} bytes", value=total, action=_ACTION)

    def check_derived(self, contents: ReleaseContents, size: int) -> None:
        """Raise ReleaseError where ranking with a release of ``size`` bytes would take more memory than these allow."""
        allowed, needed = max(self.derived, self.derived_ratio * size), derived_bytes(contents)
        if needed > allowed:
            what = f"ranking with this release of {size:,} bytes would take more than {allowed:,} bytes"
            raise ReleaseError(what, value=needed, action=_ACTION)


def derived_bytes(contents: ReleaseContents) -> int:
    """How many bytes ranking derives at most: float32 vectors of the items, and float64 squares of the factors."""
    items, found = len(contents.items.ids), 0
    if contents.model is not None:
        # Fusion `late` keeps the modalities' vectors side by side.
        found += 4 * items * contents.model.settings.dimension * max(1, len(contents.model.shapes))
    if contents.collaborative is not None and contents.collaborative.factors is not None:
        # A Gram matrix, its directions, and the factors turned by them.
        width = contents.collaborative.factors.shape[1]
        found += 8 * width * (2 * width + items)
    return found
