"""A device checks every neighbour's signature, on however many threads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from secagg_cases import agree, identities

from fedrec.secagg import neighbourhood
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Advertise
from fedrec.secagg.roster import Roster


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_one_bad_signature_at_any_place_is_found(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbourhood, "_WORTH_A_THREAD", 1)
    devices = identities(7)
    roster = Roster.of(one.public for one in devices)
    plain = Advertise(0, bytes(64), agree(roster).digest, bytes(32), bytes(32))
    signed = [(replace(plain, device=roster.place(one.public)).signed(one), one.public) for one in devices]
    neighbourhood.check_signatures(signed, workers)
    neighbourhood.check_signatures([], workers)
    for at, (advert, public) in enumerate(signed):
        bad = (replace(advert, signature=bytes(64)), public)
        with pytest.raises(RefusedError) as caught:
            neighbourhood.check_signatures([*signed[:at], bad, *signed[at + 1 :]], workers)
        assert caught.value.reason is Reason.BAD_SIGNATURE
