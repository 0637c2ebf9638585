"""Two people share a device, and the manifest counts one a device: amplification by sampling is not theirs.

They are drawn together. So what the one adds shows that the other was drawn, and a release tells the two apart by more
than is claimed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from manifest_cases import Deployment, deployed_settings
from pytest import MonkeyPatch
from scipy.stats import norm

from fedrec.client import start
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.simulation.study import Study

NOISE, SHARE, DELTA = 1.0, 0.01, 1e-5


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    return Deployment.make(federation_study, tmp_path, deployed_settings(secure_aggregation={"protocol": "secagg+"}))


def _told_apart(known: float, above: float) -> float:
    """H(P || Q) at e^above of one round: a device that adds ``known`` of another's, and one row or none."""
    seen = np.linspace(-12, 14, 260_001)
    drawn = norm.pdf(seen, known + 1, NOISE), norm.pdf(seen, known, NOISE)
    there, gone = ((1 - SHARE) * norm.pdf(seen, 0, NOISE) + SHARE * found for found in drawn)
    return float(np.trapezoid(np.maximum(there - np.exp(above) * gone, 0), seen))


def test_what_two_people_on_one_device_would_show() -> None:
    claimed = epsilon([QueryCost("training", NOISE, sampling="poisson", probability=SHARE)], DELTA)
    assert _told_apart(0.0, claimed) <= DELTA
    assert _told_apart(3.0, claimed) > 100 * DELTA, "three others of a device that are known give the fourth away"


@pytest.mark.parametrize("off", [False, True])
def test_a_device_with_more_people_than_the_manifest_counts(
    off: bool, deployed: Deployment, monkeypatch: MonkeyPatch
) -> None:
    with EventStore.open(deployed.stores[0]) as store:
        store.add_events("another", [Event(deployed.study.features.ids[0])])
    if off:
        monkeypatch.setattr(start, "_check_users", lambda manifest, users: None)
        assert start.check_device(deployed.node_config()).store == deployed.stores[0]
        return
    with pytest.raises(ConfigError, match="counts one a device"):
        start.check_device(deployed.node_config())


def test_a_manifest_that_counts_them_lets_it_start(deployed: Deployment) -> None:
    with EventStore.open(deployed.stores[0]) as store:
        store.add_events("another", [Event(deployed.study.features.ids[0])])
    more = deployed.draft(deployed_settings(secure_aggregation={"protocol": "secagg+"}), counter=2)
    deployed.sign(more.model_copy(update={"users": more.users + 1}))
    assert start.check_device(deployed.node_config()).store == deployed.stores[0]
