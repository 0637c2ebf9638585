"""A request to a cohort: which private sum is wanted, and what every device gets to answer it.

All devices of a cohort get the same request, so a request reveals nothing about any of them, and asking for an item by
its id is not possible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from numpy.typing import NDArray

from fedrec.config import Config
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy.distributed import NoiseShares
from fedrec.queries.private_sum import PrivateSum
from fedrec.registry import check_name
from fedrec.secagg.parameters import Assumptions, most_colluding
from fedrec.secagg.tails import at_least

FORMAT = 2
DEVICES: Final = "devices"
"""Among a request's settings: how many devices the roster lists."""
_FIELDS = {"format", "query", "round", "number", "sum", "settings"}
NamedArrays = Mapping[str, NDArray[Any]]
Scalars = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, eq=False)
class Broadcast:
    """What of a request is the server's to say: the rest follows from the settings.

    ``arrays``: parameters, directions, the items that take part.  ``settings``: flat values, such as a clip that
    adapts.
    """

    arrays: NamedArrays = field(default_factory=dict)
    settings: Scalars = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One round of one query.

    ``number``: the place of its sum among all sums of the run, from 0 and only going up; secure aggregation binds the
    sum to it.  ``arrays`` and ``settings``: all that travels, see `Broadcast`.
    """

    query: str
    round: int
    number: int
    sum: PrivateSum
    arrays: NamedArrays = field(default_factory=dict)
    settings: Scalars = field(default_factory=dict)

    def with_noise_of_devices(self, config: Config, noise_multiplier: float, devices: int) -> Request:
        """The same request to ``devices`` devices that add the noise, a share each; see `PrivateSum.noisy`.

        Who may drop out is as secure aggregation assumes; so is who may collude: with a curious server or a malicious
        one, whichever are more.  Those who collude with a malicious one are a share of the roster, of whose size the
        request says how many there are, and a cohort that was drawn from it may hold a larger share of them
        (`most_colluding`).
        """
        settings = config.secure_aggregation
        roster = self.settings.get(DEVICES, devices)
        if isinstance(roster, bool) or not isinstance(roster, int):
            raise ProtocolError("a request's population is no count", value=roster)
        wanted = Assumptions(settings.corrupt, settings.dropout, settings.colluding, settings.security, roster=roster)
        colluding = max(settings.corrupt, settings.colluding)
        most = most_colluding(devices, wanted)
        if most > at_least(colluding, devices):
            colluding = most / devices
        shares = NoiseShares(noise_multiplier, devices, settings.dropout, colluding)
        fixed = settings.resolution_bits is not None
        return replace(self, sum=self.sum.noisy(shares, fixed_grid=fixed))

    def header(self) -> str:
        """Everything but the arrays, as canonical JSON text."""
        fields = {
            "format": FORMAT,
            "query": self.query,
            "round": self.round,
            "number": self.number,
            "sum": asdict(self.sum),
            "settings": dict(self.settings),
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    def differs(self, other: Request) -> str | None:
        """The name of the first part in which another request differs to the last bit; None where they are the same."""
        if self.header() != other.header():
            return "header"
        if set(self.arrays) != set(other.arrays):
            return "arrays"
        return next((name for name in sorted(self.arrays) if not _same(self.arrays[name], other.arrays[name])), None)

    @classmethod
    def from_parts(cls, header: str, arrays: NamedArrays) -> Request:
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
            query = check_name("query", str(fields["query"]))
            agreed = PrivateSum(**fields["sum"])
            return cls(query, int(fields["round"]), int(fields["number"]), agreed, dict(arrays), fields["settings"])
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolError(
                f"a request cannot be read: {error}", action="Check that both sides run the same version"
            ) from None
        except ConfigError as error:
            raise ProtocolError(f"a request cannot be read: {error.what}", value=error.value) from None


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal in type, shape and every bit: what is not a number is the same as itself."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
