"""Runs that break their claim, each in one way: the audit must refute every one, and no run that keeps it.

Each mutant replaces one piece of the real path by a wrong one, for the length of a test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit.families import Claim
from fedrec.audit.scores import log_likelihood_ratios
from fedrec.audit.verdict import bounds, count_guesses, plan_guesses, pooled
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.privacy.accountant import QueryCost, epsilon, gaussian_noise
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.queries import cooccurrence, popularity
from fedrec.queries.device import directions, factors
from fedrec.queries.device.power_iteration import projected
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.randomness import key
from fedrec.server.noise import ServerNoise
from fedrec.server.sampling import Sampler
from fedrec.simulation.engines.audited import RAW_NORM, CanaryHandler
from fedrec.simulation.privacy.auditing import AuditRuns, audited_run
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from fedrec.training import learner
from fedrec.training.groups import ParameterGroups

pytestmark = pytest.mark.slow

Patch = Callable[[pytest.MonkeyPatch], None]
USERS, ITEMS, CANARIES, DELTA = 24, 400, 1000, 1e-5
SEEDS = (0, 1, 2)
TRAINING = {"popularity": False, "cooccurrence": {"enabled": False}}
# One canary an item: then they do not disturb each other in sums of histories either.
HISTORIES = {"collaborative": {"popularity": True, "cooccurrence": {"enabled": True}}, "audit": {"canaries": ITEMS}}
FACTORS: dict[str, Any] = {
    "model": {"tower": False},
    "collaborative": {
        "popularity": True,
        "power_iteration": {"enabled": True, "steps": 1, "rank": 12},
        "prior": {"weight": 1.0, "modalities": {"text": 1.0}},
    },
    "audit": {"canaries": ITEMS},
}
RAMP = 20
RAMPED: dict[str, Any] = {
    "model": {"tower": False},
    "collaborative": {"popularity": True, "short_history_weighting": RAMP, "cooccurrence": {"enabled": True}},
    "audit": {"canaries": 100},
}
RAMPED_EXAMPLE = RAMPED | {"privacy": {"unit": "example"}, "audit": {"canaries": ITEMS - RAMP}}


def settings(**sections: Any) -> Config:
    tree: dict[str, Any] = {
        "run": {"reproducible": True},
        "collaborative": TRAINING,
        "training": {"rounds": 4, "negatives": 32},
        "privacy": {"epsilon": 4.0, "delta": DELTA},
        "audit": {"canaries": CANARIES},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    return from_tree(tree)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    torch.set_num_threads(1)
    directory: Path = tmp_path_factory.mktemp("audited")
    write_shop(directory / "shop", users=USERS, items=ITEMS, seed=1, private_users=0)
    with mock.patch.dict(os.environ, {"FEDREC_CACHE": str(directory / "cache")}):
        yield prepare(settings(), directory / "shop", SilentReporter())


def audited(config: Config, study: Study, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Several runs of one claim, pooled."""
    runs = tuple(
        audited_run(config.model_copy(update={"run": config.run.model_copy(update={"seed": seed})}), study)
        for seed in seeds
    )
    return AuditRuns(runs, seeds, tuple(0.0 for _ in seeds)).facts()


EXAMPLE = {"privacy": {"unit": "example"}, "training": {"rounds": 4, "negatives": 32, "examples": 4}}
POISSON = {"training": {"rounds": 10, "negatives": 32, "sampling": "poisson", "cohort": 200}}


FIXED = {"training": {"rounds": 10, "negatives": 32, "sampling": "fixed", "cohort": 512}}


