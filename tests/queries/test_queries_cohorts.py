"""Who is asked in a round follows from public randomness, and is the same for whoever reckons it."""

from __future__ import annotations

from collections import Counter

import federation_cases as cases
import numpy as np
import pytest
import query_cases

from fedrec.config import Config
from fedrec.queries.cohorts import are_public, cohort_key, public_cohort
from fedrec.queries.request import Request
from fedrec.secagg.roster import Roster
from fedrec.server.node_places import NodePlaces
from fedrec.server.sampling import Sampler

KEY, DEVICES = bytes(range(32)), 60
PARAMETERS = np.zeros(17, dtype=np.float32)


def config(sampling: str, cohort: int = 20, **training: object) -> Config:
    return cases.settings(training={"sampling": sampling, "cohort": cohort, "rounds": 9, **training})


def asked(settings: Config, number: int) -> Request:
    return query_cases.training(settings, number, PARAMETERS, 40, 30)


@pytest.mark.parametrize("sampling", ["fixed", "cyclic"])
def test_server_and_devices_reckon_the_same_cohorts(sampling: str) -> None:
    settings = config(sampling)
    sampler = Sampler(settings, DEVICES, KEY)
    for number in range(1, 9):
        found = public_cohort(settings, asked(settings, number), DEVICES, KEY)
        assert found == tuple(sampler.cohort(number))
        assert found is not None
        assert len(set(found)) == len(found) == 20
        assert list(found) == sorted(found)
        assert found != public_cohort(settings, asked(settings, number), DEVICES, bytes(32))


def test_a_query_that_everybody_is_asked_has_everybody_in_its_cohort() -> None:
    everybody = tuple(range(DEVICES))
    settings = config("fixed")
    assert public_cohort(settings, query_cases.popularity(settings, 40, 30), DEVICES, KEY) == everybody
    whole = config("full", cohort=0)
    assert public_cohort(whole, asked(whole, 1), DEVICES, KEY) == everybody


def test_what_is_drawn_in_secret_cannot_be_recomputed() -> None:
    for sampling in ("poisson", "balls-in-bins"):
        assert not are_public(config(sampling))
        assert public_cohort(config(sampling), asked(config(sampling), 1), DEVICES, KEY) is None
    secret = config("fixed", secret_cohorts=True)
    assert public_cohort(secret, asked(secret, 1), DEVICES, KEY) is None


def test_groups_deal_everybody_once_and_samples_are_drawn_anew() -> None:
    settings = config("cyclic")
    groups = [public_cohort(settings, asked(settings, number), DEVICES, KEY) or () for number in (1, 2, 3)]
    assert sorted(place for group in groups for place in group) == list(range(DEVICES))
    settings = config("fixed")
    counts = Counter(
        place
        for number in range(1, 9)
        for place in public_cohort(settings, asked(settings, number), DEVICES, KEY) or ()
    )
    assert len(counts) > 45
    assert max(counts.values()) < 8


def test_a_simulation_draws_from_its_seed_as_its_engine_does() -> None:
    from fedrec import randomness

    settings = config("fixed")
    assert cohort_key(settings, None) == randomness.key(settings.run.seed, "cohorts")


def test_nodes_are_asked_until_it_is_known_who_they_are() -> None:
    ids = [bytes([number]) * 32 for number in range(5)]
    places = NodePlaces([50, 10, 30, 20, 40], Roster.of(ids))
    assert places.nodes([1, 2], public=True) == [10, 20, 30, 40, 50]
    places.learn({30: ids[2]})
    assert places.nodes([2], public=True) == [30]
    assert places.nodes([1, 2], public=True) == [10, 20, 30, 40, 50]
    places.learn({50: ids[1], 10: ids[4]})
    assert places.nodes([1, 2], public=True) == [30, 50]
    assert places.nodes([0, 4], public=True) == [10, 20, 40]
    assert (places.device(50), places.device(20)) == (ids[1], b"")
    # A secret sample has the nodes' own order for places: a device that is not drawn would not refuse.
    assert places.nodes([0, 3], public=False) == [10, 40]
