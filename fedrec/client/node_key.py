"""A SuperNode's own key, which lets it in at the SuperLink; it is not the device's identity, which is in the store."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedrec.whole_files import PUBLIC, write_whole


def write_node_key(path: Path) -> Path:
    """Make a key (P-384, OpenSSH's format) at ``path``, for its owner alone, and its public key beside it.

    Returns:
        The path of the public key, ``path`` with ``.pub`` behind it.

    Raises:
        StoreError: a file cannot be written.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    plain = serialization.NoEncryption()
    write_whole(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, plain))
    public = path.with_name(path.name + ".pub")
    open_ssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    write_whole(public, key.public_key().public_bytes(*open_ssh), mode=PUBLIC)
    return public
