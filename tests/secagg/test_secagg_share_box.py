"""Boxes of shares: what their owner commits itself to in the open is what is in them, or their holder knows."""

from __future__ import annotations

import pytest
from secagg_cases import source

from fedrec.errors import ProtocolError
from fedrec.secagg.sealed_shares import seal
from fedrec.secagg.share_box import BOX_BYTES, MASK, OWN, commitments_of, make_box, read_box, share_commitment

KEY, OWNER, HOLDER, CONTEXT = (bytes([number]) * 32 for number in range(4))
MASK_SHARE, OWN_SHARE = (b"\0" + source(name)(31) for name in ("mask", "own"))
BOX = make_box(KEY, OWNER, HOLDER, CONTEXT, MASK_SHARE, OWN_SHARE)


def test_a_box_holds_what_it_says() -> None:
    assert len(BOX) == BOX_BYTES
    assert read_box(KEY, OWNER, HOLDER, CONTEXT, BOX) == (MASK_SHARE, OWN_SHARE)
    assert commitments_of(BOX) == (
        share_commitment(MASK, OWNER, HOLDER, CONTEXT, MASK_SHARE),
        share_commitment(OWN, OWNER, HOLDER, CONTEXT, OWN_SHARE),
    )


@pytest.mark.parametrize("at", [0, 40, BOX_BYTES - 33, BOX_BYTES - 32, BOX_BYTES - 16, BOX_BYTES - 1])
def test_a_changed_box_is_complained_of(at: int) -> None:
    changed = BOX[:at] + bytes([BOX[at] ^ 1]) + BOX[at + 1 :]
    with pytest.raises(ProtocolError):
        read_box(KEY, OWNER, HOLDER, CONTEXT, changed)


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_a_box_of_another_context_is_complained_of(wrong: int) -> None:
    names = [KEY, OWNER, HOLDER, CONTEXT]
    names[wrong] = b"x" * 32
    with pytest.raises(ProtocolError):
        read_box(*names, BOX)


def test_an_owner_that_seals_other_shares_than_it_commits_itself_to_is_complained_of() -> None:
    sealed = seal(KEY, OWNER, HOLDER, CONTEXT, OWN_SHARE + MASK_SHARE)
    with pytest.raises(ProtocolError, match="committed"):
        read_box(KEY, OWNER, HOLDER, CONTEXT, sealed + BOX[-32:])


def test_what_is_no_share_is_complained_of() -> None:
    """Else its holder could only give what nobody can use, and would be taken for a liar."""
    with pytest.raises(ProtocolError, match="malformed"):
        read_box(KEY, OWNER, HOLDER, CONTEXT, make_box(KEY, OWNER, HOLDER, CONTEXT, b"\xff" * 32, OWN_SHARE))


def test_commitments_are_bound_to_secret_owner_holder_and_context() -> None:
    found = {
        share_commitment(secret, owner, holder, context, OWN_SHARE)
        for secret in (MASK, OWN)
        for owner in (OWNER, b"o" * 32)
        for holder in (HOLDER, b"h" * 32)
        for context in (CONTEXT, b"c" * 32)
    }
    assert len(found) == 16 and all(len(one) == 16 for one in found)
