"""Opening many secrets of the same holders: liars are found once and left out, work is bounded, no secret is wrong."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import source

from fedrec.secagg import recovery
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.parameters import choose
from fedrec.secagg.recovery import SPARE_DECODINGS, FalseShares, SharedSecret, open_many
from fedrec.secagg.shamir import PRIME, SHARE_BYTES, split


def shared(owner: int, threshold: int, holders: list[int], label: str = "") -> tuple[bytes, SharedSecret]:
    draw = source(f"{owner} {threshold} {len(holders)} {label}")
    secret, points = draw(31), range(1, len(holders) + 1)
    shares = dict(zip(points, split(secret, threshold, points, draw), strict=True))
    return secret, SharedSecret(owner, shares, dict(zip(points, holders, strict=True)), lambda opened: opened == secret)


def lie(secret: SharedSecret, liars: Iterable[int], share: bytes | None = None) -> SharedSecret:
    lies = set(liars)
    shares = {
        point: given if secret.holders[point] not in lies else share or b"\0" + hashlib.sha256(given).digest()[1:]
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


@settings(max_examples=60, deadline=None)
@given(threshold=st.integers(1, 8), extra=st.integers(0, 10), data=st.data())
def test_a_secret_opens_in_spite_of_false_shares(threshold: int, extra: int, data: st.DataObject) -> None:
    holders = list(range(100, 100 + threshold + extra))
    secret, dealt = shared(7, threshold, holders)
    lies = data.draw(st.sets(st.sampled_from(holders), max_size=extra // 2))
    malformed = data.draw(st.sampled_from([None, b"", bytes(31), b"\xff" * SHARE_BYTES]))
    false = FalseShares()
    assert open_many([lie(dealt, lies, malformed)], threshold, false) == [secret]
    assert false.holders <= lies
    first = set(holders[:threshold])
    # Whoever stood in the way is named, and then all the others.
    assert false.owners == ({liar: {7} for liar in lies} if lies & first else {})


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_shares_are_no_wrong_secret_is_opened_and_work_is_bounded(data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, 6))
    holders = list(range(threshold + data.draw(st.integers(0, 6))))
    dealt = [shared(50 + at, threshold, holders) for at in range(4)]
    given = [
        lie(one, data.draw(st.sets(st.sampled_from(holders))), data.draw(st.sampled_from([None, bytes(32)])))
        for _, one in dealt
    ]
    counted, true = Counted(), recovery.decode

    def decode(values: dict[int, int], threshold: int) -> object:
        counted.count += 1
        return true(values, threshold)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recovery, "decode", decode)
        opened = open_many(given, threshold, FalseShares())
    assert all(found in (None, secret) for found, (secret, _) in zip(opened, dealt, strict=True))
    assert counted.count <= len(given) + SPARE_DECODINGS


def test_nobody_lies_and_nothing_is_decoded(decodings: Counted) -> None:
    dealt = [shared(owner, 17, list(range(32))) for owner in range(5)]
    false = FalseShares()
    assert open_many([one for _, one in dealt], 17, false) == [secret for secret, _ in dealt]
    assert (decodings.count, false.holders) == (0, frozenset())


def test_secrets_that_cannot_be_opened(decodings: Counted) -> None:
    secret, dealt = shared(1, 3, [4, 5, 6, 7, 8])
    never = replace(dealt, check=lambda opened: False)
    few = replace(dealt, shares={1: dealt.shares[1]})
    false = FalseShares()
    assert open_many([never, few, dealt], 3, false) == [None, None, secret]
    # Its shares fit together, so that their owner must have lied; nobody who holds one is named for it.
    assert (false.holders, decodings.count) == (frozenset(), 1)
    with_two = lie(dealt, [4, 6])
    assert open_many([with_two], 3, FalseShares()) == [None]


def graph_of(count: int, label: bytes) -> tuple[int, Callable[[int], list[int]]]:
    """Neighbours and threshold as they are for a roster of so many devices."""
    parameters = choose(count)
    graph = NeighbourGraph(label.ljust(32, b"\0"), count, parameters.degree)
    return parameters.threshold, lambda owner: list(graph.neighbours(owner))


@pytest.mark.parametrize("seed", range(3))
def test_ten_liars_of_sixty_are_named_and_every_secret_opens(seed: int, decodings: Counted) -> None:
    """Some have more liars among their holders than can be corrected alone: others' secrets give these away."""
    threshold, holders = graph_of(60, b"ring %d" % seed)
    liars = {(7 * at + seed) % 60 for at in range(10)}
    dealt = [shared(owner, threshold, holders(owner)) for owner in range(60)]
    false = FalseShares()
    opened = open_many([lie(one, liars) for _, one in dealt], threshold, false)
    assert opened == [secret for secret, _ in dealt]
    assert false.holders == liars
    for liar in liars:
        # By so many whose shares it held that no few liars among these could have talked of it so.
        assert threshold <= len(false.owners[liar]) and false.owners[liar] <= set(holders(liar))
    assert decodings.count < 30


