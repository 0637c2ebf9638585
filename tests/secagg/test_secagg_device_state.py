"""What a device keeps of a round: it goes on from its store, reads it strictly, and shows no secret."""

from __future__ import annotations

import pickle

import pytest
from secagg_cases import World, agree

from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.replay_guard import ReplayGuard


@pytest.mark.parametrize("after", ["advertise", "share", "check", "mask", "confirm", "unmask"])
def test_a_device_goes_on_from_its_store(after: str) -> None:
    """Every device stops and starts after one exchange; the sum is the same."""
    world = World.of(5)

    def restart() -> None:
        for at, device in enumerate(world.rounds):
            fresh = DeviceRound(
                world.devices[at],
                world.roster,
                world.agreed,
                world.thresholds,
                ReplayGuard.from_bytes(world.replay_guards[at].to_bytes()),
                now=0,
            )
            world.rounds[at] = fresh.restore(device.to_state())

    cohorts = world.advertise()
    if after == "advertise":
        restart()
    inboxes = world.share(cohorts)
    if after == "share":
        restart()
    views = world.check_boxes(inboxes)
    if after == "check":
        restart()
    lists = world.mask(views, {2})
    if after == "mask":
        restart()
    certificates = world.confirm(lists)
    if after == "confirm":
        restart()
    opened = world.unmask(certificates)
    world.check(opened)
    assert len(opened.survivors) == 4
    if after == "unmask":
        restart()
        with pytest.raises(RefusedError):
            world.rounds[0].unmask(certificates[0])


def test_a_device_that_restarts_signs_no_second_list() -> None:
    world = World.of(5)
    lists = world.mask(world.views(), {2})
    signer = min(lists)
    world.confirm(lists)
    fresh = DeviceRound(
        world.devices[signer],
        world.roster,
        world.agreed,
        world.thresholds,
        ReplayGuard.from_bytes(world.replay_guards[signer].to_bytes()),
        now=0,
    ).restore(world.rounds[signer].to_state())
    with pytest.raises(RefusedError) as caught:
        fresh.confirm(lists[signer])
    assert caught.value.reason is Reason.OUT_OF_TURN


def test_stored_rounds_are_read_strictly() -> None:
    world = World.of(4)
    world.advertise()
    state = world.rounds[0].to_state()

    def fresh(agreed: object = world.agreed) -> DeviceRound:
        return DeviceRound(world.devices[0], world.roster, agreed, world.thresholds, ReplayGuard(), now=0)  # type: ignore[arg-type]

    for bad in (state[:-1], state + b"\0", b"", b"\x02\x22\x09" + state[3:]):
        with pytest.raises(RefusedError):
            fresh().restore(bad)
    with pytest.raises(RefusedError) as caught:
        fresh(agree(world.roster, round=2)).restore(state)
    assert caught.value.reason is Reason.OTHER_CONTEXT


def test_secrets_are_not_shown_and_not_pickled() -> None:
    world = World.of(4)
    world.share(world.advertise())
    device = world.rounds[0]
    assert device._secrets is not None
    for shown in (repr(device), repr(device._secrets), str(device._secrets), repr(world.devices[0])):
        assert device._secrets.mask.hex() not in shown and repr(device._secrets.mask) not in shown
    for secret in (device, device._secrets, world.devices[0]):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
