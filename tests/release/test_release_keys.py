from __future__ import annotations

import copy
import logging
import os
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedrec.errors import ReleaseError
from fedrec.release.keys import (
    SigningKey,
    create_key,
    fingerprint,
    load_key,
    public_from_text,
    read_public_key,
    verify,
)

# RFC 8032, section 7.1, test 1: secret and public key.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_a_created_key_is_loaded_and_private(tmp_path: Path) -> None:
    made = create_key(tmp_path / "deep" / "key.pem")
    loaded = load_key(tmp_path / "deep" / "key.pem")
    assert loaded.public == made.public
    assert (tmp_path / "deep" / "key.pem").stat().st_mode & 0o777 == 0o600
    verify(made.public, b"x", b"message", loaded.sign(b"x", b"message"))


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    create_key(tmp_path / "key.pem")
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(ReleaseError, match="already"):
        create_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    create_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(ReleaseError, match="others may read"):
        load_key(tmp_path / "key.pem")


def test_a_file_without_a_signing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot read"):
        load_key(tmp_path / "none.pem")
    other = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, data in {"empty": b"", "text": b"hello", "x25519": other}.items():
        with os.fdopen(os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(data)
        with pytest.raises(ReleaseError, match="no Ed25519"):
            load_key(tmp_path / name)


def test_the_secret_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(SECRET))
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("signing with %r %s", key, key)
    shown = f"{key!r} {key} {caplog.text}"
    assert SECRET.hex()[:12] not in shown
    assert repr(SECRET)[2:12] not in shown
    assert key.fingerprint in shown


def test_the_secret_cannot_be_copied_or_pickled() -> None:
    key = SigningKey.fresh()
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(key)


def test_public_key_and_fingerprint_are_the_standards() -> None:
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(SECRET))
    assert key.public == PUBLIC == public_from_text(f" {PUBLIC.hex()}\n")
    assert key.fingerprint == fingerprint(PUBLIC) != fingerprint(SECRET)
    assert len(key.fingerprint) == len("sha256:") + 64


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31, "ab" * 33])
def test_a_text_that_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ReleaseError, match="64 hex digits"):
        public_from_text(text)


def test_context_and_message_cannot_trade_bytes() -> None:
    key = SigningKey.fresh()
    signature = key.sign(b"ab", b"c")
    verify(key.public, b"ab", b"c", signature)
    for context, message in ((b"a", b"bc"), (b"abc", b""), (b"ab", b"d"), (b"", b"abc")):
        with pytest.raises(ReleaseError):
            verify(key.public, context, message, signature)


def test_a_public_key_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(PUBLIC.hex() + "\n")
    assert read_public_key(tmp_path / "key.pub") == PUBLIC
    (tmp_path / "words.pub").write_text("no key")
    (tmp_path / "bytes.pub").write_bytes(b"\xff" * 64)
    for name in ("none.pub", "words.pub", "bytes.pub"):
        with pytest.raises(ReleaseError):
            read_public_key(tmp_path / name)
