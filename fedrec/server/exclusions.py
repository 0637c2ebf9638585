"""Devices that a run no longer asks, because of what they did: by proof at once, on suspicion when it comes again.

A proof is a message with the device's signature that no honest device sends.  Suspicion is what honest devices can be
brought under by others: an aborted attempt names them.  Whoever is suspected is left out of the further attempts at the
same sum, and of the run once it is suspected in `STRIKES` sums.  Where there are too few devices without them, all are
asked again but those whose lie no protocol can correct.  Who is only silent is not excluded (`stragglers`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from fedrec.secagg.blame import FALSE_DEALING

STRIKES: Final = 2
SUSPECTED: Final = "suspected"


class ExclusionStore(Protocol):
    """What keeps them when a server is started again, such as `fedrec.server.state.ServerState`."""

    def save_exclusions(self, data: bytes) -> None:
        """Keep these bytes in place of the last ones, durably."""

    def load_exclusions(self) -> bytes | None:
        """The bytes that were kept last, or None."""


class Exclusions:
    """Whom a run leaves out, and why. Devices are named by their public ids."""

    def __init__(self) -> None:
        self._proved: dict[bytes, str] = {}
        self._strikes: Counter[bytes] = Counter()
        self._now: set[bytes] = set()
        self._forgiven = False
        self._store: ExclusionStore | None = None

    def keep_in(self, store: ExclusionStore) -> None:
        """Go on with what a store knows, and keep what is found in it from now on."""
        self._store = store
        kept = store.load_exclusions()
        if kept is not None:
            read = json.loads(kept)
            self._proved = {bytes.fromhex(device): reason for device, reason in read["proved"].items()}
            self._strikes = Counter({bytes.fromhex(device): count for device, count in read["strikes"].items()})
            self._forgiven = read["forgiven"]

    def begin(self) -> None:
        """A new sum is asked for: whoever was suspected once in the last one gets another chance."""
        self._now = set()

    def proved(self, devices: Mapping[bytes, str]) -> None:
        """Devices of which something is proved, and what."""
        self._proved = {**devices, **self._proved}
        self._save()

    def suspected(self, devices: Iterable[bytes]) -> None:
        """Devices that an attempt was aborted for."""
        for device in set(devices) - self._now - self._proved.keys():
            self._now.add(device)
            self._strikes[device] += 1
        self._save()

    def forgive(self) -> None:
        """Ask suspects again, and those whose lies cost nothing but a share or a vector, for want of others."""
        self._now = set()
        self._strikes = Counter()
        self._forgiven = True
        self._save()

    def __contains__(self, device: bytes) -> bool:
        reason = self._proved.get(device)
        if reason is not None and not (self._forgiven and reason != FALSE_DEALING):
            return True
        return device in self._now or self._strikes[device] >= STRIKES

    @property
    def counts(self) -> Counter[str]:
        """How many are excluded, by reason."""
        found = Counter(reason for device, reason in self._proved.items() if device in self)
        again = {device for device, count in self._strikes.items() if count >= STRIKES}
        if suspects := (self._now | again) - self._proved.keys():
            found[SUSPECTED] = len(suspects)
        return found

    def _save(self) -> None:
        if self._store is not None:
            proved = {device.hex(): reason for device, reason in sorted(self._proved.items())}
            strikes = {device.hex(): count for device, count in sorted(self._strikes.items())}
            self._store.save_exclusions(
                json.dumps({"proved": proved, "strikes": strikes, "forgiven": self._forgiven}).encode()
            )
