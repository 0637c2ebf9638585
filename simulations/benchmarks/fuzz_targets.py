"""What is fuzzed, and with what it begins: parsers of files and messages that come from somebody else.

A target is a function of bytes that may raise FedrecError and nothing else.  The first byte of an input says which of
the target's parsers or files it is for, so that one run goes through all of them.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from fedrec.config import from_run_config, load
from fedrec.config.load import from_tree
from fedrec.config.overrides import with_overrides
from fedrec.console import SilentReporter
from fedrec.content.audio_decode import open_sound
from fedrec.content.image_decode import open_picture
from fedrec.data.sources import read_data
from fedrec.data.store import EventStore
from fedrec.enrolment.invite import read_invite
from fedrec.enrolment.request import read_request
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.secure_wire import Invitation
from fedrec.queries.wire import Envelope, Part
from fedrec.release.bundle import read_release
from fedrec.release.keys import SigningKey
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, FileEntry, Manifest
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity
from fedrec.secagg.messages import (
    KEY_BYTES,
    RECEIPT_BYTES,
    Advertise,
    Complaints,
    Confirm,
    Masked,
    Shares,
    Unmask,
)
from fedrec.secagg.roster import Roster
from fedrec.secagg.server_messages import Certificate, Cohort, Inbox, Peer, Survivors, View
from fedrec.secagg.shamir import SHARE_BYTES
from fedrec.secagg.share_box import BOX_BYTES
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

_SEED_BYTES: Final = 60_000
_DEVICES: Final = 20
_TEXTS: Final = ("request", "session", "catalogue")

Parser = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """``parsers``: one or several, of which the first byte of an input names one. ``seeds``: inputs to begin with."""

    parsers: Sequence[Parser]
    seeds: Sequence[bytes]

    def __call__(self, data: bytes) -> None:
        """Parse one input. Raises what the parser raises."""
        if data:
            self.parsers[data[0] % len(self.parsers)](data[1:])


def made(cases: Sequence[tuple[Parser, bytes]]) -> Target:
    """A target of parsers, each with an input that it reads."""
    seeds = [bytes([place]) + seed[:_SEED_BYTES] for place, (_, seed) in enumerate(cases)]
    return Target([parser for parser, _ in cases], seeds)


def messages(_: Path) -> Target:
    """What devices and server send each other, rosters and manifests."""
    digest, signature, key = bytes(DIGEST_BYTES), bytes(SIGNATURE_BYTES), bytes(KEY_BYTES)
    boxes, receipts, shares = (bytes(BOX_BYTES),) * 4, (bytes(RECEIPT_BYTES),) * 4, (bytes(SHARE_BYTES),) * 4
    some, publisher = frozenset({0, 1, 2, 5}), DeviceIdentity.fresh()
    devices = sorted(DeviceIdentity.fresh().public for _ in range(4))
    roster = Roster.of(devices).sign(publisher)
    return made(
        [
            (Advertise.from_bytes, Advertise(3, signature, digest, key, key).to_bytes()),
            (Shares.from_bytes, Shares(3, signature, digest, digest, boxes).to_bytes()),
            (lambda data: Complaints.from_bytes(data, 4), Complaints(3, signature, digest, 4, some - {5}).to_bytes()),
            (Masked.from_bytes, Masked(3, signature, digest, receipts, bytes(200)).to_bytes()),
            (Confirm.from_bytes, Confirm(3, signature, digest, digest).to_bytes()),
            (
                lambda data: Unmask.from_bytes(data, 8),
                Unmask(3, signature, digest, 8, some, shares).to_bytes(),
            ),
            (
                lambda data: Cohort.from_bytes(data, _DEVICES),
                Cohort(digest, _DEVICES, some, 4, 3, (Peer(key, key, signature),) * 4).to_bytes(),
            ),
            (lambda data: Inbox.from_bytes(data, _DEVICES), Inbox(digest, _DEVICES, some, boxes).to_bytes()),
            (lambda data: View.from_bytes(data, _DEVICES), View(digest, _DEVICES, some).to_bytes()),
            (lambda data: Survivors.from_bytes(data, _DEVICES), Survivors(digest, _DEVICES, some).to_bytes()),
            (
                lambda data: Certificate.from_bytes(data, _DEVICES),
                Certificate(digest, _DEVICES, some, some, (signature,) * 4, receipts).to_bytes(),
            ),
            (Roster.from_bytes, Roster.of(devices).to_bytes()),
            (lambda data: Roster.verify(data, publisher.public), roster),
            (RunManifest.read_unverified, b'{"schema":1}\n' + b"00" * SIGNATURE_BYTES + b"\n"),
            (_envelope, b'{"format":1,"number":0,"query":"popularity","round":0,"settings":{},"sum":{}}\x00s\x00c\x00'),
        ]
    )


def _envelope(data: bytes) -> None:
    """Fields, each ended by a zero byte, then the bytes of an array."""
    *texts, array = data.split(b"\0", len(_TEXTS))
    fields = {name: text.decode("utf-8", "surrogateescape") for name, text in zip(_TEXTS, texts, strict=False)}
    parts = {"parameters": Part("float32", (len(array) // 4,), array)}
    Envelope.read(fields, parts)
    Invitation.read({**fields, "attempt": "0"}, parts)


def config(place: Path) -> Target:
    """TOML files, the run-config's JSON, and ``--set``."""
    file = place / "config.toml"

    def toml(data: bytes) -> None:
        file.write_bytes(data)
        load(file)

    root = Path(__file__).resolve().parents[1] / "configs"
    text = b"\n".join((root / name).read_bytes() for name in ("shop.toml",))
    private = (root / "ml1m-fedrec-eps8.toml").read_bytes()
    return made(
        [
            (toml, text),
            (toml, private),
            (lambda data: from_run_config("{" + data.decode("utf-8", "replace"), place), b'"training": {"rounds": 3}}'),
            (
                lambda data: from_tree(with_overrides({}, data.decode("utf-8", "replace").split("\n"))),
                b"training.rounds=3\nprivacy.epsilon=8\nmodel.modalities=[]",
            ),
        ]
    )


