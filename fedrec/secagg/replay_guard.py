"""What a device remembers of the sums it took part in, so that it answers none of them twice.

The device keeps it in its store and writes it *before* the message it speaks of leaves: a device that forgets can be
asked again, and two sums that differ by one device give that device away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedrec.secagg import codec
from fedrec.secagg.codec import Reader
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.thresholds import Thresholds

DAY = 24 * 60 * 60
_KIND = 33


@dataclass(frozen=True)
class SeenRound:
    """The last sum of a run that this device sent a masked vector to. ``tries``: how often, for that round."""

    round: int
    attempt: int
    tries: int
    unmasked: bool


@dataclass
class ReplayGuard:
    """Rounds answered. ``now`` everywhere: seconds since 1970 by the device's own clock."""

    _runs: dict[str, SeenRound] = field(default_factory=dict)
    _times: list[int] = field(default_factory=list)

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that a masked vector was sent in."""
        return tuple(self._runs)

    def check(self, agreed: Agreed, thresholds: Thresholds, now: int) -> None:
        """Whether the device may still send a masked vector to this sum.

        Rounds of a run only go up.  A round may be tried again while the device has not helped to open it.

        Raises:
            RefusedError: ANSWERED or TOO_MANY_ROUNDS.
        """
        last = self._runs.get(agreed.run)
        if last is not None:
            asked = (agreed.round, agreed.attempt)
            if asked <= (last.round, last.attempt) or (agreed.round == last.round and last.unmasked):
                raise RefusedError(Reason.ANSWERED, "this device has answered that round", value=asked)
            if agreed.round == last.round and last.tries >= thresholds.attempts:
                raise RefusedError(Reason.TOO_MANY_ROUNDS, "this round was tried too often", value=last.tries)
        # A clock that was set back must not lower the threshold: times ahead of now count as today's.
        recent = sum(now - when < DAY for when in self._times)
        if recent >= thresholds.rounds_a_day:
            raise RefusedError(Reason.TOO_MANY_ROUNDS, "this device has answered enough for a day", value=recent)

    def masked(self, agreed: Agreed, now: int) -> None:
        """The device is about to send its masked vector."""
        last = self._runs.get(agreed.run)
        tries = last.tries + 1 if last is not None and last.round == agreed.round else 1
        self._runs[agreed.run] = SeenRound(agreed.round, agreed.attempt, tries, False)
        self._times = [when for when in self._times if now - when < DAY] + [now]

    def unmasked(self, agreed: Agreed) -> None:
        """The device is about to help to open the sum. Raises RefusedError(ANSWERED) the second time."""
        last = self._runs.get(agreed.run)
        if last is None or (last.round, last.attempt) != (agreed.round, agreed.attempt) or last.unmasked:
            raise RefusedError(Reason.ANSWERED, "this device helps to open a sum once", value=agreed.round)
        self._runs[agreed.run] = SeenRound(last.round, last.attempt, last.tries, True)

    def to_bytes(self) -> bytes:
        """For the device's store."""
        parts = [codec.header(_KIND), codec.number(len(self._runs), 4)]
        for run, entry in sorted(self._runs.items()):
            numbers = codec.number(entry.round, 4) + bytes((entry.attempt, min(entry.tries, 255), entry.unmasked))
            parts += [codec.prefixed(run.encode("utf-8", "surrogatepass"), 1), numbers]
        times = [codec.number(when, 8) for when in self._times]
        return b"".join((*parts, codec.number(len(times), 4), *times))

    @classmethod
    def from_bytes(cls, data: bytes) -> ReplayGuard:
        """Read `to_bytes`. Raises RefusedError(MALFORMED): then the device should not take part, not start anew."""
        reader = Reader(data, "a device's replay guard")
        reader.header(_KIND)
        runs = {}
        for _ in range(reader.number(4)):
            try:
                run = reader.prefixed(1).decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise codec.malformed("a device's replay guard names no run", None) from None
            round_number, (attempt, tries, unmasked) = reader.number(4), reader.take(3)
            if unmasked > 1 or run in runs:
                raise codec.malformed("a device's replay guard has an impossible entry", run)
            runs[run] = SeenRound(round_number, attempt, tries, bool(unmasked))
        times = [reader.number(8) for _ in range(reader.number(4))]
        reader.end()
        return cls(runs, times)
