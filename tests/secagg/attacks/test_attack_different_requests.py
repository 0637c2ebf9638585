"""A server that asks different devices different things, so that a sum over many is one device's answer.

If all others were shown a model for which their contribution is zero, the "sum" is the target's own vector (Pasquini et
al., CCS 2022).  The request is part of the context that every signature, box and mask is bound to.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from pytest import MonkeyPatch
from secagg_cases import World, agree, source

from fedrec.secagg import context, keys
from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.masks import add_masks, word_type
from fedrec.secagg.messages import Advertise, Complaints
from fedrec.secagg.outcome import Phase
from fedrec.secagg.server import ServerRound
from fedrec.secagg.server_messages import Cohort, View

TARGET = 2


class TwoFaced(ServerRound):
    """Takes in messages of any context."""

    @staticmethod
    def _same(found: bytes, wanted: bytes) -> None:
        return


def _world() -> World:
    """The target is asked the true request; all others one to which the answer is zero."""
    world = World.of(6, server=TwoFaced)
    other = agree(world.roster, request=b"a model that gives zero")
    for at, device in enumerate(world.devices):
        if at != TARGET:
            world.rounds[at] = DeviceRound(
                device,
                world.roster,
                other,
                world.thresholds,
                world.replay_guards[at],
                now=0,
                randomness=source(f"other {at}"),
            )
            world.vectors[at] = np.zeros_like(world.vectors[at])
    return world


def _shown(world: World, cohorts: dict[int, bytes]) -> dict[int, bytes]:
    """Each device sees the digest that it agreed to."""
    return {
        at: replace(Cohort.from_bytes(message, 6), agreed=world.rounds[at]._agreed.digest).to_bytes()
        for at, message in cohorts.items()
    }


def test_on_every_device_refuses_the_others_keys() -> None:
    world = _world()
    for at, message in _shown(world, world.advertise()).items():
        with pytest.raises(RefusedError) as caught:
            world.rounds[at].share(message)
        assert caught.value.reason is Reason.BAD_SIGNATURE


def test_on_without_signatures_the_boxes_do_not_open(monkeypatch: MonkeyPatch) -> None:
    """The second line: with signatures switched off, the target opens no box, is left out, and masks nothing."""
    monkeypatch.setattr(Advertise, "check", lambda self, public: None)
    world = _world()
    sent = {at: world.rounds[at].share(message) for at, message in _shown(world, world.advertise()).items()}
    for message in sent.values():
        assert world.server.receive(message) is None
    for at, message in world._by_place(world.server.close_share()).items():
        # The server says whatever each device wants to hear of the context; the keys do not hear it.
        near = world.rounds[at]._near
        assert near is not None
        shown = message[:2] + near.context + message[34:]
        if at == TARGET:
            complaints = Complaints.from_bytes(world.rounds[at].check(shown), 5)
            assert complaints.slots == frozenset(range(5))
            with pytest.raises(RefusedError) as caught:
                world.rounds[at].mask(View(near.context, 6, frozenset(range(6))).to_bytes(), world.vectors[at])
            assert caught.value.reason is Reason.BAD_BOXES


def test_on_masks_of_different_contexts_do_not_cancel() -> None:
    """The third line: what remains of two neighbours' masks is as good as random, not zero."""
    ring = agree(World.of(3).roster).ring
    one, two = (keys.mask_pair(bytes([at]) * keys.SEED_BYTES) for at in (1, 2))
    for views, cancel in [((b"a" * 32, b"a" * 32), True), ((b"a" * 32, b"b" * 32), False)]:
        total = np.zeros(4096, dtype=word_type(ring))
        add_masks(total, [(keys.mask_key(one[0], one[1], two[1], views[0]), 1)], ring)
        add_masks(total, [(keys.mask_key(two[0], two[1], one[1], views[1]), -1)], ring)
        assert (not total.any()) is cancel
        if not cancel:
            # Uniform on the ring: mean within six standard errors of its middle.
            assert abs(total.mean() / ring.modulus - 0.5) < 6 * 12**-0.5 / 64


