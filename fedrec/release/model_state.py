"""Between the shared model as a module and as what a release stores of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.errors import ModelError, ReleaseError
from fedrec.model.parameters import flatten, frozen, named_parts, restore_frozen, shapes, unflatten
from fedrec.model.recommender import Recommender
from fedrec.release.contents import ModelState
from fedrec.release.requires import needs_other_packages


def state_of(model: Recommender, *, vocabulary: int = 4096) -> ModelState:
    """The shared parameters and all that is needed to build the module again.

    Args:
        model: is only read.
        vocabulary: what the model was built with, where text is token ids.
    """
    parts = named_parts(model, flatten(model))
    return ModelState(
        settings=model.settings,
        shapes=model.shapes,
        temperature=model.temperature,
        parameters={name: np.asarray(part, dtype=np.float32) for name, part in parts.items()},
        vocabulary=vocabulary,
        offset=model.offset is not None,
        auxiliary=model.auxiliary is not None,
        frozen={name: value.to(torch.float32).numpy().copy() for name, value in frozen(model).items()},
        items=model.items,
    )


def recommender(state: ModelState) -> Recommender:
    """The module of a release, ready to score.

    Raises:
        ReleaseError: the parameters are not those of a model with these settings, which is found before memory is
            taken for one.
    """
    try:
        _check_form(state)
        model = _built(state)
        unflatten(model, _joined(state.parameters, shapes(model)))
        restore_frozen(model, _joined(state.frozen, _fixed(model)))
    except ModelError as error:
        raise ReleaseError(f"the released model cannot be built: {error.what}", action="Update fedrec") from error
    return model.eval()


def _check_form(state: ModelState) -> None:
    """Hold the arrays to the model's shapes, laid out without memory: settings alone can name a model of any size.

    A part of another package need not know how to be laid out; such a model is compared once it is built.
    """
    try:
        with torch.device("meta"):
            model = _built(state)
    except RuntimeError as error:  # NotImplementedError is one
        if needs_other_packages(state.settings):
            return
        raise ReleaseError("the released model cannot be built", value=str(error), action="Do not use it") from None
    _check_shapes(state.parameters, shapes(model))
    _check_shapes(state.frozen, _fixed(model))


def _built(state: ModelState) -> Recommender:
    return Recommender(
        state.settings,
        state.shapes,
        seed=0,
        temperature=state.temperature,
        vocabulary=state.vocabulary,
        offset=state.offset,
        auxiliary=state.auxiliary,
        items=state.items,
    )


def _fixed(model: Recommender) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in frozen(model).items()}


def _joined(parts: Mapping[str, NDArray[np.float32]], form: Mapping[str, tuple[int, ...]]) -> NDArray[np.float32]:
    """The parts as one vector in declared order. Raises ReleaseError where they are not of this form."""
    _check_shapes(parts, form)
    return np.concatenate([np.zeros(0, dtype=np.float32), *(parts[name].reshape(-1) for name in form)])


def _check_shapes(parts: Mapping[str, NDArray[np.float32]], form: Mapping[str, tuple[int, ...]]) -> None:
    given = {name: tuple(values.shape) for name, values in parts.items()}
    if given != dict(form):
        raise ReleaseError("the parameters are not those of a model with these settings", value=sorted(given))