def test_the_earlier_way_of_trying_sets_would_not_have_opened_them() -> None:
    """256 sets of 17 of 32 shares, 7 of them false: none is clean. One decoding is enough."""
    secret, dealt = shared(1, 17, list(range(32)))
    false = set(random.Random(3).sample(range(32), 7))
    order = random.Random(32)
    assert all(false & set(order.sample(range(32), 17)) for _ in range(256))
    assert open_many([lie(dealt, false)], 17, FalseShares()) == [secret]


def test_an_owner_who_deals_false_shares_does_not_cost_others_their_secrets() -> None:
    """It makes true holders look false, as many as can be corrected; where they are needed they are still used."""
    holders = list(range(9))
    framed = [0, 1, 2]
    first = lie(shared(20, 3, holders)[1], framed)
    secret, tight = shared(21, 7, holders, "tight")
    false = FalseShares()
    assert open_many([first], 3, false) != [None]
    assert false.owners == {0: {20}, 1: {20}, 2: {20}}
    assert open_many([tight], 7, false) == [secret]
    assert false.owners == {0: {20}, 1: {20}, 2: {20}}


def test_liars_beyond_what_one_secret_corrects_are_known_from_another() -> None:
    """4 of 9 lie and t = 5: 2 is the most that can be corrected, but in a secret where two of them hold nothing."""
    secret, one = shared(20, 5, [0, 1, 10, 11, 12, 13, 14, 15, 16])
    other, hard = shared(21, 5, [0, 1, 2, 3, 10, 11, 12, 13, 14])
    third, known = shared(22, 5, [2, 3, 10, 11, 12, 13, 14, 15, 16])
    liars = range(4)
    assert open_many([lie(hard, liars)], 5, FalseShares()) == [None]
    false = FalseShares()
    assert open_many([lie(each, liars) for each in (hard, one, known)], 5, false) == [other, secret, third]
    assert false.holders == set(liars)


def test_liars_whose_lies_cancel_make_nobody_else_look_false() -> None:
    """Points 3 and 11 of 1 to 14 have equal weights at zero, so opposite errors there leave the secret as it is."""
    holders = list(range(26))
    secret, dealt = shared(40, 14, holders)
    number = {point: int.from_bytes(dealt.shares[point], "big") for point in (3, 11)}
    lies = {3: (number[3] + 1) % PRIME, 11: (number[11] - 1) % PRIME}
    cancelled = replace(dealt, shares={**dealt.shares, **{at: lies[at].to_bytes(32, "big") for at in lies}})
    # An owner that lies has already made holder 20 look false: what is opened here must not add to it.
    false = FalseShares({20: {41}})
    assert open_many([cancelled], 14, false) == [secret]
    assert false.owners == {20: {41}, holders[2]: {40}, holders[10]: {40}}
