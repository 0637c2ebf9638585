from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sound_cases import SOUNDS, tone, wav

from fedrec.content.audio_decode import decoded, open_sound
from fedrec.content.encoder import Problem
from fedrec.content.files import LARGEST_FILE, UnreadableError

GOOD = wav(tone(300))
FLOATS = GOOD[:20] + (3).to_bytes(2, "little") + GOOD[22:]
BAD = {
    "empty": (b"", "empty"),
    "text": (b"<html>not found</html>", "not a WAV file"),
    "only a header": (GOOD[:30], "not a WAV file"),
    "truncated": (GOOD[:-2], r"cut off: 7998 of 8000"),
    "half a sample": (GOOD[:-1], "cut off"),
    "no samples": (wav(np.zeros(0)), "silent"),
    "silence": (wav(np.zeros(900)), "silent"),
    "of bytes": (wav(tone(300), width=1), "8 bits"),
    "of three channels": (wav(np.zeros((30, 3)), channels=3), "3 channels"),
    "of floats": (FLOATS, "not a WAV file"),
    "too slow": (wav(tone(300), rate=1999), "1999 samples"),
    "too fast": (wav(tone(300), rate=192_001), "192001 samples"),
    "huge file": (GOOD + bytes(LARGEST_FILE), "larger than"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_bad_sounds_have_a_reason(data: bytes, reason: str, as_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=reason):
        open_sound(path if as_file else data, seconds=1)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 60), byte=st.integers(0, 255), end=st.integers(0, len(GOOD)))
def test_any_damage_is_a_reason_or_a_sound(at: int, byte: int, end: int) -> None:
    damaged = bytearray(GOOD[:end])
    if at < len(damaged):
        damaged[at] = byte
    try:
        found = open_sound(bytes(damaged), seconds=1)
    except UnreadableError:
        return
    assert np.isfinite(found.samples).all() and len(found.samples)


def test_samples_are_those_of_the_file() -> None:
    found = open_sound(wav(np.array([0.5, -0.25, 0.0]), rate=44_100), seconds=1)
    assert found.rate == 44_100
    np.testing.assert_allclose(found.samples, [0.5, -0.25, 0.0], atol=1e-4)


def test_stereo_is_the_mean_of_both_channels() -> None:
    both = np.stack([tone(300), np.zeros(4_000)], axis=1)
    found = open_sound(wav(both, channels=2), seconds=1)
    np.testing.assert_allclose(found.samples, tone(300) / 2, atol=1e-4)


def test_only_the_beginning_is_heard() -> None:
    assert len(open_sound(GOOD, seconds=0.1).samples) == 800
    assert len(open_sound(GOOD, seconds=9).samples) == 4_000


def test_bad_sounds_of_a_batch_are_reported_with_their_places() -> None:
    problems: list[Problem] = []
    calls: list[tuple[int, int, str]] = []
    batch = [*SOUNDS * 8, b"", None, GOOD[:-2]]
    places = [place for place, _ in decoded(batch, 1.0, lambda *call: calls.append(call), problems)]
    assert places == list(range(72))
    assert [problem.place for problem in problems] == [72, 74]
    assert calls[-1] == (75, 75, "audio")
