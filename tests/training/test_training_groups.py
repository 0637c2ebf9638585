"""Parts of the model clipped apart: as brute force over single rows has it, in every way of getting gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st
from training_worlds import small_features, small_population

from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError, ModelError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.objective import Objective
from fedrec.model.rows import Rows
from fedrec.randomness import key
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients
from fedrec.training.groups import ParameterGroups
from fedrec.training.learner import Learner
from fedrec.training.tables import Tables

POOL = np.arange(0, 40, 3, dtype=np.int32)
NAMES = (
    "encoders.text.weight",
    "encoders.text.bias",
    "encoders.image.weight",
    "fusion.a",
    "tower.b",
)
SHARES = {"encoders": 0.7, "encoders.image": 0.1, "rest": 0.2}


def a_config(groups: dict[str, float], **training: object) -> Config:
    model = {"dimension": 4, "notes": True, "fusion": "gated"}
    return from_tree({"model": model, "privacy": {"groups": groups, "clip": 0.05}, "training": training})


def the_rows(config: Config) -> Rows:
    shape = RowShape(config.training.positives, 7, notes=True)
    (rows,) = build_rows(small_population(), Tables(small_features()), POOL, shape, key=key(0, "rows"), batch_rows=100)
    return rows


def brute_force(objective: Objective, rows: Rows, bound: float, shares: dict[str, float]) -> np.ndarray:
    """Row by row and part by part, with plain autograd."""
    named = parameters.shared_parameters(objective)
    total = {name: torch.zeros_like(value) for name, value in named.items()}
    for place in range(rows.rows):
        loss = objective(rows.select(slice(place, place + 1))).sum()
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        given_ = {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(named.items(), found, strict=True)}
        groups: dict[str, list[str]] = {}
        for name in given_:
            fits = [k for k in shares if k != "rest" and name.removeprefix("model.").startswith(k)]
            groups.setdefault(max(fits, key=len, default="rest"), []).append(name)
        for group, members in groups.items():
            norm = float(torch.cat([given_[name].flatten() for name in members]).norm())
            part = bound * np.sqrt(shares[group] / sum(shares.values()))
            for name in members:
                total[name] += given_[name] * min(1.0, part / max(norm, 1e-12))
    return torch.cat([value.flatten() for value in total.values()]).double().numpy()


@pytest.mark.parametrize("mode", ["bookkeeping", "hooks", "ghost", "functional"])
@pytest.mark.parametrize("bound", [0.05, 300.0])
def test_each_group_is_clipped_as_brute_force_does(mode: str, bound: float) -> None:
    config = a_config(SHARES, positives=3)
    rows = the_rows(config)
    expected = brute_force(Objective(build_model(config, small_features()), config.training), rows, bound, SHARES)
    model = Objective(build_model(config, small_features()), config.training)
    gradients = ClippedGradients(model, lambda losses, _: losses, bound, mode, SHARES)  # type: ignore[arg-type]
    for _ in range(2):
        total, norms, _ = gradients(rows)
        assert np.linalg.norm(total - expected) <= 1e-5 * max(1.0, np.linalg.norm(expected))
    assert (norms > bound).any() == (bound == 0.05)
    plain = Objective(build_model(config, small_features()), config.training)
    whole = ClippedGradients(plain, lambda losses, _: losses, bound, "functional")(rows)[0]
    assert np.allclose(whole, total, atol=1e-6) == (bound == 300.0)


def test_each_part_of_a_row_stays_within_its_share_and_the_whole_within_the_clip() -> None:
    config = a_config({"encoders": 3.0, "rest": 1.0})
    learner = Learner(config, small_features())
    values = parameters.flatten(learner.model) * 20
    people = small_population()
    for user in range(1, len(people)):
        gradient = learner.update(people.take(np.array([user])), values, POOL, 1).gradient
        parts = parameters.named_parts(learner.model, gradient)
        heads = np.sqrt(sum((part**2).sum() for name, part in parts.items() if name.startswith("encoders")))
        assert heads <= 0.05 * np.sqrt(0.75) * (1 + 1e-5)
        assert np.linalg.norm(gradient) <= 0.05 * (1 + 1e-5)


@given(
    samples=st.integers(0, 10_000),
    scale=st.floats(1e-3, 1e3),
    bound=st.floats(1e-3, 1e3),
    shares=st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
)
@few(max_examples=40)
def test_squares_of_the_parts_add_up(samples: int, scale: float, bound: float, shares: list[float]) -> None:
    groups = ParameterGroups.split(NAMES, dict(zip(SHARES, shares, strict=True)))
    assert sum(part**2 for part in groups.parts) == pytest.approx(1)
    norms = scale * torch.rand((len(NAMES), 6), generator=torch.Generator().manual_seed(samples)).double()
    factors, reach = groups.factors(norms, bound)
    kept = torch.stack([norms[place] * factors[group] for place, group in enumerate(groups.of)])
    assert (kept.norm(dim=0) <= bound * (1 + 1e-9)).all()
    # A row within every part is left alone; one that is clipped somewhere is said to be beyond.
    assert ((reach <= bound * (1 + 1e-9)) == (factors > 1 - 1e-9).all(dim=0)).all()


def test_names_go_to_the_longest_that_fits() -> None:
    groups = ParameterGroups.split([f"model.{name}" for name in NAMES], SHARES)
    assert groups.of == (0, 0, 1, 2, 2)
    assert ParameterGroups.split(NAMES, {}) == ParameterGroups((0,) * 5, (1.0,))


@pytest.mark.parametrize("shares", [{"encoders": 1.0}, {"rest": 1.0, "heads": 1.0}, {"encoders.te": 1.0, "rest": 1.0}])
def test_groups_that_do_not_fit_the_model_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=r"privacy\.groups"):
        ParameterGroups.split(NAMES, shares)


def test_settings_refuse_what_groups_do_not_go_with() -> None:
    for privacy in ({"groups": {"rest": 0.0}}, {"groups": {"rest": 1.0}, "noise_place": "local", "unit": "example"}):
        with pytest.raises(ConfigError):
            from_tree({"privacy": privacy, "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}}})
    with pytest.raises(ConfigError, match="canaries"):
        from_tree({"privacy": {"groups": {"rest": 1.0}, "epsilon": 1.0}, "audit": {"canaries": 50}})
