"""A server that picks who is in a round, so as to have a chosen device among its friends, or to leave one out.

Who is asked follows from the manifest's seed, the round and the roster, and each device recomputes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import query_cases
from manifest_cases import Deployment, deployed_settings

from fedrec.client import secure_device
from fedrec.client.secure_device import SecureDevice
from fedrec.errors import ProtocolError
from fedrec.queries.cohorts import public_cohort
from fedrec.queries.request import Request
from fedrec.queries.secure_wire import Invitation
from fedrec.queries.wire import Envelope
from fedrec.simulation.study import Study

COHORT, ROUND = 20, 2
CONFIG = deployed_settings(
    model={"notes": False, "photos": False},
    training={"sampling": "fixed", "cohort": COHORT, "rounds": 9},
    privacy={"noise_place": "server"},
    secure_aggregation={"protocol": "secagg+"},
)


class PickingServer:
    """It invites whom it likes to a round of training."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.context = deployed.device().device_context
        assert self.context.manifest is not None
        self.run = self.context.manifest.digest
        self.request = query_cases.training(self.context.config, ROUND, np.zeros(17, np.float32), cases.ITEMS, COHORT)

    def invite(self, place: int, request: Request | None = None) -> bytes | None:
        """What a device answers, if it does. Places of the roster are places of the stores."""
        envelope = Envelope(request or self.request, "s" * 32, self.context.catalogue)
        try:
            return SecureDevice(self.deployed.device(place)).advertise(self.run, Invitation(envelope, 0))
        except ProtocolError as error:
            assert "not drawn" in str(error)
            return None

    def joined(self) -> set[int]:
        return {place for place in range(cases.USERS) if self.invite(place) is not None}


@pytest.fixture
def server(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PickingServer]:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    monkeypatch.setattr(
        secure_device, "check_agreed", lambda *_: None
    )  # the round's parameters are not the matter here
    yield PickingServer(Deployment.make(federation_study, tmp_path, CONFIG))


def test_only_whom_the_seed_draws_takes_part(server: PickingServer) -> None:
    drawn = public_cohort(server.context.config, server.request, cases.USERS, server.context.cohort_key)
    assert drawn is not None
    assert server.joined() == set(drawn)
    assert len(drawn) == COHORT


def test_another_signed_seed_draws_others_and_no_word_of_the_servers_does(server: PickingServer) -> None:
    first = server.joined()
    server.deployed.sign(server.deployed.draft(CONFIG, counter=2))
    other = PickingServer(server.deployed)
    assert other.context.cohort_key != server.context.cohort_key
    drawn = public_cohort(CONFIG, other.request, cases.USERS, other.context.cohort_key)
    assert other.joined() == set(drawn or ())
    assert len(first) == len(other.joined()) == COHORT


def test_another_number_of_devices_or_users_than_was_signed_is_refused(server: PickingServer) -> None:
    (place, *_) = server.joined()
    for said in ({"devices": 23}, {"devices": 25}, {"users": 1000}):
        request = replace(server.request, settings={**server.request.settings, **said})
        envelope = Envelope(request, "t" * 32, server.context.catalogue)
        with pytest.raises(ProtocolError, match="than was signed"):
            SecureDevice(server.deployed.device(place)).advertise(server.run, Invitation(envelope, 1))


def test_a_sampled_sum_with_noise_of_devices_says_how_many_there_are(server: PickingServer) -> None:
    """Without it a share of the noise would be sized as if those asked were everybody."""
    (place, *_) = server.joined()
    noisy = server.request.with_noise_of_devices(CONFIG, 0.1, COHORT)
    for settings, refused in ((server.request.settings, True), ({**server.request.settings, "devices": 24}, False)):
        envelope = Envelope(replace(noisy, settings=settings), "t" * 32, server.context.catalogue)
        device = SecureDevice(server.deployed.device(place))
        if refused:
            with pytest.raises(ProtocolError, match="of how many"):
                device.advertise(server.run, Invitation(envelope, 1))
        else:
            assert device.advertise(server.run, Invitation(envelope, 1))


def test_with_the_draw_unchecked_it_gets_whom_it_wants(server: PickingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence off: everybody whom the server asks takes part."""
    monkeypatch.setattr(secure_device, "public_cohort", lambda *_: None)
    assert server.joined() == set(range(cases.USERS))
