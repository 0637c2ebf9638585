from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sound_cases import SOUNDS

from fedrec.config import AudioSettings, ContentSettings, ImageSettings, TextSettings
from fedrec.content.catalogue import Catalogue, item_text
from fedrec.content.features import Features, build_features, load_features, save_features
from fedrec.content.image_statistics import StatisticsExtractor
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError
from fedrec.testing.encoders import PICTURES, TEXTS

SETTINGS = ContentSettings(text=TextSettings(dimension=5), image=ImageSettings(dimension=4, size=32))


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Nine good items, then one without anything, and three with bad pictures."""
    folder = tmp_path / "images"
    folder.mkdir()

    def image(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    items = []
    for place, text in enumerate(TEXTS):
        title, _, rest = text.partition(". ")
        genre = ("space", "love", "horror")[place // 3]
        items.append(
            ItemRecord(
                f"i{place}",
                f"{title} ({1960 + 5 * place})",
                rest,
                {"genres": (genre,)},
                {"price": place / 2},
                image(f"i{place}.png", PICTURES[place]),
            )
        )
    items.append(ItemRecord("bare", ""))
    items.append(ItemRecord("cut", "A ghost house", image=image("cut.jpg", PICTURES[0][:70])))
    items.append(ItemRecord("none", "A star ship", image=image("none.jpg", b"")))
    items.append(ItemRecord("text", "A rain kiss", image=image("text.jpg", b"just words"), numbers={"price": np.inf}))
    return Catalogue.of(items)


def test_all_modalities_side_by_side(catalogue: Catalogue) -> None:
    features, encoders = build_features(catalogue, SETTINGS)
    assert features.ids == catalogue.ids and features.titles[0] == "Star Cruiser (1960)"
    assert features.modalities == ("text", "image", "attributes") == tuple(encoders)
    assert features.shapes == {name: encoder.shape for name, encoder in encoders.items()}
    assert features.widths["text"] == 5 and features.widths["image"] == 4
    for name in features.modalities:
        assert np.isfinite(features.values[name]).all()
        assert not features.values[name][~features.present[name]].any()
    assert features.present["text"].tolist() == [True] * 9 + [False, True, True, True]
    assert features.present["image"].tolist() == [True] * 9 + [False] * 4
    assert features.present["attributes"].tolist() == [True] * 9 + [False] * 4


def test_bad_content_is_reported_by_item(catalogue: Catalogue) -> None:
    features, _ = build_features(catalogue, SETTINGS)
    told = {(warning.item, warning.modality) for warning in features.warnings}
    assert told == {("cut", "image"), ("none", "image"), ("text", "image"), ("text", "attributes")}
    assert all(warning.reason for warning in features.warnings)


def test_encoders_encode_what_users_wrote_and_photographed(catalogue: Catalogue) -> None:
    features, encoders = build_features(catalogue, SETTINGS)
    note = encoders["text"].encode(["kiss in the rain, in Paris"]).values[0]
    assert (features.values["text"] @ note).argmax() in (3, 4, 5)
    photo = encoders["image"].encode([PICTURES[2]]).values[0]
    np.testing.assert_allclose(photo, features.values["image"][2], atol=1e-6)


def test_progress_ends_at_the_total(catalogue: Catalogue) -> None:
    told: list[tuple[int, int, str]] = []
    build_features(catalogue, SETTINGS, progress=lambda done, total, what: told.append((done, total, what)))
    assert {what for _, _, what in told} == {"text", "image", "attributes"}
    assert all(0 < done <= total for done, total, _ in told) and (13, 13, "image") in told


def test_a_second_run_uses_the_cache(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = build_features(catalogue, SETTINGS)
    first, _ = build_features(catalogue, SETTINGS, cache=tmp_path / "cache")

    def refuse(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(StatisticsExtractor, "extract", refuse)
    second, _ = build_features(catalogue, SETTINGS, cache=tmp_path / "cache")
    assert plain.digest() == first.digest() == second.digest()
    assert first.warnings == second.warnings == plain.warnings
    narrower = SETTINGS.model_copy(update={"image": ImageSettings(dimension=2, size=32)})
    assert build_features(catalogue, narrower, cache=tmp_path / "cache")[0].widths["image"] == 2
    (tmp_path / "images" / "i3.png").write_bytes(PICTURES[8])
    with pytest.raises(AssertionError, match="measured again"):
        build_features(catalogue, SETTINGS, cache=tmp_path / "cache")


def test_a_modality_that_no_item_has_is_left_out_with_a_warning() -> None:
    items = Catalogue.of([ItemRecord("a", "dark house"), ItemRecord("b", "paris kiss")])
    features, encoders = build_features(items, SETTINGS)
    assert features.modalities == ("text",) == tuple(encoders)
    assert [(warning.item, warning.modality) for warning in features.warnings] == [("", "image"), ("", "attributes")]


def test_a_catalogue_without_content_is_ids_and_titles(tmp_path: Path) -> None:
    items = Catalogue.of([ItemRecord("a", ""), ItemRecord("b", "")])
    features, encoders = build_features(items, SETTINGS)
    assert (features.ids, features.modalities, encoders) == (("a", "b"), (), {})
    assert [warning.modality for warning in features.warnings] == ["text", "image", "attributes"]
    save_features(features, encoders, tmp_path)
    assert load_features(tmp_path)[0].digest() == features.digest()


def test_tokens_and_pixels_keep_their_types(catalogue: Catalogue) -> None:
    settings = ContentSettings(
        modalities=("text", "image"),
        text=TextSettings(encoder="tokens", length=7, vocabulary=99),
        image=ImageSettings(encoder="pixels", size=16),
    )
    features, _ = build_features(catalogue, settings)
    assert features.shapes == {"text": (7,), "image": (3, 16, 16)}
    assert (features.values["text"].dtype, features.values["image"].dtype) == (np.int32, np.uint8)


def test_sounds_are_encoded_and_bad_ones_counted(tmp_path: Path) -> None:
    files = [*SOUNDS, SOUNDS[0][:-5], b"no sound"]
    items = []
    for place, data in enumerate(files):
        (tmp_path / f"{place}.wav").write_bytes(data)
        items.append(ItemRecord(f"i{place}", f"Title {place}", sound=tmp_path / f"{place}.wav"))
    items.append(ItemRecord("mute", "Without a sound"))
    for kind, shape in (("statistics", (4,)), ("logmel", (1, 8, 8))):
        audio = AudioSettings.model_validate({"encoder": kind, "dimension": 4, "mels": 8, "frames": 8})
        settings = ContentSettings(modalities=("text", "audio"), audio=audio)
        features, encoders = build_features(Catalogue.of(items), settings, cache=tmp_path / "cache")
        assert features.shapes["audio"] == shape == encoders["audio"].shape
        assert features.present["audio"].tolist() == [True] * 9 + [False] * 3
        assert not features.values["audio"][9:].any()
        assert [(warning.item, warning.modality) for warning in features.warnings] == [
            ("i9", "audio"),
            ("i10", "audio"),
        ]
        again, _ = build_features(Catalogue.of(items), settings, cache=tmp_path / "cache")
        assert again.digest() == features.digest()


def test_ready_made_features_stand_in_for_encoding(catalogue: Catalogue) -> None:
    ready = np.random.default_rng(0).normal(size=(13, 30))
    ready[4], ready[5] = 0, np.nan
    features, encoders = build_features(catalogue, SETTINGS, ready={"image": ready})
    assert "image" not in encoders and features.shapes["image"] == (4,)
    assert features.present["image"].tolist() == [True] * 4 + [False] * 2 + [True] * 7
    norms = np.linalg.norm(features.values["image"], axis=1)
    np.testing.assert_allclose(norms[features.present["image"]], 1, atol=1e-5)
    assert [w.item for w in features.warnings if w.modality == "image"] == ["i5"]


@pytest.mark.parametrize(
    "ready",
    [
        np.ones((12, 3)),
        np.ones(13),
        np.full((13, 2), np.nan),
        np.zeros((13, 2)),
        np.ones((13, 0)),
        np.full((13, 2), "x"),
    ],
    ids=["rows", "flat", "nan", "zeros", "no columns", "text"],
)
def test_ready_made_features_that_do_not_fit_are_refused(catalogue: Catalogue, ready: np.ndarray) -> None:
    with pytest.raises(ContentError, match="ready-made features for 'text'"):
        build_features(catalogue, SETTINGS, ready={"text": ready})


def test_saved_features_come_back(catalogue: Catalogue, tmp_path: Path) -> None:
    features, encoders = build_features(catalogue, SETTINGS)
    digest = save_features(features, encoders, tmp_path / "saved")
    assert digest == save_features(features, encoders, tmp_path / "again")
    got, got_encoders = load_features(tmp_path / "saved", digest=digest)
    assert got.digest() == features.digest() and got.warnings == features.warnings
    assert got.ids == features.ids and got.titles == features.titles and got.modalities == features.modalities
    assert {name: encoder.digest() for name, encoder in got_encoders.items()} == {
        name: encoder.digest() for name, encoder in encoders.items()
    }
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".safetensors"}


def test_damaged_or_exchanged_files_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    digest = save_features(*build_features(catalogue, SETTINGS), tmp_path / "a")
    other = SETTINGS.model_copy(update={"text": TextSettings(dimension=3)})
    other_digest = save_features(*build_features(catalogue, other), tmp_path / "b")
    assert digest != other_digest
    with pytest.raises(ContentError, match="not those asked for"):
        load_features(tmp_path / "b", digest=digest)
    (tmp_path / "b" / "encoder-text.safetensors").write_bytes(
        (tmp_path / "a" / "encoder-text.safetensors").read_bytes()
    )
    with pytest.raises(ContentError, match="not the file saved with these features"):
        load_features(tmp_path / "b")
    (tmp_path / "a" / "encoder-text.safetensors").unlink()
    with pytest.raises(ContentError, match="cannot read"):
        load_features(tmp_path / "a")
    path = tmp_path / "b" / "features.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ContentError, match="damaged"):
        load_features(tmp_path / "b")


def test_the_table_alone_knows_nothing_of_events() -> None:
    code = "import sys, fedrec.content.feature_table; print([m for m in sys.modules if m.startswith('fedrec.data')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_features_hold_one_row_an_item() -> None:
    with pytest.raises(ContentError, match="one row for each item"):
        Features(("a",), ("t",), {"text": np.zeros((2, 3), np.float32)}, {"text": np.ones(2, np.bool_)})


def test_catalogue_finds_places_and_refuses_doubles() -> None:
    catalogue = Catalogue.of([ItemRecord("b", "B"), ItemRecord("a", "A")])
    assert catalogue.ids == ("b", "a") and catalogue.index["a"] == 1 and len(catalogue) == 2
    for items in ([], [ItemRecord("", "x")], [ItemRecord("a", "x"), ItemRecord("a", "y")]):
        with pytest.raises(ContentError):
            Catalogue.of(items)


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [("T", "x", "T. x"), (" T ", "", "T"), ("", " x", "x"), ("", "", "")],
)
def test_item_text(title: str, text: str, expected: str) -> None:
    assert item_text(ItemRecord("i", title, text)) == expected
