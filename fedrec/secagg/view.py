"""Who goes on to send a vector, once it is known whose boxes opened: complaints before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.secagg.parameters import GraphParameters


def spare_holders(parameters: GraphParameters) -> int:
    """Holders of a device's shares, beyond the threshold, that it must have to go on: some will be gone later.

    A quarter of those that it may lose in all.
    """
    return (parameters.degree - parameters.threshold) // 4


def who_goes_on(
    neighbours: Sequence[Sequence[int]],
    complaints: Mapping[int, frozenset[int]],
    parameters: GraphParameters,
    least: int = 0,
) -> frozenset[int]:
    """The largest set of devices in which everybody's secrets are safe with enough of the others.

    In it every device has at least `spare_holders` more neighbours that hold its shares than the threshold, and holds
    the shares of a threshold of neighbours itself.  It is unique: of two such sets the union is one as well.  So
    everybody goes on who belongs to any set of devices that do not complain about each other and of whom each has that
    many neighbours in the set; those outside, whatever they say, cost each of its members one holder a liar, and never
    a member.

    Args:
        neighbours: of each place, whether there or not.
        complaints: of each device that has answered, the places of those whose boxes did not open.
        parameters: neighbours and threshold.
        least: the fewest devices that are of any use; where so many do not have the spare holders, with fewer spare.
    """
    found: frozenset[int] = frozenset()
    for spare in range(spare_holders(parameters), -1, -1):
        found = _with_holders(neighbours, complaints, parameters.threshold + spare, parameters.threshold)
        if found and len(found) >= least:
            break
    return found


def _with_holders(
    neighbours: Sequence[Sequence[int]], complaints: Mapping[int, frozenset[int]], least_holders: int, least_held: int
) -> frozenset[int]:
    good = {
        place: [near for near in neighbours[place] if near in complaints and near not in closed]
        for place, closed in complaints.items()
    }
    holders: dict[int, list[int]] = {place: [] for place in good}
    for holder, owners in good.items():
        for owner in owners:
            holders[owner].append(holder)
    held_of = {place: len(owners) for place, owners in good.items()}
    held_by = {place: len(found) for place, found in holders.items()}
    leaving = [place for place in good if held_by[place] < least_holders or held_of[place] < least_held]
    gone = set(leaving)
    while leaving:
        place = leaving.pop()
        for owner in good[place]:
            held_by[owner] -= 1
        for holder in holders[place]:
            held_of[holder] -= 1
        for near in {*good[place], *holders[place]} - gone:
            if held_by[near] < least_holders or held_of[near] < least_held:
                gone.add(near)
                leaving.append(near)
    return frozenset(good) - gone
