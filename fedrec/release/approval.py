"""The publisher's approval of a release: their signature over the manifest that the server signed.

The server's key says who made a release.  Whether devices are to rank with it is the publisher's to say, with the key
that signs rosters and run manifests and that no server holds.  Devices that know the publisher require it.
"""

from __future__ import annotations

from typing import Final

from fedrec.errors import ProtocolError, ReleaseError
from fedrec.secagg.identity import ID_BYTES, SIGNATURE_BYTES, verify

APPROVAL: Final = "publisher.sig"
"""The file: the publisher's public key (32 bytes) and signature (64 bytes)."""
APPROVAL_BYTES: Final = ID_BYTES + SIGNATURE_BYTES
LABEL: Final = b"release approval"


def check_approval(data: bytes | None, manifest: bytes, publisher: bytes) -> None:
    """Hold a release to the publisher's approval.

    Args:
        data: the file's content; None where there is none.
        manifest: the release's, as it was signed.
        publisher: the public key, 32 bytes.

    Raises:
        ReleaseError: there is none, it is another's, or it does not hold.
    """
    if data is None:
        raise ReleaseError(
            "the publisher has not approved this release, whoever made it",
            action="Take one from the publisher, who approves releases with fedrec release approve",
        )
    public, signature = data[:ID_BYTES], data[ID_BYTES:]
    if public != publisher:
        raise ReleaseError(
            "the release is approved by another publisher than this device's",
            value=public.hex()[:16],
            action="Do not use it",
        )
    try:
        verify(publisher, LABEL, manifest, signature)
    except ProtocolError:
        raise ReleaseError("the publisher's approval is not of this release", action="Do not use it") from None
