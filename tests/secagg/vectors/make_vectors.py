"""Writes the known-answer vectors beside it: ``python tests/secagg/vectors/make_vectors.py``.

All secrets follow from a fixed label, so the same bytes come out every time; a change of them is a change of the
protocol and needs another version number in `fedrec.secagg.codec`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2])]

from secagg_cases import LENIENT, World, agree, source  # noqa: E402

from fedrec.secagg import context, keys  # noqa: E402
from fedrec.secagg.committee import draw_committee  # noqa: E402
from fedrec.secagg.errors import RefusedError  # noqa: E402
from fedrec.secagg.graph import NeighbourGraph  # noqa: E402
from fedrec.secagg.server_messages import Certificate, Cohort, Inbox, Survivors, View  # noqa: E402
from fedrec.secagg.shamir import split  # noqa: E402
from fedrec.secagg.thresholds import Thresholds  # noqa: E402

COUNT, GONE = 9, ({8}, {7}, {6})


def world(**more: Any) -> World:
    thresholds = Thresholds(cohort=4, survivors=3, assumptions=LENIENT)
    return World.of(COUNT, secrets="vector", thresholds=thresholds, length=4, **more)


def parts() -> dict[str, Any]:
    """Hashes, keys and shares on their own."""
    roster = world().roster
    terms = agree(roster, length=4)
    seeds = [bytes([at]) * keys.SEED_BYTES for at in (1, 2)]
    one, two = (keys.mask_pair(seed) for seed in seeds)
    box_one, box_two = (keys.box_pair(seed) for seed in seeds)
    view = bytes(range(32))
    box = keys.box_key(box_one[0], box_one[1], box_two[1], view)
    cohort = context.cohort_context(terms.digest, {0, 2, 3}, 6, 2, 2)
    return {
        "roster": roster.to_bytes().hex(),
        "roster_digest": roster.digest.hex(),
        "agreed": terms.digest.hex(),
        "cohort_context": cohort.hex(),
        "view_context": context.view_context(cohort, {0, 2}, 3).hex(),
        "survivors_digest": context.survivors_digest({0, 2}, 3).hex(),
        "ring_key": terms.ring_key.hex(),
        "committee_4_of_9": sorted(draw_committee(view, 9, 4)),
        "graph_9_of_4": [list(NeighbourGraph(view, 9, 4).neighbours(place)) for place in range(9)],
        "mask_public": [one[1].hex(), two[1].hex()],
        "mask_key": keys.mask_key(one[0], one[1], two[1], view).hex(),
        "own_mask_key": keys.own_mask_key(seeds[0], view).hex(),
        "box_key": box.hex(),
        "receipt": keys.receipt(box, one[1], two[1], view).hex(),
        "self_commitment": keys.self_commitment(one[1], view, seeds[0]).hex(),
        "shares": [share.hex() for share in split(seeds[0], 2, [1, 2, 3], source("shares"))],
    }


def rounds() -> dict[str, Any]:
    """A whole round: everybody, and with a device lost before each exchange."""
    out = {}
    for name, gone in (("everybody", ()), ("dropouts", GONE)):
        made = world()
        lost = [*gone, (), (), ()][:3]
        cohorts = made.advertise()
        inboxes = made.share(cohorts, lost[0])
        views = made.check_boxes(inboxes)
        lists = made.mask(views, lost[1])
        certificates = made.confirm(lists)
        opened = made.unmask(certificates, lost[2])
        shown = cohorts, inboxes, views, lists, certificates
        out[name] = {
            "identities": [device.private_bytes().hex() for device in made.devices],
            "vectors": [vector.tolist() for vector in made.vectors],
            "bits": made.agreed.bits,
            "to_server": [[message.hex() for message in sent] for sent in made.sent],
            "to_devices": [{str(at): text.hex() for at, text in step.items()} for step in shown],
            "survivors": [device.hex() for device in opened.survivors],
            "total": opened.total.tolist(),
        }
    return out


def hostile() -> list[dict[str, str]]:
    """What a server may show to device 0, or anybody send to the server, and the reason that it is refused for."""
    made = world()
    cases: list[dict[str, str]] = []

    def device(step: str, message: bytes) -> None:
        one = made.rounds[0]
        calls = {"cohort": one.share, "inbox": one.check, "survivors": one.confirm, "certificate": one.unmask}
        try:
            one.mask(message, made.vectors[0]) if step == "view" else calls[step](message)
        except RefusedError as error:
            cases.append({"to": "device", "step": step, "message": message.hex(), "reason": error.reason.value})
            return
        raise AssertionError("a hostile message was answered")

    def server(step: str, message: bytes) -> None:
        refused = made.server.receive(message)
        assert refused is not None
        cases.append({"to": "server", "step": step, "message": message.hex(), "reason": refused.reason.value})

    advert = made.rounds[0].advertise()
    for bad in (advert[:-1], advert + b"\0", advert[:-1] + bytes([advert[-1] ^ 1]), b"\x01" + advert[1:], b""):
        server("advertise", bad)
    made.give(0, advert)
    server("advertise", advert)
    cohorts = made.advertise(range(1, COUNT))
    server("share", advert)
    cohort = Cohort.from_bytes(cohorts[0], COUNT)
    fewer = replace(cohort, members=frozenset({0, 1, 2}), peers=cohort.peers[:2])
    swapped = replace(cohort, peers=(cohort.peers[1], cohort.peers[0], *cohort.peers[2:]))
    own = replace(cohort.peers[0], mask_key=keys.mask_pair(bytes(31))[1])
    for changed in (
        replace(cohort, agreed=bytes(32)),
        replace(cohort, members=cohort.members - {0}),
        fewer,
        replace(cohort, threshold=2),
        replace(cohort, degree=6),
        swapped,
        replace(cohort, peers=(own, *cohort.peers[1:])),
    ):
        device("cohort", changed.to_bytes())
    inboxes = made.share(cohorts)
    inbox = Inbox.from_bytes(inboxes[0], COUNT)
    for other in (
        replace(inbox, context=bytes(32)),
        replace(inbox, sharers=inbox.sharers - {0}),
        replace(inbox, boxes=inbox.boxes[1:]),
        replace(inbox, sharers=frozenset({0, 1}), boxes=inbox.boxes[:1]),
    ):
        device("inbox", other.to_bytes())
    views = made.check_boxes(inboxes)
    view = View.from_bytes(views[0], COUNT)
    for went in (
        replace(view, context=bytes(32)),
        replace(view, members=view.members - {0}),
        replace(view, members=frozenset({0, 1})),
    ):
        device("view", went.to_bytes())
    lists = made.mask(views)
    everybody = Survivors(made.server._records.view, COUNT, view.members)
    for listed in (replace(everybody, view=bytes(32)), replace(everybody, survivors=view.members - {0})):
        if 0 in made.server._records.committee:
            device("survivors", listed.to_bytes())
    certificates = made.confirm(lists)
    shown = Certificate.from_bytes(certificates[0], COUNT)
    for told in (
        replace(shown, view=bytes(32)),
        replace(shown, survivors=frozenset({0, 1}), receipts=shown.receipts[:1]),
        replace(shown, receipts=shown.receipts[::-1]),
        replace(shown, signatures=shown.signatures[::-1]),
        replace(shown, signers=frozenset(), signatures=()),
    ):
        device("certificate", told.to_bytes())
    return cases


def main() -> None:
    for name, make in (("parts", parts), ("rounds", rounds), ("hostile", hostile)):
        (HERE / f"{name}.json").write_text(json.dumps(make(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
