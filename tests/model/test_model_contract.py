"""Every item encoder, fusion and user tower keeps the contract that is shipped for parts from outside."""

from __future__ import annotations

from types import MappingProxyType

import torch

from fedrec.testing import FusionContract, ModelContract

torch.set_num_threads(1)


class TestHeadsMean(FusionContract):
    fusion = "mean"


class TestHeadsWeighted(FusionContract):
    fusion = "weighted"


class TestHeadsConcat(FusionContract):
    fusion = "concat-mlp"


class TestHeadsGated(FusionContract):
    fusion = "gated"


class TestHeadsAttention(FusionContract):
    fusion = "attention"


class TestTextCNN(ModelContract):
    text = "textcnn"


class TestTextGRU(ModelContract):
    text = "gru"


class TestSmallCNN(ModelContract):
    image = "cnn"


class TestFromScratchGated(ModelContract):
    fusion, text, image = "gated", "textcnn", "cnn"


class TestHeadsMax(FusionContract):
    fusion, starts_as_mean = "max", False


class TestHeadsLate(FusionContract):
    fusion, starts_as_mean = "late", False


class TestHeadsCrossAttention(FusionContract):
    fusion = "cross-attention"


class TestHeadsMixture(FusionContract):
    fusion = "mixture"


class TestTextLSTM(ModelContract):
    text = "lstm"


class TestSmallVGG(ModelContract):
    image = "vgg"


class TestUserRecency(ModelContract):
    tower = "recency"


class TestUserGRU(ModelContract):
    tower = "gru"


class TestUserAttention(ModelContract):
    tower = "attention"


class TestLateGRU(ModelContract):
    fusion, tower = "late", "gru"


class TestDeepest(ModelContract):
    fusion, text, image, tower = "cross-attention", "lstm", "vgg", "attention"


BESIDE = MappingProxyType({"behaviour": (3,), "id": (1,)})


class TestBehaviourAndIds(ModelContract):
    beside = BESIDE


class TestBehaviourAndIdsLate(ModelContract):
    fusion, beside = "late", BESIDE


class TestBehaviourAndIdsAttention(ModelContract):
    fusion, tower, beside = "cross-attention", "gru", BESIDE


class TestBehaviourAndIdsGated(ModelContract):
    fusion, text, image, beside = "gated", "textcnn", "cnn", BESIDE
