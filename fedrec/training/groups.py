"""Groups of parameters that are clipped apart from each other, each to its part of the bound.

McMahan et al., "Learning differentially private recurrent language models" (ICLR 2018), section 3.1 (per-layer
clipping): where the squares of the parts add up to the square of the bound, so do at most those of the clipped
groups, and a row's whole gradient is within the bound as it is with one group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.training.row_gradients import MARGIN

REST: Final = "rest"
_WRAPPED: Final = "model."


@dataclass(frozen=True)
class ParameterGroups:
    """``of``: the group of each parameter, in declared order.  ``parts``: of the bound, one a group; their squares
    add up to 1."""

    of: tuple[int, ...]
    parts: tuple[float, ...]

    @classmethod
    def split(cls, names: Sequence[str], shares: Mapping[str, float]) -> ParameterGroups:
        """Groups as ``privacy.groups`` has them; one group without shares.

        Args:
            names: of the parameters, in declared order; of an `Objective`, as it names its model's.
            shares: the beginning of names, at a dot, to a share of the squared bound; the longest that fits counts.
                ``rest`` is for all parameters that no other fits. Shares are normalised to sum 1.

        Raises:
            ModelError: a share is of no parameter, or a parameter is in no group.
        """
        if not shares:
            return cls((0,) * len(names), (1.0,))
        keys = list(shares)
        of = tuple(keys.index(_key(name.removeprefix(_WRAPPED), keys)) for name in names)
        unused = [key for place, key in enumerate(keys) if place not in of]
        if unused:
            raise ModelError(
                "privacy.groups names what is no parameter of this model",
                value=unused,
                action=f"Name some of {', '.join(sorted({_first(name) for name in names}))}, or {REST}",
            )
        total = math.fsum(shares.values())
        return cls(of, tuple(math.sqrt(share / total) for share in shares.values()))

    def factors(self, norms: Tensor, bound: float) -> tuple[Tensor, Tensor]:
        """How much of each row's gradient is kept, from its norms [parameters, rows], float64.

        Returns:
            Factors [groups, rows], at most 1 and with room for `MARGIN`, and [rows]: how large a row is beside the
            bound, times the bound: its norm with one group, else that of the group which is furthest beyond its part.
            Beyond the bound = clipped.
        """
        if len(self.parts) == 1:
            whole = norms[0] if len(norms) == 1 else norms.norm(dim=0)
            return (bound / (whole * (1 + MARGIN)).clamp(min=1e-300)).clamp(max=1.0).unsqueeze(0), whole
        squares = torch.stack([norms[list(self._members(group))].norm(dim=0) for group in range(len(self.parts))])
        parts = torch.tensor([bound * part for part in self.parts], dtype=norms.dtype, device=norms.device)
        factors = (parts.unsqueeze(1) / (squares * (1 + MARGIN)).clamp(min=1e-300)).clamp(max=1.0)
        return factors, (squares / parts.unsqueeze(1)).amax(dim=0) * bound

    def _members(self, group: int) -> Sequence[int]:
        return [place for place, one in enumerate(self.of) if one == group]


def _key(name: str, keys: Sequence[str]) -> str:
    fitting = [key for key in keys if key != REST and (name == key or name.startswith(f"{key}."))]
    if not fitting and REST not in keys:
        raise ModelError(
            "a parameter is in none of privacy.groups", value=name, action=f"Add a share for it, or for {REST}"
        )
    return max(fitting, key=len, default=REST)


def _first(name: str) -> str:
    return name.removeprefix(_WRAPPED).split(".")[0]