def seen(claim: float, sections: dict[str, Any]) -> float | None:
    """The epsilon that an estimate should be near. A fixed cohort of half is accounted as if all were asked."""
    if sections is POISSON:
        return None
    z = gaussian_noise(claim, DELTA) * (2**0.5 if sections is FIXED else 1)
    return epsilon([QueryCost("training", z)], DELTA)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        HISTORIES,
        {"privacy": {"epsilon": 1.0}},
        {"privacy": {"epsilon": 8.0}},
        EXAMPLE,
        POISSON,
        FIXED,
        FACTORS,
        RAMPED,
        RAMPED_EXAMPLE,
    ],
    ids=[
        "user",
        "histories",
        "epsilon 1",
        "epsilon 8",
        "example",
        "poisson",
        "fixed",
        "factors",
        "short histories",
        "short histories, example",
    ],
)
def test_runs_that_keep_their_claim_are_not_refuted(sections: dict[str, Any], study: Study) -> None:
    # Estimates scatter by about 0.2 at claim 1 and 0.4 at claim 8, so a small claim takes more runs to judge.
    seeds = range(6 if sections.get("privacy", {}).get("epsilon") == 1.0 else 2)
    found = audited(settings(**sections), study, tuple(seeds))
    assert not found["violated"]
    assert not any(run["violated"] for run in found["runs"])
    # And the audit is awake: what it sees is about what is claimed.
    assert found["epsilon_lower_bound"] > 0.15 * found["claim"]["epsilon"]
    estimates = [run["estimate"]["epsilon"] for run in found["runs"]]
    expected = seen(found["claim"]["epsilon"], sections)
    if expected is None:
        assert estimates == [None] * len(seeds)
    else:
        assert np.mean(estimates) == pytest.approx(expected, rel=0.3)


def no_clip(patch: pytest.MonkeyPatch) -> None:
    honest = ParameterGroups.factors

    def unclipped(self: ParameterGroups, norms: torch.Tensor, bound: float) -> tuple[torch.Tensor, torch.Tensor]:
        factors, reach = honest(self, norms, bound)
        return torch.ones_like(factors), reach

    patch.setattr(ParameterGroups, "factors", unclipped)


def canary_not_clipped(patch: pytest.MonkeyPatch) -> None:
    """One kind of device skips its clip; everybody else's is right."""

    def raw(self: CanaryHandler, rows: sparse.csr_matrix) -> NDArray[np.float64]:
        return RAW_NORM * np.asarray(rows.sum(axis=0), dtype=np.float64).ravel()

    patch.setattr(CanaryHandler, "clipped", raw)


def half_noise(patch: pytest.MonkeyPatch) -> None:
    right = GaussianMechanism.noise
    patch.setattr(GaussianMechanism, "noise", lambda self, secret, length: right(self, secret, length) / 2)


def third_of_noise_in(*queries: str) -> Patch:
    """The noise of some sums is a third of what the ledger is charged for."""

    def patched(patch: pytest.MonkeyPatch) -> None:
        right = ServerNoise.of

        def third(self: ServerNoise, request: Request) -> NDArray[np.float64]:
            return right(self, request) / (3 if request.query in queries else 1)

        patch.setattr(ServerNoise, "of", third)

    return patched


def positions_beyond_their_bound(patch: pytest.MonkeyPatch) -> None:
    """A user's position among the directions is three times as long as it may be."""
    right = projected
    for module in (directions, factors):
        patch.setattr(module, "projected", lambda *asked: 3 * right(*asked))


def noise_for_the_mean_item(patch: pytest.MonkeyPatch) -> None:
    """Noise is sized as if one of n items moved a history by 1 / n, and it moves it by 1 / sqrt(n)."""
    for module in (popularity, cooccurrence):
        patch.setattr(module, "example_bound", lambda full_length: 1 / max(full_length, 1))


def noise_reused(patch: pytest.MonkeyPatch) -> None:
    right = ServerNoise._key
    patch.setattr(ServerNoise, "_key", lambda self, query, number: right(self, query, 1))


def always_drawn(patch: pytest.MonkeyPatch) -> None:
    """The claim counts on a secret Poisson draw, and everybody is in every round."""
    patch.setattr(Sampler, "cohort", lambda self, number: range(self.devices))
    patch.setattr(Sampler, "most", property(lambda self: self.devices))


