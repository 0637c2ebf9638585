"""What travels in a secure sum: strict, and bound to everything that was asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedrec.config import SecureAggregationSettings
from fedrec.errors import ProtocolError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.secure_wire import (
    Invitation,
    message_fields,
    message_parts,
    read_message,
    thresholds_of,
)
from fedrec.queries.wire import Envelope, Part

SUM = PrivateSum.of("training", 5, 1.0, 100, resolution_bits=16)
QUESTION = Request("training", 3, 5, SUM, {"parameters": np.arange(4, dtype=np.float32)}, {"loss": "bpr"})
ENVELOPE = Envelope(QUESTION, "session", "catalogue")
INVITATION = Invitation(ENVELOPE, 2)
ROSTER = bytes(32)
RANDOM = bytes(range(32)), tuple(range(100))


def test_an_invitation_reads_back() -> None:
    again = Invitation.read(INVITATION.fields(), INVITATION.parts())
    assert again.attempt == 2
    assert again.envelope.digest == ENVELOPE.digest


@pytest.mark.parametrize("attempt", ["", "-1", "256", "1.0", " 1", "01", 1, None])
def test_an_attempt_is_a_number_from_0_to_255(attempt: object) -> None:
    with pytest.raises(ProtocolError):
        Invitation.read({**INVITATION.fields(), "attempt": attempt}, INVITATION.parts())


def test_an_invitation_without_an_attempt_or_with_more_is_refused() -> None:
    for fields in (ENVELOPE.fields(), {**INVITATION.fields(), "more": "1"}):
        with pytest.raises(ProtocolError):
            Invitation.read(fields, INVITATION.parts())


def changed() -> list[Invitation]:
    moved = replace(QUESTION, arrays={"parameters": np.array([0, 1, 2, 4], np.float32)})
    wider = replace(QUESTION, arrays={"parameters": np.arange(4, dtype=np.float32).reshape(2, 2)})
    return [
        Invitation(replace(ENVELOPE, request=moved), 2),
        Invitation(replace(ENVELOPE, request=wider), 2),
        Invitation(replace(ENVELOPE, request=replace(QUESTION, settings={"loss": "bce"})), 2),
        Invitation(replace(ENVELOPE, request=replace(QUESTION, round=4)), 2),
        Invitation(replace(ENVELOPE, request=replace(QUESTION, number=6)), 2),
        Invitation(replace(ENVELOPE, request=replace(QUESTION, sum=replace(SUM, rows=101))), 2),
        Invitation(replace(ENVELOPE, session="other"), 2),
        Invitation(replace(ENVELOPE, catalogue="other"), 2),
        Invitation(ENVELOPE, 1),
    ]


@pytest.mark.parametrize("other", changed())
def test_a_sum_is_bound_to_all_that_is_asked(other: Invitation) -> None:
    assert other.agreed("run", ROSTER, *RANDOM).digest != INVITATION.agreed("run", ROSTER, *RANDOM).digest


def test_a_sum_is_bound_to_run_and_roster() -> None:
    digest = INVITATION.agreed("run", ROSTER, *RANDOM).digest
    assert digest == INVITATION.agreed("run", ROSTER, *RANDOM).digest
    assert digest != INVITATION.agreed("other", ROSTER, *RANDOM).digest
    assert digest != INVITATION.agreed("run", b"\1" * 32, *RANDOM).digest


def test_a_sum_is_bound_to_its_seed_and_to_whom_it_is_asked_of() -> None:
    digest = INVITATION.agreed("run", ROSTER, *RANDOM).digest
    assert digest != INVITATION.agreed("run", ROSTER, bytes(32), RANDOM[1]).digest
    assert digest != INVITATION.agreed("run", ROSTER, RANDOM[0], tuple(range(99))).digest
    assert digest != INVITATION.agreed("run", ROSTER, RANDOM[0], None).digest


def test_the_ring_is_that_of_the_sum() -> None:
    agreed = INVITATION.agreed("run", ROSTER, *RANDOM)
    assert (agreed.ring, agreed.length) == (SUM.ring, SUM.length)


def test_a_sum_is_known_by_its_number_in_the_run() -> None:
    assert INVITATION.agreed("run", ROSTER, *RANDOM).round == QUESTION.number == 5


def test_a_message_reads_back_and_nothing_else_does() -> None:
    fields, parts = message_fields(), message_parts(b"abc")
    assert read_message(fields, parts) == b"abc"
    bad = [
        ({**fields, "protocol": "none"}, parts),
        ({**fields, "more": 1}, parts),
        ({"format": 1}, parts),
        (fields, {}),
        (fields, {**parts, "more": parts["message"]}),
        (fields, {"message": Part("int8", (3,), b"abc")}),
        (fields, {"message": Part("uint8", (3, 1), b"abc")}),
        (fields, {"message": Part("uint8", (4,), b"abc")}),
    ]
    for wrong_fields, wrong_parts in bad:
        with pytest.raises(ProtocolError):
            read_message(wrong_fields, wrong_parts)


def test_floors_are_the_settings() -> None:
    thresholds = thresholds_of(
        SecureAggregationSettings(minimum_cohort=9, minimum_survivors=4, corrupt=0.2, rounds_a_day=7), 50
    )
    assert thresholds.assumptions.roster == 50
    assert (thresholds.cohort, thresholds.survivors, thresholds.rounds_a_day, thresholds.assumptions.corrupt) == (
        9,
        4,
        7,
        0.2,
    )
