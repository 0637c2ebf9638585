from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from backbone_cases import weights_at_hand

from fedrec.config import ContentSettings, VideoSettings
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features
from fedrec.content.image_statistics import StatisticsExtractor
from fedrec.content.registry import encoder_from_bytes, encoder_to_bytes
from fedrec.content.video_frames import FramesExtractor, VideoBackbone, VideoStatistics
from fedrec.data.schema import ItemRecord
from fedrec.testing.encoders import PICTURES, EncoderContract

VIDEOS = [(PICTURES[place], PICTURES[(place + 2) % 9]) for place in range(9)]
SETTINGS = VideoSettings(dimension=5, size=24)


class TestVideoStatisticsContract(EncoderContract):
    content, missing = VIDEOS, ()

    @staticmethod
    def fit() -> VideoStatistics:
        return VideoStatistics.fit(VIDEOS, SETTINGS)

    @staticmethod
    def fit_otherwise() -> VideoStatistics:
        return VideoStatistics.fit(VIDEOS, VideoSettings(dimension=5, size=24, frames=3))

    @staticmethod
    def fit_on_nothing() -> VideoStatistics:
        return VideoStatistics.fit([(), (b"",)], SETTINGS)


def test_a_video_is_the_mean_of_its_frames_measures() -> None:
    of_frame = StatisticsExtractor(24)
    frames = of_frame.extract(PICTURES[:3]).values
    got = FramesExtractor(of_frame, 8).extract([PICTURES[:3], PICTURES[1:2], ()])
    np.testing.assert_allclose(got.values[0], frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(got.values[1], frames[1])
    assert got.present.tolist() == [True, True, False] and not got.values[2].any()


def test_a_frame_that_cannot_be_read_is_left_out_and_reported() -> None:
    of_frame = StatisticsExtractor(24)
    got = FramesExtractor(of_frame, 8).extract([(PICTURES[0], b"no picture"), (b"",), (PICTURES[0],)])
    np.testing.assert_array_equal(got.values[0], got.values[2])
    assert got.present.tolist() == [True, False, True]
    assert [problem.place for problem in got.problems] == [0, 1]
    assert all(problem.reason.startswith("frame: ") for problem in got.problems)


def test_of_many_frames_evenly_spaced_ones_are_looked_at() -> None:
    of_frame = StatisticsExtractor(24)
    got = FramesExtractor(of_frame, 3).extract([[*PICTURES[:5], b"skipped", *PICTURES[5:]], PICTURES[:1]])
    expected = of_frame.extract([PICTURES[0], PICTURES[4], PICTURES[8]]).values.mean(axis=0)
    assert got.problems == ()  # the sixth was not looked at
    np.testing.assert_allclose(got.values[0], expected, rtol=1e-6)
    seen = FramesExtractor(of_frame, 3).extract([PICTURES])
    np.testing.assert_allclose(seen.values[0], expected, rtol=1e-6)


def test_frames_of_a_catalogue_through_a_frozen_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_at_hand("mobilenet-v3-small", tmp_path, monkeypatch)
    items = []
    for place in range(4):
        paths = []
        for number in (1, 2):
            path = tmp_path / f"{place}-{number}.png"
            path.write_bytes(PICTURES[place + number])
            paths.append(path)
        items.append(ItemRecord(f"i{place}", "", frames=tuple(paths)))
    items.append(ItemRecord("still", ""))
    video = VideoSettings(encoder="mobilenet-v3-small", dimension=3)
    settings = ContentSettings(modalities=("video",), video=video)
    features, encoders = build_features(Catalogue.of(items), settings, cache=tmp_path / "cache")
    assert isinstance(encoders["video"], VideoBackbone)
    assert features.present["video"].tolist() == [True] * 4 + [False]
    np.testing.assert_allclose(np.linalg.norm(features.values["video"][:4], axis=1), 1, atol=1e-5)
    restored = encoder_from_bytes(encoder_to_bytes(encoders["video"]))
    np.testing.assert_array_equal(restored.encode([items[1].frames]).values[0], features.values["video"][1])
