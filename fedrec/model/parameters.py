"""The shared parameters as one flat vector, in the order in which the model declares them.

What is shared and trained is what a `Recommender` holds as parameters; what is shared and frozen it holds as
buffers, which make a second vector, broadcast with the first, but for a `PretrainedLayer`: every device has that with
the catalogue's features.  What is private (`Adapter`) is another module; a module
given here that holds a private parameter is refused rather than flattened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.model.adapter import Adapter
from fedrec.model.lora_layer import PretrainedLayer


def shared_parameters(model: nn.Module) -> OrderedDict[str, Tensor]:
    """The parameters that all devices train together, by name, in declared order.

    Raises:
        ModelError: the module holds an `Adapter`, which is private.
    """
    private = [name for name, module in model.named_modules() if isinstance(module, Adapter)]
    if private:
        raise ModelError(
            "a module with private parameters has no shared vector",
            value=private,
            action="Keep the adapter outside of the shared model",
        )
    return OrderedDict(model.named_parameters())


def shapes(model: nn.Module) -> OrderedDict[str, tuple[int, ...]]:
    """The shape of every shared parameter, in declared order: what a flat vector of this model means."""
    return OrderedDict((name, tuple(value.shape)) for name, value in shared_parameters(model).items())


def count(model: nn.Module) -> int:
    """How many numbers the shared parameters are."""
    return sum(value.numel() for value in shared_parameters(model).values())


def flatten(model: nn.Module) -> NDArray[np.float32]:
    """The shared parameters as float32 [P], a copy."""
    parts = [value.detach().reshape(-1).to("cpu", torch.float32) for value in shared_parameters(model).values()]
    return torch.cat(parts).cpu().numpy().copy() if parts else np.zeros(0, np.float32)


def unflatten(model: nn.Module, vector: NDArray[np.floating]) -> None:
    """Set the shared parameters from a vector [P], the inverse of `flatten`.

    Raises:
        ModelError: the vector has another shape than [P], or a value that is not finite; the model is then unchanged.
    """
    _fill(shared_parameters(model), vector, "shared parameters")


def _fill(found: Mapping[str, Tensor], vector: NDArray[np.floating], what: str) -> None:
    length = sum(value.numel() for value in found.values())
    if vector.shape != (length,):
        raise ModelError(
            f"{what}: a vector of shape ({length},) was expected for this model",
            value=vector.shape,
            action="Use the vector with the settings and feature widths it was made with",
        )
    source = torch.from_numpy(np.array(vector, dtype=np.float32))
    if not bool(torch.isfinite(source).all()):
        bad = int((~torch.isfinite(source)).sum())
        raise ModelError(
            f"{what} must be finite",
            value=f"{bad} of {length} values are not",
            action="Lower the learning rate or the noise",
        )
    with torch.no_grad():
        start = 0
        for value in found.values():
            value.copy_(source[start : start + value.numel()].view(value.shape))
            start += value.numel()


def frozen(model: nn.Module) -> OrderedDict[str, Tensor]:
    """What all devices share and nobody trains, by name, in declared order: what a release stores."""
    return OrderedDict(model.named_buffers())


def _sent(model: nn.Module) -> OrderedDict[str, Tensor]:
    """Those of the frozen parts that a device is told with a request."""
    known = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, PretrainedLayer))
    return OrderedDict((name, value) for name, value in frozen(model).items() if not name.startswith(known))


def flatten_frozen(model: nn.Module) -> NDArray[np.float32]:
    """The frozen parts that are broadcast as float32 [F], a copy; F is 0 for a model without any."""
    parts = [value.reshape(-1).to("cpu", torch.float32) for value in _sent(model).values()]
    return torch.cat(parts).cpu().numpy().copy() if parts else np.zeros(0, np.float32)


def unflatten_frozen(model: nn.Module, vector: NDArray[np.floating]) -> None:
    """Set the frozen parts that are broadcast from a vector [F]; see `unflatten`."""
    _fill(_sent(model), vector, "frozen parts")


def restore_frozen(model: nn.Module, vector: NDArray[np.floating]) -> None:
    """Set all of `frozen` from a vector, as a release has them; see `unflatten`."""
    _fill(frozen(model), vector, "frozen parts")


def broadcast(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """All that a device needs to have this model: ``parameters`` and, where there are any, ``frozen`` parts."""
    fixed = flatten_frozen(model)
    return {"parameters": flatten(model), **({"frozen": fixed} if len(fixed) else {})}


def receive(model: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Become the model that was `broadcast`. Raises ModelError where it is another one."""
    unflatten(model, arrays["parameters"])
    unflatten_frozen(model, arrays.get("frozen", np.zeros(0, np.float32)))


def named_parts(model: nn.Module, vector: NDArray[np.floating]) -> OrderedDict[str, NDArray[np.floating]]:
    """A vector [P], such as an update, cut into its parameters by name and shape, as views.

    Raises:
        ModelError: the vector has another shape than [P].
    """
    form = shapes(model)
    sizes = [int(np.prod(shape)) for shape in form.values()]
    if vector.shape != (sum(sizes),):
        raise ModelError(f"a vector of shape ({sum(sizes)},) was expected for this model", value=vector.shape)
    pieces = np.split(vector, np.cumsum(sizes)[:-1]) if sizes else []
    return OrderedDict((name, piece.reshape(form[name])) for name, piece in zip(form, pieces, strict=True))
