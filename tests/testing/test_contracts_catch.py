"""Each contract accepts a right part from outside and fails for one that breaks it on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import outside_parts as parts
import pytest
import torch

from fedrec.config import TextSettings
from fedrec.config.presets import PRESETS, Preset
from fedrec.content.registry import TEXT_ENCODERS
from fedrec.errors import ConfigError
from fedrec.model.registry import FUSIONS
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.privacy.registry import MECHANISMS
from fedrec.testing import TEXTS, EncoderContract, FusionContract, MechanismContract, PresetContract
from fedrec.testing import model_cases as cases

torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def outside() -> Iterator[None]:
    encoders = {kind.kind: kind for kind in (parts.Words, parts.Moody, parts.Leaky, parts.Centred, parts.Forgetful)}
    with (
        parts.registered(TEXT_ENCODERS, **encoders),
        parts.registered(
            FUSIONS, plain_mean=parts.PlainMean, mixes_rows=parts.MixesRows, reads_missing=parts.ReadsMissing
        ),
        parts.registered(MECHANISMS, **_MECHANISMS),
        parts.registered(PRESETS, own=Preset("text, fused by the maximum", {"model": {"fusion": "max"}})),
    ):
        yield


_MECHANISMS = {
    "laplace": parts.Laplace,
    "laplace_in_l2": parts.LaplaceInL2,
    "one_noise": parts.OneNoise,
    "two_thirds": parts.scaled(GaussianMechanism, 2 / 3),
    "three_halves": parts.scaled(GaussianMechanism, 3 / 2),
    "laplace_two_thirds": parts.scaled(parts.Laplace, 2 / 3),
    "laplace_three_halves": parts.scaled(parts.Laplace, 3 / 2),
    "admits_two_thirds": parts.scaled(GaussianMechanism, 2 / 3, admitted=True),
    "weak_bands": parts.WeakBands,
}


class OfWords(EncoderContract):
    __test__ = False
    content, missing, kind = TEXTS, "", parts.Words

    @classmethod
    def fit(cls) -> parts.Words:
        return cls.kind.fit(TEXTS, TextSettings(dimension=64))

    @classmethod
    def fit_otherwise(cls) -> parts.Words:
        return cls.kind.fit(TEXTS, TextSettings(dimension=63))


class TestWords(OfWords):
    __test__ = True


@pytest.mark.parametrize(
    ("kind", "caught_by"),
    [
        (parts.Moody, "test_encoding_and_fitting_are_deterministic"),
        (parts.Leaky, "test_a_row_does_not_depend_on_its_batch"),
        (parts.Centred, "test_a_row_does_not_depend_on_its_batch"),
        (parts.Forgetful, "test_state_round_trip_encodes_identically"),
    ],
)
def test_a_broken_encoder_is_caught(kind: type[parts.Words], caught_by: str) -> None:
    contract = type("OfBroken", (OfWords,), {"kind": kind})()
    encoder = contract.fit()
    encoded = encoder.encode(TEXTS)
    with pytest.raises(AssertionError):
        getattr(contract, caught_by)(encoder, encoded)


class TestPlainMean(FusionContract):
    fusion = "plain-mean"


@pytest.mark.parametrize(
    ("fusion", "caught_by"),
    [
        ("mixes-rows", "test_a_row_sees_only_itself"),
        ("mixes-rows", "test_an_item_is_fused_from_itself"),
        ("reads-missing", "test_what_is_missing_is_not_read_and_nothing_is_zero"),
    ],
)
def test_a_broken_fusion_is_caught(fusion: str, caught_by: str) -> None:
    broken = type("OfBroken", (FusionContract,), {"fusion": fusion})()
    chosen = FusionContract.chosen.__wrapped__(broken)
    shapes = FusionContract.shapes.__wrapped__(broken)
    rows = cases.make_rows(chosen, shapes).to(torch.float64)
    model = cases.make_model(chosen, shapes, shaken=0.3).double()
    given = FusionContract.given.__wrapped__(broken)
    test = getattr(broken, caught_by)
    with pytest.raises(AssertionError):
        test(given) if "given" in test.__annotations__ else test(model, rows)


class TestLaplace(MechanismContract):
    mechanism = "laplace"


@pytest.mark.parametrize(
    ("mechanism", "caught_by"),
    [
        ("two-thirds", "test_the_declared_deviation_is_the_real_one"),
        ("two-thirds", "test_no_attack_beats_what_is_declared"),
        ("three-halves", "test_the_declared_deviation_is_the_real_one"),
        ("laplace-two-thirds", "test_the_declared_deviation_is_the_real_one"),
        ("laplace-two-thirds", "test_no_attack_beats_what_is_declared"),
        ("laplace-three-halves", "test_the_declared_deviation_is_the_real_one"),
        ("admits-two-thirds", "test_no_attack_beats_what_is_declared"),
        ("laplace-in-l2", "test_no_attack_beats_what_is_declared"),
        ("one-noise", "test_noise_is_whole_steps_and_the_key_decides_it"),
        ("weak-bands", "test_correlated_rounds_cost_what_independent_ones_do"),
    ],
)
def test_a_broken_mechanism_is_caught(mechanism: str, caught_by: str) -> None:
    contract = type("OfBroken", (MechanismContract,), {"mechanism": mechanism})()
    with pytest.raises(AssertionError):
        getattr(contract, caught_by)()


class TestOwnPreset(PresetContract):
    preset, shapes = "own", {"text": (5,), "image": (4,), "attributes": (3,)}


@pytest.mark.parametrize(
    ("preset", "caught_by"),
    [
        (Preset("two\nlines"), "test_it_says_what_it_is_in_a_line"),
        (
            Preset("no share for what it asks", {"privacy": {"shares": {"metrics": 1.0}}}),
            "test_a_private_run_of_it_keeps_its_budget",
        ),
        (Preset("a slip", {"model": {"fusio": "max"}}), "test_what_is_written_wins"),
    ],
)
def test_a_broken_preset_is_caught(preset: Preset, caught_by: str) -> None:
    with parts.registered(PRESETS, broken=preset):
        contract = type("OfBroken", (PresetContract,), {"preset": "broken"})()
        with pytest.raises((AssertionError, ConfigError, KeyError)):
            getattr(contract, caught_by)()
