"""Where tensors are computed with: the processor, or an accelerator that is there and was asked for.

One device for a process, chosen when a run starts, as threads are.  Weights go there once; batches go there and results
come back where they are used.  Noise and masks never do: they are drawn on the processor, from the same generator
whatever the device is, so that what a run promises does not depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from fedrec.config import ComputeDevice

CPU: Final = "cpu"
_chosen = CPU


def find_device(asked: ComputeDevice) -> str:
    """The device that is asked for, ``cpu``, ``cuda`` or ``mps``; ``auto`` takes an accelerator where one is there.

    Raises:
        ConfigError: it is not there.
    """
    if asked == CPU:
        return CPU
    there = devices_there()
    if asked == "auto":
        return there[0]
    if asked not in there:
        raise ConfigError(
            "the device to compute on is not there",
            value=asked,
            action=f"Set speed.device to auto or to {' or '.join(there)}; for another one, install its build of torch",
        )
    return asked


def devices_there() -> list[str]:
    """The devices that torch can compute on here, the fastest first, ``cpu`` last."""
    import torch

    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, CPU]


def device_name(device: str) -> str:
    """What a device is called: the name of the card, or the device's own name."""
    import torch

    return torch.cuda.get_device_name(0) if device == "cuda" else device


def use_device(asked: ComputeDevice) -> str:
    """Compute on this device from here on; returns which it is. Raises ConfigError where it is not there."""
    global _chosen
    _chosen = find_device(asked)
    return _chosen


def current_device() -> str:
    """Where encoders compute: what `use_device` chose, the processor before that."""
    return _chosen


def exact_device() -> str:
    """Where training and solving compute, which need float64: norms are clipped in it.  ``mps`` has none."""
    return CPU if _chosen == "mps" else _chosen


def moved(module: Any, device: str) -> Any:
    """The module, moved to a device where it is not there already."""
    return module.to(device)


def to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """A tensor's values on the processor."""
    found: NDArray[Any] = tensor.detach().cpu().numpy()
    return found


def symmetric_eigen(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues [n], rising, and eigenvectors [n, n] as columns, of a symmetric matrix [n, n]; float64."""
    device = exact_device()
    if device == CPU:
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors
    import torch

    found = torch.linalg.eigh(torch.from_numpy(matrix).to(device))
    return to_numpy(found.eigenvalues), to_numpy(found.eigenvectors)
