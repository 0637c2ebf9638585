"""What the server does with the devices' answers: open secrets, then remove the masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numpy.typing import NDArray

from fedrec.errors import ProtocolError
from fedrec.secagg import keys
from fedrec.secagg.errors import Reason, RoundAbortedError
from fedrec.secagg.masks import add_masks
from fedrec.secagg.recovery import SharedSecret, open_many
from fedrec.secagg.ring import Ring
from fedrec.secagg.round_records import RoundRecords
from fedrec.secagg.share_box import MASK, OWN, share_commitment

SharesByHolder = dict[int, dict[int, bytes]]
_Check = Callable[[RoundRecords, int, bytes], bool]


def open_masks(records: RoundRecords, total: NDArray[Any], ring: Ring, workers: int) -> None:
    """Turn the sum of masked vectors into the sum of vectors, in place.

    Raises:
        RoundAbortedError: SECRET_LOST or FALSE_SHARES, naming the devices whose secrets cannot be opened.
    """
    own, lost = _shares_by_owner(records)
    signed = [(key, -1) for key in _own_masks(records, own)]
    signed += _pair_masks(records, lost)
    add_masks(total, signed, ring, workers)


def _shares_by_owner(records: RoundRecords) -> tuple[SharesByHolder, SharesByHolder]:
    """Shares of survivors' own masks, and of the mask keys of those that dropped out: by owner, then by point."""
    own: SharesByHolder = {place: {} for place in sorted(records.survivors)}
    lost: SharesByHolder = {place: {} for place in sorted(records.members - records.survivors)}
    for place, answer in records.answers.items():
        near = records.neighbours[place]
        for slot, share in zip(sorted(answer.slots), answer.shares, strict=True):
            # The holder stands in the owner's opposite slot; its point is that slot plus one.
            into = own if near[slot] in records.survivors else lost
            into[near[slot]][records.graph.back(slot) + 1] = share
    return own, lost


def _own_masks(records: RoundRecords, own: SharesByHolder) -> list[bytes]:
    opened = _secrets(records, own, OWN, _fits_own_mask)
    return [keys.own_mask_key(seed, records.view) for seed in opened.values()]


def _pair_masks(records: RoundRecords, lost: SharesByHolder) -> list[tuple[bytes, int]]:
    """For each device that dropped out, the masks that its surviving neighbours added for it, taken back."""
    signed = []
    for place, seed in _secrets(records, lost, MASK, _fits_mask_key).items():
        private, public = keys.mask_pair(seed)
        for neighbour in records.neighbours[place]:
            if neighbour in records.survivors:
                try:
                    key = keys.mask_key(private, public, records.mask_keys[neighbour], records.view)
                except ProtocolError:
                    raise _abort(records, Reason.FALSE_SHARES, "a device's key is of no use", [neighbour]) from None
                signed.append((key, -keys.sign(neighbour, place)))
    return signed


def _secrets(records: RoundRecords, shares: SharesByHolder, secret: bytes, fits: _Check) -> dict[int, bytes]:
    """Open the secret of each device. ``fits``: whether it is the one that its owner committed itself to."""
    threshold = records.parameters.threshold
    few = [place for place, given in shares.items() if len(given) < threshold]
    if withheld := [place for place in few if records.answering(place) >= threshold]:
        raise _abort(records, Reason.BAD_RECEIPT, "a device's neighbours hold its receipts to be false", withheld)
    if few:
        raise _abort(records, Reason.SECRET_LOST, "too few shares of a device's secret arrived", few)
    secrets = [
        SharedSecret(
            place,
            given,
            {point: records.neighbours[place][point - 1] for point in given},
            partial(_is_dealt, records, place, secret),
            partial(fits, records, place),
        )
        for place, given in shares.items()
    ]
    opened = dict(zip(shares, open_many(secrets, threshold, records.liars), strict=True))
    lost = [place for place, found in opened.items() if found is None]
    if wrong := [place for place in lost if place in records.liars.owners]:
        raise _abort(records, Reason.FALSE_SHARES, "a device dealt shares that do not fit together", wrong)
    if lost:
        raise _abort(records, Reason.SECRET_LOST, "too few true shares of a device's secret arrived", lost)
    return {place: found for place, found in opened.items() if found is not None}


def _is_dealt(records: RoundRecords, place: int, secret: bytes, point: int, share: bytes) -> bool:
    """Whether the share at a point is the one that a device dealt to the neighbour in that slot."""
    holder = records.ids[records.neighbours[place][point - 1]]
    committed = records.share_commitments[place][point - 1][secret == OWN]
    return share_commitment(secret, records.ids[place], holder, records.context, share) == committed


def _fits_own_mask(records: RoundRecords, place: int, secret: bytes) -> bool:
    return keys.self_commitment(records.ids[place], records.context, secret) == records.commitments[place]


def _fits_mask_key(records: RoundRecords, place: int, secret: bytes) -> bool:
    return keys.mask_pair(secret)[1] == records.mask_keys[place]


def _abort(records: RoundRecords, reason: Reason, what: str, places: list[int]) -> RoundAbortedError:
    return RoundAbortedError(reason, what, devices=[records.ids[place] for place in sorted(places)])
