"""What a process keeps of a device's sum changes no message, is forgotten at the end, and lets nothing bad through."""

from __future__ import annotations

from dataclasses import replace

import pytest
from secagg_cases import World, agree, identities

from fedrec.secagg import device as device_module
from fedrec.secagg.agreement import PrivateKey
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Advertise
from fedrec.secagg.neighbourhood import check_signatures
from fedrec.secagg.roster import Roster
from fedrec.secagg.round_memory import RoundMemory
from fedrec.secagg.signature_memory import SignatureMemory

COUNT = 5


def restarted(world: World, memories: list[RoundMemory] | None) -> None:
    """Every device begins anew from its state, as between two messages."""
    for at, device in enumerate(world.devices):
        state = world.rounds[at].to_state()
        known = device, world.roster, world.agreed, world.thresholds, world.replay_guards[at]
        memory = None if memories is None else memories[at]
        world.rounds[at] = DeviceRound(*known, now=0, memory=memory).restore(state)


def sent(memories: list[RoundMemory] | None) -> list[list[bytes]]:
    """All messages of a sum in which every device begins anew between two exchanges. Shares are drawn anew."""
    world = World.of(COUNT)
    cohorts = world.advertise()
    # Randomness is drawn in the first two exchanges: the first restart comes after them.
    inboxes = world.share(cohorts)
    restarted(world, memories)
    views = world.check_boxes(inboxes)
    restarted(world, memories)
    lists = world.mask(views)
    restarted(world, memories)
    certificates = world.confirm(lists)
    restarted(world, memories)
    world.check(world.unmask(certificates))
    return world.sent


def warm() -> list[RoundMemory]:
    signatures = SignatureMemory()
    return [RoundMemory(signatures) for _ in range(COUNT)]


def test_a_memory_changes_no_message() -> None:
    assert sent(warm()) == sent(None)


def test_what_was_worked_out_once_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed: list[PrivateKey] = []

    def counted(*arguments, **named):  # type: ignore[no-untyped-def]
        agreed.append(arguments[1])
        return plain(*arguments, **named)

    plain = device_module.box_keys
    monkeypatch.setattr(device_module, "box_keys", counted)
    sent(warm())
    # By the devices that shared without a memory, and once by each that was restarted with one.
    assert len(agreed) == 2 * COUNT
    agreed.clear()
    sent(None)
    assert len(agreed) == 5 * COUNT


def test_at_the_end_nothing_is_kept() -> None:
    memories = warm()
    sent(memories)
    for memory in memories:
        assert (memory._found, memory._written, memory._of) == (None, None, ())


def test_another_cohort_is_not_taken_for_the_one_that_is_known() -> None:
    world, memories = World.of(COUNT), warm()
    cohorts = world.advertise()
    for at, cohort in cohorts.items():
        world.rounds[at]._memory = memories[at]
        world.rounds[at].share(cohort)
    again = World.of(COUNT)
    again.advertise()
    changed = bytearray(cohorts[0])
    changed[-1] ^= 1  # the last byte of a neighbour's signature
    again.rounds[0]._memory = memories[0]
    with pytest.raises(RefusedError) as caught:
        again.rounds[0].share(bytes(changed))
    assert caught.value.reason is Reason.BAD_SIGNATURE


def test_a_signature_that_held_vouches_for_no_other() -> None:
    devices = identities(3)
    roster = Roster.of(one.public for one in devices)
    plain = Advertise(0, bytes(64), agree(roster).digest, bytes(32), bytes(32))
    signed = [(replace(plain, device=at).signed(one), one.public) for at, one in enumerate(devices)]
    memory = SignatureMemory()
    check_signatures(signed, 1, memory)
    check_signatures(signed, 1, memory)
    others = [
        (replace(signed[0][0], signature=signed[1][0].signature), devices[0].public),
        (replace(signed[0][0], mask_key=bytes(31) + b"1"), devices[0].public),
        (signed[0][0], devices[1].public),
    ]
    for other in others:
        for _ in range(2):  # one that did not hold is checked again
            with pytest.raises(RefusedError) as caught:
                check_signatures([other], 1, memory)
            assert caught.value.reason is Reason.BAD_SIGNATURE
