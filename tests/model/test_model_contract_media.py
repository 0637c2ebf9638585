"""The contract suite for encoders of sounds, for low-rank heads and for low-rank adapters."""

from __future__ import annotations

from fedrec.testing import ModelContract


class TestSoundHead(ModelContract):
    audio = "head"


class TestSoundCNN(ModelContract):
    audio = "cnn"


class TestLowRank(ModelContract):
    fusion, rank = "gated", 2


class TestLowRankLate(ModelContract):
    fusion, text, tower, rank = "late", "gru", "gru", 3


class TestLora(ModelContract):
    text = "minilm-lora"


class TestLoraLate(ModelContract):
    fusion, text, rank = "late", "minilm-lora", 2
