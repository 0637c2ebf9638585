"""Between the shared model as a module and as what a release stores of it."""

from __future__ import annotations

import numpy as np

from fedrec.errors import ModelError, ReleaseError
from fedrec.model.parameters import flatten, named_parts, shapes, unflatten
from fedrec.model.recommender import Recommender
from fedrec.release.contents import ModelState


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
        items=model.items,
    )


def recommender(state: ModelState) -> Recommender:
    """The module of a release, ready to score.

    Raises:
        ReleaseError: the parameters are not those of a model with these settings.
    """
    try:
        model = Recommender(
            state.settings,
            state.shapes,
            seed=0,
            temperature=state.temperature,
            vocabulary=state.vocabulary,
            offset=state.offset,
            auxiliary=state.auxiliary,
            items=state.items,
        )
        given = {name: tuple(values.shape) for name, values in state.parameters.items()}
        if given != dict(shapes(model)):
            raise ReleaseError("the parameters are not those of a model with these settings", value=sorted(given))
        vector = [state.parameters[name].reshape(-1) for name in shapes(model)]
        unflatten(model, np.concatenate([np.zeros(0, dtype=np.float32), *vector]))
    except ModelError as error:
        raise ReleaseError(f"the released model cannot be built: {error.what}", action="Update fedrec") from error
    return model.eval()