def release(place: Path) -> Target:
    """A release of which a publisher signed every byte, and its files as they come."""
    shop, out = place / "shop", place / "run"
    write_shop(shop, users=20, items=140, seed=0, pictures=False)
    quick = {"model": {"preset": "auto"}, "evaluation": {"every": 0}}
    simulate(from_tree(quick), shop, out, reporter=SilentReporter())
    key, good = SigningKey.fresh(), out / "model"
    names = sorted(path.name for path in good.iterdir() if path.name not in (MANIFEST, SIGNATURE))
    trial = place / "trial"

    def signed(data: bytes, name: str) -> None:
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(good, trial)
        (trial / name).write_bytes(data)
        entries = {one: FileEntry.of((trial / one).read_bytes()) for one in names}
        _sign(Manifest("shop", "2026-11-22T05:00:00Z", entries, 1).to_bytes())
        read_release(trial)

    def _sign(manifest: bytes) -> None:
        (trial / MANIFEST).write_bytes(manifest)
        (trial / SIGNATURE).write_bytes(key.public + key.sign(CONTEXT, manifest))

    def manifest(data: bytes) -> None:
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(good, trial)
        _sign(data)
        read_release(trial)

    cases: list[tuple[Parser, bytes]] = [
        (lambda data, name=name: signed(data, name), (good / name).read_bytes())  # type: ignore[misc]
        for name in names
        if (good / name).stat().st_size <= _SEED_BYTES
    ]
    return made([*cases, (manifest, (good / MANIFEST).read_bytes())])


