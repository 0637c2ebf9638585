"""Agreed keys: both sides the same, every purpose its own, and keys that give nothing away refused."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg import agreement

SEED_A, SEED_B = b"\x01" * 31, b"\x02" * 31

# Points of small order on the curve (RFC 7748, section 6.1): all lead to the all-zero secret.
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


@settings(deadline=None, max_examples=25)
@given(st.binary(min_size=31, max_size=31), st.binary(min_size=31, max_size=31), st.binary(), st.binary())
def test_both_sides_agree(seed_a: bytes, seed_b: bytes, context: bytes, label: bytes) -> None:
    private_a, public_a = agreement.key_pair(seed_a, b"mask")
    private_b, public_b = agreement.key_pair(seed_b, b"mask")
    key = agreement.shared(private_a, public_b, context, label)
    assert key == agreement.shared(private_b, public_a, context, label)
    assert key == agreement.shared(private_a, public_b, context, label, own_public=public_a)
    assert len(key) == 32


def test_everything_that_differs_gives_another_key() -> None:
    private, _ = agreement.key_pair(SEED_A, b"mask")
    other, _ = agreement.key_pair(SEED_A, b"box")
    _, public = agreement.key_pair(SEED_B, b"mask")
    _, third = agreement.key_pair(b"\x03" * 31, b"mask")
    keys = {
        agreement.shared(private, public, b"context", b"mask"),
        agreement.shared(private, public, b"context", b"box"),
        agreement.shared(private, public, b"contexu", b"mask"),
        agreement.shared(private, public, b"", b"maskcontext"),
        agreement.shared(private, public, b"maskcontext", b""),
        agreement.shared(private, third, b"context", b"mask"),
        agreement.shared(other, public, b"context", b"mask"),
        agreement.derive(SEED_A, b"mask"),
        agreement.derive(SEED_A, b"box"),
        agreement.derive(SEED_B, b"mask"),
        agreement.derive(SEED_A, b"mask", b"context"),
        agreement.derive(SEED_A, b"", b"mask"),
    }
    assert len(keys) == 12


def test_derivation_written_out() -> None:
    """HKDF (RFC 5869) by hand: extract with the salt, expand once with the length-prefixed parts as info."""

    def hkdf(secret: bytes, *parts: bytes) -> bytes:
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        extracted = hmac.digest(b"fedrec secure aggregation, version 1", secret, "sha256")
        return hmac.digest(extracted, info + b"\x01", hashlib.sha256)

    private, public = agreement.key_pair(SEED_A, b"mask")
    assert private.private_bytes_raw() == hkdf(SEED_A, b"key pair", b"mask")
    _, peer = agreement.key_pair(SEED_B, b"mask")
    by_hand = hkdf(
        private.exchange(X25519PrivateKey.from_private_bytes(hkdf(SEED_B, b"key pair", b"mask")).public_key()),
        b"shared",
        b"label",
        b"context",
        *sorted((public, peer)),
    )
    assert agreement.shared(private, peer, b"context", b"label") == by_hand
    assert agreement.derive(SEED_A, b"label", b"context") == hkdf(SEED_A, b"stream", b"label", b"context")


def test_pairs_repeat() -> None:
    first, second = agreement.key_pair(SEED_A, b"mask"), agreement.key_pair(SEED_A, b"mask")
    assert first[1] == second[1] == first[0].public_key().public_bytes_raw()
    assert agreement.key_pair(SEED_A, b"box")[1] != first[1] != agreement.key_pair(SEED_B, b"mask")[1]


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_keys_of_small_order_are_refused(public: bytes) -> None:
    private, _ = agreement.key_pair(SEED_A, b"mask")
    with pytest.raises(ProtocolError, match="usable"):
        agreement.shared(private, public, b"context", b"mask")


@pytest.mark.parametrize("public", [b"", bytes(31), b"\x09" * 33])
def test_keys_of_another_length_are_refused(public: bytes) -> None:
    private, _ = agreement.key_pair(SEED_A, b"mask")
    with pytest.raises(ProtocolError, match="usable"):
        agreement.shared(private, public, b"context", b"mask")


@pytest.mark.parametrize("seed", [b"", bytes(30), bytes(32)])
def test_seeds_of_another_length_are_refused(seed: bytes) -> None:
    with pytest.raises(SumError, match="31 bytes"):
        agreement.key_pair(seed, b"mask")
