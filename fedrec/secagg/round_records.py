"""What the server knows of a round while it is under way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fedrec.secagg import codec
from fedrec.secagg.assignment import Assignment
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.messages import Unmask
from fedrec.secagg.parameters import GraphParameters
from fedrec.secagg.recovery import Liars
from fedrec.secagg.roster import Roster
from fedrec.secagg.share_box import commitments_of


@dataclass
class RoundRecords:
    """Devices are named by their place among the eligible.

    ``ids``: public ids of all eligible.  ``neighbours``: of each, by slot, there or not.  ``cohort``: who advertised
    keys; ``sharers``: who of them shared secrets; ``complaints``: by whom, about whom; ``members``: of the view, who
    may send a vector; ``receipts``: of those who did, by slot of the view; ``survivors``: who is in the sum.
    ``commitments``: to own masks.  ``share_commitments``: to the shares that a device dealt, by slot.
    ``liars``: whom the opening proves to have lied, also where there is no sum.
    """

    context: bytes = b""
    view: bytes = b""
    ids: list[bytes] = field(default_factory=list)
    neighbours: list[tuple[int, ...]] = field(default_factory=list)
    cohort: frozenset[int] = frozenset()
    mask_keys: dict[int, bytes] = field(default_factory=dict)
    sharers: frozenset[int] = frozenset()
    commitments: dict[int, bytes] = field(default_factory=dict)
    share_commitments: dict[int, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    complaints: dict[int, frozenset[int]] = field(default_factory=dict)
    members: frozenset[int] = frozenset()
    receipts: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    survivors: frozenset[int] = frozenset()
    answers: dict[int, Unmask] = field(default_factory=dict)
    liars: Liars = field(default_factory=Liars)
    _assignment: Assignment | None = None

    @classmethod
    def of(cls, assignment: Assignment, roster: Roster, cohort: frozenset[int]) -> RoundRecords:
        """Those of a cohort that has just been fixed."""
        ids = [roster.device(device) for device in assignment.eligible]
        neighbours = [assignment.graph.neighbours(place) for place in range(assignment.size)]
        return cls(ids=ids, neighbours=neighbours, cohort=cohort, _assignment=assignment)

    @property
    def assignment(self) -> Assignment:
        """The round's ring and committee, once the cohort is fixed."""
        assert self._assignment is not None
        return self._assignment

    @property
    def graph(self) -> NeighbourGraph:
        """Who neighbours whom."""
        return self.assignment.graph

    @property
    def parameters(self) -> GraphParameters:
        """Neighbours and threshold."""
        return self.assignment.parameters

    @property
    def committee(self) -> frozenset[int]:
        """Who vouches for the list of survivors."""
        return self.assignment.committee

    def slots(self, place: int, among: Collection[int]) -> list[int]:
        """The slots of a device's neighbours that are among some devices."""
        return [slot for slot, neighbour in enumerate(self.neighbours[place]) if neighbour in among]

    def there(self, place: int, among: Collection[int]) -> list[int]:
        """A device's neighbours that are among some devices, by slot."""
        return [neighbour for neighbour in self.neighbours[place] if neighbour in among]

    def holders(self, place: int) -> int:
        """How many survivors hold shares of a device's secrets."""
        return sum(
            near in self.survivors and place not in self.complaints.get(near, ()) for near in self.neighbours[place]
        )

    def answering(self, place: int) -> int:
        """How many devices that hold shares of a device's secrets have answered in the last exchange."""
        return sum(
            near in self.answers and place not in self.complaints.get(near, ()) for near in self.neighbours[place]
        )

    def held(self, place: int) -> frozenset[int]:
        """The slots of those members whose shares a device can hold: their boxes opened."""
        closed = self.complaints.get(place, frozenset())
        near = self.neighbours[place]
        return frozenset(slot for slot in self.slots(place, self.members) if near[slot] not in closed)

    def keep_commitments(self, boxes: Mapping[int, Sequence[bytes]]) -> None:
        """Keep what each device that shared committed itself to. ``boxes``: for its neighbours in the cohort."""
        self.share_commitments = {
            place: dict(zip(self.slots(place, self.cohort), map(commitments_of, found), strict=True))
            for place, found in boxes.items()
        }

    def passed_on(
        self, items: Mapping[int, Sequence[bytes]], listed: frozenset[int], to: frozenset[int]
    ) -> dict[int, tuple[bytes, ...]]:
        """What each device of ``to`` gets from its neighbours among ``to``, by slot.

        ``items``: what each of ``to`` gave, one for every neighbour among ``listed``, by slot.
        """
        given = {place: dict(zip(self.slots(place, listed), found, strict=True)) for place, found in items.items()}
        graph = self.graph
        return {
            place: tuple(given[self.neighbours[place][slot]][graph.back(slot)] for slot in self.slots(place, to))
            for place in sorted(to)
        }

    def check_answer(self, place: int, answer: Unmask) -> None:
        """That an answer is of the only form it can have. Raises RefusedError(MALFORMED)."""
        if not answer.slots <= self.held(place):
            raise codec.malformed("an answer's shares do not fit the neighbours", len(answer.shares))