def data(place: Path) -> Target:
    """Files of interactions and items in each form, pictures and sounds."""
    from fedrec.simulation.shop.sounds import make_sound

    folder = place / "data"
    folder.mkdir()
    rows = [(f"u{at % 7}", f"i{at % 11}", at % 5 + 1, 1_700_000_000 + at) for at in range(60)]
    interactions = "user,item,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in rows)
    items = "item,title,genres,text,year\n" + "".join(
        f'i{at},"Title {at}",red|blue,some text,{2000 + at}\n' for at in range(11)
    )
    atomic = "user_id:token\titem_id:token\trating:float\n" + "".join(f"{u}\t{i}\t{r}\n" for u, i, r, _ in rows)
    lines = "".join(f'{{"user": "{u}", "item": "{i}", "rating": {r}, "timestamp": {t}}}\n' for u, i, r, t in rows)

    def reads(name: str, beside: dict[str, str]) -> Parser:
        own = folder / name.replace(".", "-")
        own.mkdir()
        for other, text in beside.items():
            (own / other).write_text(text, encoding="utf-8")
        alone = not beside

        def read(content: bytes) -> None:
            (own / name).write_bytes(content)
            read_data(own / name if alone else own, catalogue_from_interactions=alone)

        return read

    cases: list[tuple[Parser, bytes]] = [
        (reads("interactions.csv", {"items.csv": items}), interactions.encode()),
        (reads("items.csv", {"interactions.csv": interactions}), items.encode()),
        (reads("lines.jsonl", {}), lines.encode()),
        (reads("table.csv", {}), interactions.encode()),
        (reads("data.inter", {}), atomic.encode()),
        (
            reads("u.data", {"u.item": "1|Film (1999)|01-Jan-1999||http|0|1\n"}),
            b"1\t1\t5\t881250949\n2\t1\t3\t881250950\n",
        ),
        (reads("table.parquet", {}), _parquet(rows)),
        (lambda content: open_sound(content, seconds=2.0), _sound(make_sound)),
    ]
    return made([*cases, *((open_picture, picture) for picture in _pictures())])


def _parquet(rows: Sequence[tuple[Any, ...]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    names = ("user", "item", "rating", "timestamp")
    table = pyarrow.table({name: [row[at] for row in rows] for at, name in enumerate(names)})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def _sound(make: Callable[..., bytes | None]) -> bytes:
    rng = np.random.default_rng(0)
    found = next((sound for _ in range(50) if (sound := make(rng, np.ones(8, dtype=np.float32))) is not None), b"")
    return found[:20_000]


def _pictures() -> list[bytes]:
    found = []
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        out = io.BytesIO()
        Image.new("RGB", (12, 9), (200, 30, 60)).save(out, kind)
        found.append(out.getvalue())
    return found


def store(place: Path) -> Target:
    """A device's event store, a run's ledger, and the documents of an enrolment."""
    path, trial, document = place / "store.sqlite", place / "trial.sqlite", place / "document.json"
    ledger = place / "ledger.sqlite"
    with EventStore.create(path, device_name="fuzz") as made_store, made_store.transaction():
        made_store.add_user("anna")
    with Ledger.open(ledger, Budget(1.0, 1e-3, "user")) as made_ledger:
        made_ledger.charge(QueryCost("metrics", 40.0), round=0)

    def fresh(content: bytes) -> Path:
        for ending in ("", "-wal", "-shm", "-journal"):
            trial.with_name(trial.name + ending).unlink(missing_ok=True)
        trial.write_bytes(content)
        return trial

    def verified(content: bytes) -> None:
        with Ledger.open(fresh(content)) as found:
            found.entries()
            found.verify()
            found.spent()

    def opened(content: bytes) -> None:
        with EventStore.open(fresh(content)) as found:
            for user in found.users():
                found.events(user)
                found.notes(user)
                found.held_out(user)

    def written(read: Callable[[Path], object]) -> Parser:
        def parse(content: bytes) -> None:
            document.write_bytes(content)
            read(document)

        return parse

    invite = b'{"schema":1,"name":"shop","address":"127.0.0.1:9443","publisher":"' + b"00" * 32 + b'","authority":"x"}'
    return made(
        [
            (opened, path.read_bytes()),
            (verified, ledger.read_bytes()),
            (written(read_invite), invite),
            (written(lambda found: read_request(found, bytes(32))), b'{"schema":1,"name":"a","identity":"00"}'),
        ]
    )


TARGETS: Final[dict[str, Callable[[Path], Target]]] = {
    "release": release,
    "messages": messages,
    "data": data,
    "config": config,
    "store": store,
}
"""By name; each is made in an empty directory."""