def drawn_too_often(patch: pytest.MonkeyPatch) -> None:
    """Six draws of the claimed chance, one on top of the other."""
    right = Sampler.cohort

    def cohort(self: Sampler, number: int) -> list[int]:
        return sorted(set().union(*(right(self, number + 1_000 * draw) for draw in range(6))))

    patch.setattr(Sampler, "cohort", cohort)
    patch.setattr(Sampler, "most", property(lambda self: self.devices))


def whole_clip_for_shared_rows(patch: pytest.MonkeyPatch) -> None:
    """Unit example: a row that an interaction may turn around is bounded by the clip instead of half of it."""
    patch.setattr(learner, "row_bound", lambda config, clip=None: config.privacy.clip)


MUTANTS: dict[str, tuple[dict[str, Any], Patch]] = {
    "no clip": ({}, no_clip),
    "canary not clipped": ({}, canary_not_clipped),
    "half noise": ({}, half_noise),
    "half noise, histories too": (HISTORIES, half_noise),
    "factors: third of the noise": (FACTORS, third_of_noise_in("popularity", "directions", "factors")),
    "factors: third of the noise but in counts": (FACTORS, third_of_noise_in("directions", "factors")),
    "factors: positions beyond their bound": (FACTORS, positions_beyond_their_bound),
    "short histories: third of the noise": (RAMPED, third_of_noise_in("popularity", "cooccurrence")),
    "short histories, example: third of the noise": (RAMPED_EXAMPLE, third_of_noise_in("popularity", "cooccurrence")),
    "short histories, example: noise for the mean item": (RAMPED_EXAMPLE, noise_for_the_mean_item),
    "noise reused over rounds": ({}, noise_reused),
    "claimed sampling, none done": (POISSON, always_drawn),
    "sampled six times over": (POISSON, drawn_too_often),
    "example: no clip": (EXAMPLE, no_clip),
    "example: whole clip for shared rows": (EXAMPLE, whole_clip_for_shared_rows),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_refuted(name: str, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    sections, patch = MUTANTS[name]
    patch(monkeypatch)
    # A run without training takes a moment, and what is wrong in some of its sums only takes more of them to show.
    found = audited(settings(**sections), study, tuple(range(8)) if sections is FACTORS else SEEDS)
    assert found["violated"], found["f_dp"]
    assert found["epsilon_lower_bound"] >= found["claim"]["epsilon"]


def mechanism_counts(target: float, size: int, seed: int, factor: float) -> dict[str, Any]:
    """One private sum with a canary an element, opened under ``factor`` times the noise of the claim."""
    claim = Claim((QueryCost("training", gaussian_noise(target, DELTA)),), DELTA)
    agreed = PrivateSum.of("training", size, 1.0, size, resolution_bits=20)
    included = np.random.default_rng(seed).random(size) < 0.5
    opened = agreed.open(agreed.add(None, agreed.encode(included.astype(np.float64), int(included.sum()))))
    cost = claim.costs[0]
    noise = GaussianMechanism(cost.noise_multiplier * factor, agreed.sensitivity, agreed.resolution)
    noisy = opened + noise.noise(key(seed, "mechanism"), size)
    scores = log_likelihood_ratios(sparse.eye(size, format="csr"), noisy, noise.standard_deviation / factor)
    return count_guesses(scores, included, plan_guesses(claim, size, 0.95))


@pytest.mark.parametrize("target", [1.0, 4.0, 8.0])
@pytest.mark.parametrize(("factor", "violated"), [(1.0, False), (0.5, True)])
def test_the_mechanism_alone_at_every_claim(target: float, factor: float, violated: bool) -> None:
    """Ten private sums of 2,000 canaries each, pooled: the right noise is kept, half of it is refuted."""
    claim = Claim((QueryCost("training", gaussian_noise(target, DELTA)),), DELTA)
    counts = pooled([mechanism_counts(target, 2000, seed, factor) for seed in range(10)])
    assert bounds(claim, counts, 0.95)["violated"] is violated