def test_off_a_context_without_the_question_gives_the_target_away(monkeypatch: MonkeyPatch) -> None:
    constant = hashlib.sha256(b"always the same").digest()
    monkeypatch.setattr(Agreed, "digest", property(lambda self: constant))
    world = _world()
    opened = world.unmask(world.confirm(world.mask(world.views())))
    np.testing.assert_array_equal(opened.total, world.vectors[TARGET])


@pytest.mark.parametrize(
    "change",
    [
        {"request": b"another"},
        {"round": 2},
        {"attempt": 1},
        {"run": "another"},
        {"length": 6},
        {"bound": 8.0},
        {"resolution": 2.0**-9},
        {"rows": 7},
        {"seed": bytes(32)},
        {"eligible": (0, 1, 2, 3, 4)},
        {"eligible": None},
    ],
)
def test_every_part_of_what_was_agreed_changes_the_context(change: dict[str, object]) -> None:
    roster = World.of(6).roster
    assert agree(roster, **change).digest != agree(roster).digest  # type: ignore[arg-type]
    wider = replace(agree(roster), bits=agree(roster).bits + 1)
    assert wider.digest != agree(roster).digest


def test_everything_in_a_cohort_changes_its_context() -> None:
    base = {"agreed": b"a" * 32, "members": {0, 1, 2}, "size": 5, "degree": 2, "threshold": 2}
    changes = {"agreed": b"b" * 32, "members": {0, 1, 3}, "size": 6, "degree": 3, "threshold": 1}
    contexts = {context.cohort_context(**(base | {name: value})) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(contexts | {context.cohort_context(**base)}) == len(changes) + 1  # type: ignore[arg-type]


def test_on_and_off_keys_put_in_place_of_a_devices_own(monkeypatch: MonkeyPatch) -> None:
    """The server shows the target keys of its own for all its neighbours: it then knows every mask and every share."""
    for off in (False, True):
        world = World.of(5)
        true = world.advertise()
        forged = World.of(5, devices=world.devices, seed=4)
        adverts = [Advertise.from_bytes(device.advertise()) for device in forged.rounds]
        adverts[TARGET] = Advertise.from_bytes(world.sent[0][TARGET])
        # Signed by nobody who could: the server has no device's key.
        fakes = [advert if at == TARGET else replace(advert, signature=bytes(64)) for at, advert in enumerate(adverts)]
        server = ServerRound(world.agreed, world.roster, world.thresholds)
        if off:
            monkeypatch.setattr(Advertise, "check", lambda self, public: None)
        with monkeypatch.context() as patch:
            patch.setattr(Advertise, "check", lambda self, public: None)
            assert all(server.receive(fake.to_bytes()) is None for fake in fakes)
        shown = server.close_advertise()[world.roster.devices[TARGET]]
        assert shown != true[TARGET]
        if not off:
            with pytest.raises(RefusedError) as caught:
                world.rounds[TARGET].share(shown)
            assert caught.value.reason is Reason.BAD_SIGNATURE
            continue
        # The server plays all other devices, with their forged keys.
        forged.rounds[TARGET] = world.rounds[TARGET]
        forged.vectors = [world.vectors[at] if at == TARGET else np.zeros_like(world.vectors[at]) for at in range(5)]
        forged.server = server
        cohorts = dict(enumerate(_replay(server, world)))
        opened = forged.unmask(forged.confirm(forged.mask(forged.check_boxes(forged.share(cohorts)))))
        np.testing.assert_array_equal(opened.total, world.vectors[TARGET])


def _replay(server: ServerRound, world: World) -> list[bytes]:
    """The cohort messages once more: they follow from what the server holds."""
    server.phase = Phase.ADVERTISE
    out = server.close_advertise()
    return [out[device] for device in world.roster.devices]
