from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import torch
from sound_cases import SOUNDS, tone, wav

from fedrec.config import AudioSettings
from fedrec.content.audio_decode import Waveform, open_sound
from fedrec.content.audio_logmel import LogMelAudio
from fedrec.content.audio_measures import COEFFICIENTS, chroma, log_mel, mfcc
from fedrec.content.audio_statistics import AudioExtractor, StatisticsAudio
from fedrec.testing.encoders import EncoderContract

STATISTICS = AudioSettings(dimension=6, seconds=1)


class TestStatisticsContract(EncoderContract):
    content, missing = SOUNDS, None

    @staticmethod
    def fit() -> StatisticsAudio:
        return StatisticsAudio.fit(SOUNDS, STATISTICS)

    @staticmethod
    def fit_otherwise() -> StatisticsAudio:
        return StatisticsAudio.fit(SOUNDS, AudioSettings(dimension=6, seconds=1, highest=3000))

    @staticmethod
    def fit_on_nothing() -> StatisticsAudio:
        return StatisticsAudio.fit([None, b""], STATISTICS)


class TestLogMelContract(EncoderContract):
    content, missing = SOUNDS, None

    @staticmethod
    def fit() -> LogMelAudio:
        return LogMelAudio.fit([], AudioSettings(encoder="logmel", mels=8, frames=9))

    @staticmethod
    def fit_otherwise() -> LogMelAudio:
        return LogMelAudio.fit([], AudioSettings(encoder="logmel", mels=9, frames=9))


def heard(hertz: float, **given: float) -> Waveform:
    rate = int(given.get("rate", 8_000))
    return open_sound(wav(tone(hertz, **given), rate=rate), seconds=9)  # type: ignore[arg-type]


# From C on: 440 Hz is A, three octaves of it are A too, and 261.63 Hz is C.
@pytest.mark.parametrize(("hertz", "pitch"), [(440, 9), (880, 9), (1760, 9), (261.63, 0), (392.0, 7), (1479.98, 6)])
def test_chroma_tells_the_pitch_class(hertz: float, pitch: int) -> None:
    found = chroma(heard(hertz), 4000)
    torch.testing.assert_close(found.sum(0), torch.ones(found.shape[1]))
    assert int(found.mean(1).argmax()) == pitch
    assert float(found.mean(1)[pitch]) > 0.6


def test_a_tone_between_two_pitches_is_half_of_both() -> None:
    found = chroma(heard(440 * 2 ** (0.5 / 12), seconds=2.0), 4000).mean(1)
    assert float(found[9]) == pytest.approx(float(found[10]), abs=0.1)
    assert float(found[9] + found[10]) > 0.8


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_the_mel_band_of_a_tone_is_where_it_is_whatever_the_rate(rate: int) -> None:
    edges = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 34)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    for band in (4, 15, 28):
        found = log_mel(heard(float(centres[band]), rate=rate), 32, 4000)
        assert found.shape[0] == 32 and float(found.max()) == 0.0 and float(found.min()) >= -80.0
        assert int(found.mean(1).argmax()) == band


def test_a_loud_recording_measures_as_a_quiet_one() -> None:
    extractor = AudioExtractor(1.0, 4000)
    loud, quiet = extractor.extract([wav(tone(500, loud=0.9)), wav(tone(500, loud=0.3))]).values
    np.testing.assert_allclose(loud, quiet, atol=0.5)


def test_the_cosine_transform_keeps_lengths_and_a_flat_spectrum_has_one_coefficient() -> None:
    flat = mfcc(torch.full((40, 3), -2.0))
    assert flat.shape == (COEFFICIENTS, 3)
    torch.testing.assert_close(flat[0], torch.full((3,), -2.0 * 40**0.5))
    assert float(flat[1:].abs().max()) < 1e-4
    whole = mfcc(torch.randn(COEFFICIENTS, 5, generator=torch.Generator().manual_seed(1)))
    again = mfcc(torch.eye(COEFFICIENTS))
    torch.testing.assert_close(again @ again.T, torch.eye(COEFFICIENTS), atol=1e-5, rtol=0)
    assert whole.shape == (COEFFICIENTS, 5)


def test_tempo_is_told_apart_from_the_same_notes_at_another_tempo() -> None:
    """Same tone, same share of the time: only how often it changes is different."""
    slow, fast = (tone(500, seconds=2.0) * (np.sign(tone(beats, seconds=2.0) + 1e-9) > 0) for beats in (2, 8))
    values = AudioExtractor(2.0, 4000).extract([wav(slow), wav(fast)]).values
    change = slice(2 * COEFFICIENTS, 3 * COEFFICIENTS)
    assert values[1, change].mean() > 1.5 * values[0, change].mean()


def test_a_sound_shorter_than_a_window_is_measured() -> None:
    encoded = AudioExtractor(1.0, 4000).extract([wav(np.array([0.1, -0.4, 0.2])), wav(np.array([0.5]))])
    assert encoded.present.tolist() == [True, False]
    assert np.isfinite(encoded.values).all()


def test_log_mel_is_a_picture_with_time_across() -> None:
    half = np.concatenate([tone(400), tone(2500)])
    picture = LogMelAudio(16, 10, 30.0, 4000).encode([wav(half)]).values[0, 0].astype(int)
    low, high = picture[:, :4].mean(1).argmax(), picture[:, 6:].mean(1).argmax()
    assert picture.max() == 255 and low < 6 < 10 < high
    assert picture[low, 0] > picture[low, -1] + 50 and picture[high, -1] > picture[high, 0] + 50


def test_a_stereo_file_is_measured_as_its_mono_one() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((2, 2, 8_000, 0, "NONE", ""))
        out.writeframes(np.repeat(np.round(tone(500) * 32767).astype("<i2"), 2).tobytes())
    values = StatisticsAudio.fit(SOUNDS, STATISTICS).encode([file.getvalue(), wav(tone(500))]).values
    np.testing.assert_allclose(values[0], values[1], atol=1e-4)
