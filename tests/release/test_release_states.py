from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from release_cases import contents

from fedrec.config import ModelSettings, TextSettings
from fedrec.content.registry import encoder_to_bytes
from fedrec.content.text_lsa import LsaText
from fedrec.errors import ReleaseError
from fedrec.model.parameters import flatten, flatten_frozen
from fedrec.model.recommender import Recommender
from fedrec.release.bundle import read_release, write_release
from fedrec.release.content_state import encoders, features
from fedrec.release.contents import ModelState, ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.model_state import recommender, state_of

SHAPES = {"text": (4,), "image": (3, 2, 2)}


def trained() -> Recommender:
    settings = ModelSettings(dimension=6, image_encoder="cnn", fusion="gated", notes=True)
    model = Recommender(settings, SHAPES, seed=5, temperature=0.2, offset=True)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.linspace(-1, 1, value.numel()).view(value.shape))
    return model


def through_a_release(given: ReleaseContents, directory: Path) -> ReleaseContents:
    write_release(directory, given, key=SigningKey.fresh())
    return read_release(directory).contents


def test_a_model_comes_back_with_every_parameter(tmp_path: Path) -> None:
    model = trained()
    given = dataclasses.replace(contents(), model=state_of(model))
    state = through_a_release(given, tmp_path / "r").model
    assert state is not None
    again = recommender(state)
    np.testing.assert_array_equal(flatten(again), flatten(model))
    assert again.modalities == model.modalities and again.temperature == 0.2 and again.offset is not None
    assert again.settings == model.settings and not again.training


def low_rank() -> Recommender:
    settings = ModelSettings(dimension=6, image_encoder="cnn", head_rank=2)
    return Recommender(settings, SHAPES, seed=5, temperature=0.2)


def test_frozen_parts_come_back_and_are_missed(tmp_path: Path) -> None:
    model = low_rank()
    assert len(flatten_frozen(model)) == 6 * 4 + 2 * 4
    state = through_a_release(dataclasses.replace(contents(), model=state_of(model)), tmp_path / "r").model
    assert state is not None
    again = recommender(state)
    np.testing.assert_array_equal(flatten_frozen(again), flatten_frozen(model))
    np.testing.assert_array_equal(flatten(again), flatten(model))
    shorter = {name: values[:1] for name, values in state.frozen.items()}
    for wrong in ({}, shorter):
        with pytest.raises(ReleaseError, match="not those of a model"):
            recommender(dataclasses.replace(state, frozen=wrong))
    both = dataclasses.replace(state, frozen={**state.frozen, next(iter(state.parameters)): np.zeros(1, np.float32)})
    with pytest.raises(ReleaseError, match="trained or frozen"):
        dataclasses.replace(contents(), model=both)


def broken(**changes: object) -> ModelState:
    return dataclasses.replace(state_of(trained()), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "state",
    [
        broken(parameters={}),
        broken(offset=False),
        broken(settings=ModelSettings(dimension=7)),
        broken(shapes={"text": (4,)}),
        broken(temperature=-1.0),
    ],
)
def test_parameters_of_another_model_are_refused(state: ModelState) -> None:
    with pytest.raises(ReleaseError):
        recommender(state)


def fitted(texts: list[str]) -> LsaText:
    return LsaText.fit(texts, TextSettings(dimension=3, vocabulary=64))


def test_encoders_come_back_and_encode_the_same(tmp_path: Path) -> None:
    texts = ["a ship in space", "two ships at sea", "a cat on a ship", "space cats", "the sea"]
    encoder = fitted(texts)
    given = dataclasses.replace(contents(), encoders={"text": encoder_to_bytes(encoder)})
    found = encoders(through_a_release(given, tmp_path / "r"))
    assert list(found) == ["text"]
    np.testing.assert_array_equal(found["text"].encode(["a new ship"]).values, encoder.encode(["a new ship"]).values)


def test_a_damaged_or_misplaced_encoder_is_refused() -> None:
    with pytest.raises(ReleaseError, match="cannot be used"):
        encoders(contents())
    saved = {"image": encoder_to_bytes(fitted(["a ship", "a cat", "a sea"]))}
    with pytest.raises(ReleaseError, match="one of text"):
        encoders(dataclasses.replace(contents(), encoders=saved))


def test_features_come_back(tmp_path: Path) -> None:
    given = contents()
    found = features(through_a_release(given, tmp_path / "r"))
    assert found.ids == given.items.ids and found.titles == given.items.titles
    assert found.modalities == ("text", "image")
    for name in found.modalities:
        np.testing.assert_array_equal(found.values[name], given.items.values[name])
        np.testing.assert_array_equal(found.present[name], given.items.present[name])


OPENED = """
import sys
from fedrec.config import ModelSettings
from fedrec.model.recommender import Recommender
from fedrec.release.model_state import recommender, state_of
for fusion in ("gated", "mean"):
    settings = ModelSettings(dimension=6, fusion=fusion, notes=True)
    recommender(state_of(Recommender(settings, {"text": (9,), "image": (7,)}, seed=5, temperature=0.2, offset=True)))
print(*sorted({"sympy", "torch._dynamo"} & set(sys.modules)))
"""


def test_a_model_is_opened_without_torchs_compiler() -> None:
    """Its form is checked on ``meta``, where random numbers and much else take the compiler, which is slow to load."""
    done = subprocess.run([sys.executable, "-c", OPENED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "\n")
