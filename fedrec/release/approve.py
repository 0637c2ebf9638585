"""Approve a release: what the publisher does with one that a server made."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fedrec.errors import ReleaseError
from fedrec.release.approval import APPROVAL, LABEL
from fedrec.release.bundle import Release, read_release
from fedrec.release.manifest import MANIFEST
from fedrec.secagg.identity import DeviceIdentity


def approve_release(directory: Path, publisher: DeviceIdentity) -> Release:
    """Put the publisher's approval into a release, in place of any before, after reading all of it.

    Args:
        directory: the release.
        publisher: the key that signs rosters and run manifests.

    Returns:
        The release, so that it can be said what was approved.

    Raises:
        ReleaseError: as `read_release`, or the approval cannot be written.
    """
    release = read_release(directory)
    partial = directory.with_name(f".{directory.name}.{APPROVAL}.new")
    try:
        manifest = (directory / MANIFEST).read_bytes()
        if hashlib.sha256(manifest).hexdigest() != release.id:
            raise ReleaseError("the release changed while it was read", value=str(directory), action="Approve a copy")
        with partial.open("wb") as file:
            file.write(publisher.public + publisher.sign(LABEL, manifest))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(directory / APPROVAL)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ReleaseError(
            f"cannot write the approval: {error.strerror}", value=str(directory), action="Approve a copy of the release"
        ) from None
    return release
