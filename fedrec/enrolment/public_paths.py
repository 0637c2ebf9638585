"""What a server gives away to every device alike, and under which paths: signed files, and nothing by anybody's wish.

A device holds all of it to the publisher's key, so whoever serves it can withhold it and nothing else.  Every device
asks for the same files, at times that do not depend on its store.
"""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "/fedrec/"
MANIFEST: Final = "manifest"
"""The newest run manifest; `fedrec.queries.run_manifest`."""
ROSTER: Final = "roster"
"""The roster that the manifest names."""
CATALOGUE: Final = "catalogue"
"""The directory with the manifest's catalogue: features and their encoders."""
RELEASE: Final = "release"
"""The directory with the newest release that the publisher approved."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9]+)*")


def public_name(path: str) -> tuple[str, ...] | None:
    """The parts of a file's name that a path asks for, at most two; None where it can be no public file's."""
    if not path.startswith(PREFIX) or len(path) > 200:
        return None
    parts = tuple(path[len(PREFIX) :].split("/"))
    known = parts in ((MANIFEST,), (ROSTER,)) or (len(parts) == 2 and parts[0] in (CATALOGUE, RELEASE))
    return parts if known and all(_NAME.fullmatch(part) for part in parts) else None
