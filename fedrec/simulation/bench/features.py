"""Encoding a catalogue as fedrec does it, beside the bare network in turn: what share of its speed is left.

Ours reads, decodes, tokenizes, orders, encodes in blocks and keeps what is finished, from an empty cache.  The bare
network gets the same content in the best order, on all threads that torch has, and keeps nothing.  Both load their
network before the first measured round, and both decode pictures and tokenize texts, which is part of encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from fedrec.config import ContentSettings
from fedrec.content import image_backbone, text_minilm
from fedrec.content.backbones import load
from fedrec.content.building import content_of, encode_modality
from fedrec.content.cache import FeatureCache
from fedrec.content.catalogue import Catalogue
from fedrec.content.image_decode import Picture, decode_batch
from fedrec.simulation.bench.measuring import Machine, in_turn
from fedrec.thread_settings import threads_here

Network = Literal["minilm", "efficientnet-lite0", "resnet18", "mobilenet-v3-small"]


@dataclass(frozen=True)
class EncodingCase:
    """What is encoded, and by what: ``network`` is a name of ``content.text.encoder`` or ``content.image.encoder``."""

    network: Network
    catalogue: Catalogue

    @property
    def modality(self) -> str:
        """``text`` or ``image``."""
        return "text" if self.network == "minilm" else "image"

    def settings(self) -> ContentSettings:
        """The settings that choose the network."""
        return ContentSettings.model_validate({self.modality: {"encoder": self.network}})


def run_features(case: EncodingCase, seconds: float) -> dict[str, Any]:
    """Encode the catalogue both ways in turn for about ``seconds`` seconds, thrice at least.

    Returns:
        ``ours`` and ``bare``: seconds; ``share``: our throughput over the bare network's, the median over the rounds.

    Raises:
        ContentError: the network cannot work here. MissingExtraError: it is not installed.
    """
    batch, _ = content_of(case.modality, case.catalogue)
    bare = _bare_texts(batch) if case.modality == "text" else _bare_pictures(case, batch)

    def ours() -> None:
        with TemporaryDirectory(prefix="fedrec-features-") as directory:
            encode_modality(case.modality, case.catalogue, case.settings(), FeatureCache(Path(directory)), None)

    found = in_turn({"ours": ours, "bare": bare}, seconds)
    items = len(case.catalogue)
    return {
        "network": case.network,
        "items": items,
        "ours": found["ours"].facts(),
        "bare": found["bare"].facts(),
        "items_per_second": {name: round(items / timing.median, 2) for name, timing in found.items()},
        "share": round(1 / found["ours"].ratio_to(found["bare"]), 4),
        "threads": threads_here(),
        **Machine.here().facts(),
    }


def _bare_texts(texts: Sequence[str]) -> Callable[[], None]:
    """Texts through MiniLM, in batches of like length, which were found beforehand."""
    import torch

    module, tokenizer = text_minilm.loaded(), text_minilm.tokenizer_of(text_minilm.LONGEST_TOKENS)
    order = text_minilm.by_length(texts)

    def run() -> None:
        for start in range(0, len(order), text_minilm.BATCH):
            places = order[start : start + text_minilm.BATCH]
            encodings = tokenizer.encode_batch_fast([texts[place] for place in places])
            ids = torch.tensor([encoding.ids for encoding in encodings])
            mask = torch.tensor([encoding.attention_mask for encoding in encodings])
            with torch.inference_mode():
                hidden = module(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask.unsqueeze(-1).to(hidden.dtype)
                torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1).numpy()

    return run


def _bare_pictures(case: EncodingCase, pictures: Sequence[Picture]) -> Callable[[], None]:
    """Pictures through a convolutional network; decoded, normalised, and one batch after the other."""
    import torch

    extractor = image_backbone.extractor_of(case.settings().image)
    module = load(extractor.network, extractor.side, extractor.weights)
    mean = torch.tensor(extractor.backbone.mean).reshape(1, 3, 1, 1)
    deviation = torch.tensor(extractor.backbone.deviation).reshape(1, 3, 1, 1)

    def run() -> None:
        for start in range(0, len(pictures), image_backbone.BATCH):
            batch = pictures[start : start + image_backbone.BATCH]
            pixels, _, present, _ = decode_batch(batch, extractor.side)
            with torch.inference_mode():
                scaled = torch.from_numpy(pixels[present]).permute(0, 3, 1, 2).float() / 255
                module((scaled - mean) / deviation).numpy()

    return run
