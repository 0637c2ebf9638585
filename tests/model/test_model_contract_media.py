"""The contract suite for encoders of sounds and for low-rank heads."""

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
