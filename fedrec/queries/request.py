"""A request to a cohort: which private sum is wanted, and what every device gets to answer it.

All devices of a cohort get the same request, so a request reveals nothing about any of them, and asking for an item
by its id is not possible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast, get_args

from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.errors import ProtocolError
from fedrec.privacy.distributed import NoiseShares
from fedrec.queries.private_sum import PrivateSum

Query = Literal["popularity", "cooccurrence", "directions", "factors", "training", "validation", "metrics"]
FORMAT = 1
_FIELDS = {"format", "query", "round", "sum", "settings"}


@dataclass(frozen=True)
class Request:
    """One query of one round.

    ``arrays``: what is broadcast (parameters, the pool of negatives, the items that take part).  ``settings``: flat
    values a device needs to answer (loss, temperature, ...).
    """

    query: Query
    round: int
    sum: PrivateSum
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def shared(self, config: Config, noise_multiplier: float, devices: int) -> Request:
        """The same request to ``devices`` devices that add the noise, a share each; see `PrivateSum.noisy`.

        Who may drop out is as secure aggregation assumes; so is who may collude: with a curious server or a malicious
        one, whichever are more.
        """
        settings = config.secure_aggregation
        colluding = max(settings.corrupt, settings.colluding)
        shares = NoiseShares(noise_multiplier, devices, settings.dropout, colluding)
        fixed = settings.resolution_bits is not None
        return replace(self, sum=self.sum.noisy(shares, fixed_grid=fixed))

    def header(self) -> str:
        """Everything but the arrays, as canonical JSON text."""
        fields = {
            "format": FORMAT,
            "query": self.query,
            "round": self.round,
            "sum": asdict(self.sum),
            "settings": dict(self.settings),
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_parts(cls, header: str, arrays: Mapping[str, NDArray[Any]]) -> Request:
        """Read a request back, strictly.

        Raises:
            ProtocolError: not JSON, an unknown or missing field, another format, an unknown query.
        """
        try:
            fields = json.loads(header)
            if not isinstance(fields, dict) or set(fields) != _FIELDS:
                raise ValueError("its fields are not the agreed ones")
            if fields["format"] != FORMAT:
                raise ValueError(f"format {fields['format']!r}, this side speaks {FORMAT}")
            if fields["query"] not in get_args(Query):
                raise ValueError(f"unknown query {fields['query']!r}")
            agreed = PrivateSum(**fields["sum"])
            return cls(cast(Query, fields["query"]), int(fields["round"]), agreed, dict(arrays), fields["settings"])
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolError(
                f"a request cannot be read: {error}", action="Check that both sides run the same version"
            ) from None
