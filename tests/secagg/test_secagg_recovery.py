"""Opening many secrets: whoever gives a false share is left out and named, by proof, however many lie beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import source

from fedrec.secagg import recovery
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.parameters import choose
from fedrec.secagg.recovery import Liars, SharedSecret, open_many
from fedrec.secagg.reed_solomon import most_errors
from fedrec.secagg.shamir import PRIME, SHARE_BYTES, split


def shared(owner: int, threshold: int, holders: list[int], spoilt: Iterable[int] = ()) -> tuple[bytes, SharedSecret]:
    """A secret and its shares. ``spoilt``: points at which the owner deals what is not on its polynomial."""
    draw = source(f"{owner} {threshold} {len(holders)}")
    secret, points = draw(31), range(1, len(holders) + 1)
    shares = dict(zip(points, split(secret, threshold, points, draw), strict=True))
    shares |= {point: other(shares[point]) for point in spoilt}
    return secret, SharedSecret(
        owner,
        shares,
        dict(zip(points, holders, strict=True)),
        partial(is_dealt, dict(shares)),
        lambda opened: opened == secret,
    )


def is_dealt(dealt: dict[int, bytes], point: int, share: bytes) -> bool:
    return dealt[point] == share


def other(share: bytes) -> bytes:
    return b"\0" + hashlib.sha256(share).digest()[1:]


def lie(secret: SharedSecret, liars: Iterable[int], share: bytes | None = None) -> SharedSecret:
    lies = set(liars)
    shares = {
        point: (other(given) if share is None else share) if secret.holders[point] in lies else given
        for point, given in secret.shares.items()
    }
    return replace(secret, shares=shares)


@dataclass
class Counted:
    """How many decodings were done."""

    count: int = 0


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted, true = Counted(), recovery.decode

    def decode(values: dict[int, int], threshold: int) -> object:
        counted.count += 1
        return true(values, threshold)

    monkeypatch.setattr(recovery, "decode", decode)
    return counted


@settings(max_examples=100, deadline=None)
@given(threshold=st.integers(1, 8), extra=st.integers(0, 10), data=st.data())
def test_any_threshold_of_true_shares_opens_a_secret(threshold: int, extra: int, data: st.DataObject) -> None:
    """As many liars as there are shares beyond the threshold, twice as many as decoding alone could correct."""
    holders = list(range(100, 100 + threshold + extra))
    secret, dealt = shared(7, threshold, holders)
    lies = data.draw(st.sets(st.sampled_from(holders), max_size=extra))
    malformed = data.draw(st.sampled_from([None, b"", bytes(31), b"\xff" * SHARE_BYTES]))
    liars = Liars()
    assert open_many([lie(dealt, lies, malformed)], threshold, liars) == [secret]
    # Whoever stood in the way is named, and all the others with it.
    assert liars == Liars(lies if lies & set(holders[:threshold]) else set(), set())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_an_owner_dealt_falsely_is_decoded_and_only_it_is_named(data: st.DataObject) -> None:
    threshold, extra = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 9))
    holders = list(range(threshold + extra))
    lies = data.draw(st.sets(st.sampled_from(holders), max_size=extra))
    honest = len(holders) - len(lies)
    points = [point for point in range(1, len(holders) + 1) if holders[point - 1] not in lies]
    most = most_errors(honest, threshold)
    spoilt = data.draw(st.sets(st.sampled_from(points), max_size=most)) if most else set()
    secret, dealt = shared(99, threshold, holders, spoilt)
    liars = Liars()
    assert open_many([lie(dealt, lies)], threshold, liars) == [secret]
    assert liars.holders <= lies
    assert liars.owners <= ({99} if spoilt else set())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_the_shares_are_no_wrong_secret_is_opened_and_nobody_honest_is_named(data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, 6))
    holders = list(range(threshold + data.draw(st.integers(0, 6))))
    everybody = st.sets(st.sampled_from(holders))
    lies, spoilt = data.draw(everybody), {point + 1 for point in data.draw(everybody)}
    bad_secret, bad = shared(50, threshold, holders, spoilt)
    secret, good = shared(51, threshold, holders)
    counted, true = Counted(), recovery.decode

    def decode(values: dict[int, int], threshold: int) -> object:
        counted.count += 1
        return true(values, threshold)

    liars = Liars()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recovery, "decode", decode)
        opened = open_many([lie(bad, lies), lie(good, lies, bytes(32))], threshold, liars)
    assert opened[0] in (None, bad_secret)
    assert opened[1] == (secret if len(holders) - len(lies) >= threshold else None)
    assert liars.holders <= lies and liars.owners <= ({50} if spoilt else set())
    assert counted.count <= 1, "at most one for each secret of a lying owner"


def test_nobody_lies_and_nothing_is_looked_at_twice(decodings: Counted) -> None:
    dealt = [shared(owner, 17, list(range(32))) for owner in range(5)]

    def never(point: int, share: bytes) -> bool:
        raise AssertionError

    liars = Liars()
    secrets = [replace(one, dealt=never) for _, one in dealt]
    assert open_many(secrets, 17, liars) == [secret for secret, _ in dealt]
    assert (decodings.count, liars) == (0, Liars())


def test_secrets_that_cannot_be_opened(decodings: Counted) -> None:
    secret, dealt = shared(1, 3, [4, 5, 6, 7, 8])
    never = replace(dealt, owner=2, check=lambda opened: False)
    few = replace(dealt, shares={1: dealt.shares[1]})
    liars = Liars()
    assert open_many([never, few, dealt], 3, liars) == [None, None, secret]
    # All that was dealt fits together, to something else than its owner published.
    assert (liars, decodings.count) == (Liars(set(), {2}), 1)


def test_ten_liars_of_sixty_are_named_and_every_secret_opens(decodings: Counted) -> None:
    parameters = choose(60)
    graph = NeighbourGraph(b"ring".ljust(32, b"\0"), 60, parameters.degree)
    liars = {(7 * at) % 60 for at in range(10)}
    dealt = [shared(owner, parameters.threshold, list(graph.neighbours(owner))) for owner in range(60)]
    found = Liars()
    opened = open_many([lie(one, liars) for _, one in dealt], parameters.threshold, found)
    assert opened == [secret for secret, _ in dealt]
    assert found == Liars(liars, set())
    assert decodings.count == 0


def test_liars_whose_lies_cancel_change_nothing() -> None:
    """Points 3 and 11 of 1 to 14 have equal weights at zero, so opposite errors there leave the secret as it is."""
    secret, dealt = shared(40, 14, list(range(26)))
    number = {point: int.from_bytes(dealt.shares[point], "big") for point in (3, 11)}
    lies = {3: (number[3] + 1) % PRIME, 11: (number[11] - 1) % PRIME}
    cancelled = replace(dealt, shares={**dealt.shares, **{at: lies[at].to_bytes(32, "big") for at in lies}})
    assert open_many([cancelled], 14, Liars()) == [secret]
