"""Which of Flower's nodes is which place of the roster: learned from the signed keys that devices advertise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.secagg.roster import Roster


class NodePlaces:
    """The nodes of a run as places of its roster.

    A node is known as soon as the device behind it has advertised keys once.  Until then it is asked along with every
    cohort that devices recompute: who is not drawn refuses, which costs it little and says nothing.
    """

    def __init__(self, nodes: Sequence[int], roster: Roster) -> None:
        self._nodes, self._roster = sorted(nodes), roster
        self._devices: dict[int, bytes] = {}

    def learn(self, devices: Mapping[int, bytes]) -> None:
        """Note which device, by its public id, is behind which node."""
        self._devices |= devices

    def device(self, node: int) -> bytes:
        """Who is behind a node; empty where that is not known yet."""
        return self._devices.get(node, b"")

    def nodes(self, cohort: Sequence[int], *, public: bool) -> list[int]:
        """Whom to ask for the devices at these places of the roster.

        Args:
            cohort: the places.
            public: whether devices recompute the cohort.  One that the server draws in secret has the nodes in their
                own fixed order for places, since a device that is not drawn would answer all the same.
        """
        if not public:
            return [self._nodes[place] for place in cohort if place < len(self._nodes)]
        known = {self._roster.place(device): node for node, device in self._devices.items()}
        asked = [known[place] for place in cohort if place in known]
        if len(asked) < len(cohort):
            asked += [node for node in self._nodes if node not in self._devices]
        return sorted(asked)
