"""The contract suite for encoders of sounds, for low-rank heads and for low-rank adapters."""

from __future__ import annotations

from test_model_contract import Contract


class TestSoundHead(Contract):
    audio = "head"


class TestSoundCNN(Contract):
    audio = "cnn"


class TestLowRank(Contract):
    fusion, rank = "gated", 2


class TestLowRankLate(Contract):
    fusion, text, tower, rank, reads_order = "late", "gru", "gru", 3, True


class TestLora(Contract):
    text = "minilm-lora"


class TestLoraLate(Contract):
    fusion, text, rank = "late", "minilm-lora", 2
