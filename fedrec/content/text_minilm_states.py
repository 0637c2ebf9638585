"""What goes into the last layer of all-MiniLM-L6-v2, for a model that fine-tunes that layer, from the extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.accelerator import current_device, to_numpy
from fedrec.config import TextSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, chunks, field_of
from fedrec.content.text_minilm import WIDTH, MiniLmExtractor, loaded, loaded_on, tokenizer_of
from fedrec.content.text_words import tidy

# Ours -> transformers', of the arrays of a layer; the model that reads them names the same (`fedrec.model.lora_layer`).
_NAMES: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mixed": "attention.output.dense",
    "mixed_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "outer_norm": "output.LayerNorm",
}


@dataclass(frozen=True)
class MiniLmStates(Encoder[str]):
    """Text to the states of its first ``length`` tokens before the last layer: float16 [length, 384].

    ``length`` counts the two marks at the ends; a longer text is cut before it is read.  A row of zeros is
    padding, and no token has one.  An item takes 768 * ``length`` bytes (18 kB at 24 tokens) of a catalogue and of a
    release, so this is for catalogues of some thousand items.  Texts are read one by one, about 50 a second on a core:
    in a batch the last bit of a state would depend on the others.
    """

    modality: ClassVar[str] = "text"
    kind: ClassVar[str] = "minilm-states"
    block = 64

    length: int

    @classmethod
    def fit(cls, texts: Sequence[str], settings: TextSettings) -> MiniLmStates:
        """There is nothing to fit."""
        return cls(settings.length)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"text-minilm-states.1 length={self.length} of {MiniLmExtractor.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(tokens, 384)"""
        return (self.length, WIDTH)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float16, whose rounding error is far below what one token says"""
        return np.dtype(np.float16)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        """Read texts; see `Encoder.encode`.

        Raises:
            ContentError: the extra is not installed.
        """
        texts, problems = tidy(batch)
        out = self.empty(len(texts))
        out.present[:] = [bool(text) for text in texts]
        read = np.flatnonzero(out.present)
        for part in chunks(len(read), 64, progress, "text"):
            for place in read[part]:
                states = _states(texts[place], self.length)
                out.values[place, : len(states)] = states
        return Encoded(out.values, out.present, problems)

    def weights(self) -> Arrays:
        """The last layer, float32; see `Encoder.weights`. Raises ContentError where the extra is not installed."""
        theirs = dict(loaded().encoder.layer[-1].named_parameters())
        return {
            f"{ours}_{kind}": to_numpy(theirs[f"{name}.{kind}"]).astype(np.float32)
            for ours, name in _NAMES.items()
            for kind in ("weight", "bias")
        }

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        return {}, {"length": self.length}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> MiniLmStates:
        """See `Encoder.from_state`."""
        return cls(field_of(meta, "length", int))


def _states(text: str, length: int) -> NDArray[np.float32]:
    """[tokens, 384], at most ``length`` of them."""
    import torch

    ids = tokenizer_of(length).encode(text).ids
    with torch.inference_mode():
        given = torch.tensor([ids], device=current_device())
        found = loaded_on(current_device())(input_ids=given, output_hidden_states=True).hidden_states[-2][0]
    states: NDArray[np.float32] = to_numpy(found)
    return states
