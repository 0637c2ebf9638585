"""What every encoder of content owes, and content to hold one to it."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedrec.content.encoder import Encoded, Encoder
from fedrec.content.registry import encoder_from_bytes, encoder_to_bytes
from fedrec.errors import ContentError

TEXTS = [
    "Star Cruiser. A crew of rebels flies a space ship through the galaxy and fights robots",
    "Galaxy Rebels. Space robots rebel against the crew of a star ship",
    "Robot Star. A lonely robot repairs a space ship at the edge of the galaxy",
    "Paris Kiss. Two lovers meet in Paris, kiss in the rain and marry in spring",
    "Spring Wedding. Lovers quarrel before their wedding in the rain and kiss",
    "Love in Paris. A wedding in Paris brings two lovers together",
    "Dark Cellar. A ghost haunts an old house and its dark cellar at night",
    "Night Ghost. The old house is dark, and at night the ghost comes",
    "House of Night. A family fears the ghost of an old dark house",
]


def picture(shade: int, *, kind: str = "PNG", size: tuple[int, int] = (48, 64)) -> bytes:
    """A small picture, another for each shade: two colours and a bar whose place depends on the shade."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:] = (shade * 37 % 256, shade * 91 % 256, 255 - shade * 53 % 256)
    pixels[shade * 5 % size[1] :, : size[0] // 2] = (255 - shade * 17 % 256, shade * 29 % 256, 40)
    pixels[:, shade * 7 % size[0] :][:, :6] = 230
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


PICTURES = [picture(shade) for shade in range(9)]


class EncoderContract:
    """What every encoder of content owes: `fedrec.content.encoder.Encoder` as tests.

        class TestMine(EncoderContract):
            content, missing = TEXTS, ""

            @staticmethod
            def fit() -> Mine:
                return Mine.fit(TEXTS, TextSettings(dimension=5))

            @staticmethod
            def fit_otherwise() -> Mine:
                return Mine.fit(TEXTS, TextSettings(dimension=4))

    The encoder must be registered, since it is saved and restored by name.

    ``fit``: an encoder, fitted on the content; ``fit_otherwise``: one of other settings.  ``fit_on_nothing``: fits on
    content that says nothing, where the encoder learns from content.  ``content``: at least three pieces, not all
    alike, each of which the encoder can use.  ``missing``: what stands for content that is not there.
    """

    fit: Any
    fit_otherwise: Any
    fit_on_nothing: Any = None
    content: Any
    missing: Any

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls) -> Encoder[Any]:
        fitted: Encoder[Any] = cls.fit()
        return fitted

    @pytest.fixture(scope="class")
    @classmethod
    def encoded(cls, encoder: Encoder[Any]) -> Encoded:
        return encoder.encode(cls.content)

    def test_shape_and_dtype_are_as_promised(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        assert encoded.values.shape == (len(self.content), *encoder.shape)
        assert encoded.values.dtype == encoder.dtype
        assert encoder.width == encoder.shape[0] > 0
        assert encoded.present.dtype == np.bool_ and encoded.present.all()
        assert encoded.problems == ()

    def test_values_are_finite_and_not_all_alike(self, encoded: Encoded) -> None:
        assert np.isfinite(encoded.values).all()
        assert len(np.unique(encoded.values.reshape(len(encoded), -1), axis=0)) > 1

    def test_missing_content_is_not_present_and_zero(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        got = encoder.encode([self.missing, self.content[0], self.missing])
        assert got.present.tolist() == [False, True, False]
        assert not got.values[[0, 2]].any()
        assert got.problems == ()
        np.testing.assert_allclose(got.values[1], encoded.values[0], atol=1e-5)

    def test_an_empty_batch_is_encoded(self, encoder: Encoder[Any]) -> None:
        got = encoder.encode([])
        assert got.values.shape == (0, *encoder.shape) and got.values.dtype == encoder.dtype
        assert got.present.shape == (0,)

    def test_a_row_does_not_depend_on_its_batch(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        backwards = encoder.encode(self.content[::-1])
        np.testing.assert_allclose(backwards.values[::-1], encoded.values, atol=1e-5)
        np.testing.assert_allclose(encoder.encode(self.content[2:3]).values[0], encoded.values[2], atol=1e-5)

    def test_encoding_and_fitting_are_deterministic(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        np.testing.assert_array_equal(encoder.encode(self.content).values, encoded.values)
        again = type(self).fit()
        assert again.digest() == encoder.digest()
        np.testing.assert_array_equal(again.encode(self.content).values, encoded.values)

    def test_state_round_trip_encodes_identically(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        arrays, meta = encoder.state()
        restored = type(encoder).from_state(arrays, json.loads(json.dumps(meta)))
        assert (restored.name, restored.shape, restored.digest()) == (encoder.name, encoder.shape, encoder.digest())
        np.testing.assert_array_equal(restored.encode(self.content).values, encoded.values)

    def test_bytes_round_trip_encodes_identically(self, encoder: Encoder[Any], encoded: Encoded) -> None:
        data = encoder_to_bytes(encoder)
        assert data == encoder_to_bytes(encoder)
        restored = encoder_from_bytes(data)
        assert type(restored) is type(encoder)
        np.testing.assert_array_equal(restored.encode(self.content).values, encoded.values)

    def test_name_changes_with_the_settings_and_not_otherwise(self, encoder: Encoder[Any]) -> None:
        assert type(self).fit().name == encoder.name
        assert type(self).fit_otherwise().name != encoder.name

    def test_a_damaged_state_is_refused(self, encoder: Encoder[Any]) -> None:
        arrays, meta = encoder.state()
        for name in arrays:
            with pytest.raises(ContentError):
                type(encoder).from_state({key: value for key, value in arrays.items() if key != name}, meta)
            with pytest.raises(ContentError):
                type(encoder).from_state({**arrays, name: arrays[name][..., None]}, meta)
        for name in meta:
            with pytest.raises(ContentError):
                type(encoder).from_state(arrays, {**meta, name: None})

    def test_fitting_on_nothing_says_so(self) -> None:
        if self.fit_on_nothing is None:
            pytest.skip("this encoder has nothing to fit")
        with pytest.raises(ContentError):
            type(self).fit_on_nothing()
