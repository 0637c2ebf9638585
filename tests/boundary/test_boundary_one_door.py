"""One door, shown at the wire: every message that devices send in a whole run is a share, of one form for all.

Devices differ as much as they can: one has done nothing, one has done everything, one holds texts, pictures and ids
that are found again wherever they should turn up.
"""

from __future__ import annotations

import ast
import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import federation_cases as cases
import pytest
from flwr.app import Context, Message, MetricRecord
from flwr.common.serde import message_to_proto, recorddict_to_proto
from message_cases import data_of, form_of, replace_data
from PIL import Image

import fedrec.client
from fedrec.client.app import app
from fedrec.console import open_reporter
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.queries.wire import FAILED, REFUSED
from fedrec.server.flower_devices import FlowerDevices
from fedrec.simulation.engines import grid_devices as engine
from fedrec.simulation.study import Study

CONFIG = cases.settings()
# Long enough that no share holds them by chance.
USER = "user-canary-7f3a9c51"
NOTE = "note-canary lantern marmalade-31 quokka"
UNKNOWN_ITEM = "item-canary-e07d44"
PHOTO_NAME = "photo-canary-5521.jpg"
QUERIES = {"popularity": 1, "cooccurrence": 1, "training": 3, "metrics": 1}
PLANTED, IDLE, BUSY = 3, 0, 1


def photo() -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    return file.getvalue()


@dataclass
class Exchange:
    """One request and the reply to it, as seen on the wire."""

    node: int
    group: str
    request: Message
    reply: Message

    @property
    def answer(self) -> bytes:
        """All that the device sent, as bytes."""
        return bytes(message_to_proto(self.reply).SerializeToString(deterministic=True))


def plant(study: Study, stores: Path) -> None:
    """Make three devices as different as devices can be."""
    (stores / f"{IDLE:05d}.sqlite").unlink()
    EventStore.create(stores / f"{IDLE:05d}.sqlite").close()
    with EventStore.open(stores / f"{BUSY:05d}.sqlite") as store, store.transaction():
        user = store.users()[0]
        store.add_events(user, [Event(item, 5) for item in study.features.ids])
        for number in range(60):
            store.add_note(user, Note(f"{study.features.titles[number]} number {number}"))
            store.add_photo(user, Photo(f"{number}.jpg", photo()))
    with EventStore.open(stores / f"{PLANTED:05d}.sqlite") as store, store.transaction():
        store.add_events(USER, [Event(UNKNOWN_ITEM, 3), *(Event(item, 4) for item in study.features.ids[:5])])
        store.add_note(USER, Note(NOTE))
        store.add_photo(USER, Photo(PHOTO_NAME, photo()))
        store.set_state(USER, "adapter", NOTE.encode())


@contextmanager
def planted(study: Study, out: Path, call: Callable[[Message, Context], Message] = app) -> Iterator[list[Exchange]]:
    """The wire of a run over planted devices whose client app is ``call``; conducts the run before it yields."""
    seen: list[Exchange] = []

    def spy(request: Message, reply: Message) -> None:
        seen.append(Exchange(request.metadata.dst_node_id, request.metadata.group_id, request, reply))

    _, stores = cases.place(study, out)
    plant(study, stores)
    with pytest.MonkeyPatch.context() as patched, open_reporter(silent=True) as reporter:
        patched.setattr(engine, "app", call)
        with engine.grid_devices(CONFIG, study, out, reporter, spy=spy) as devices:
            # Two users share one device, so the roster stands for one more user than there are devices.
            devices._users = cases.USERS + 1
            cases.run(CONFIG, study, devices, out / "server")
    yield seen


@pytest.fixture(scope="module")
def wire(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Exchange]]:
    with planted(federation_study, tmp_path_factory.mktemp("planted")) as seen:
        yield seen


def check_form(exchanges: list[Exchange]) -> None:
    """Every reply has the fields, types and sizes of the protocol, and they are the same for all devices."""
    sizes = defaultdict(set)
    for exchange in exchanges:
        content, metadata = exchange.reply.content, exchange.reply.metadata
        fields, arrays = form_of(exchange.reply)
        assert fields == {"format": (1, int), "protocol": ("none", str)}
        size = len(data_of(exchange.reply, "share"))
        assert arrays == {"share": ("uint8", [size], size)}
        sizes[exchange.group].add((size, recorddict_to_proto(content).ByteSize()))
        asked = exchange.request.metadata
        assert (metadata.group_id, metadata.message_type) == (asked.group_id, asked.message_type)
        assert (metadata.src_node_id, metadata.run_id) == (exchange.node, asked.run_id)
        assert not exchange.reply.has_error()
    assert all(len(size) == 1 for size in sizes.values()), dict(sizes)


def forms_of(secret: bytes) -> Iterator[bytes]:
    """A secret as it might travel: plain, encoded or hashed."""
    yield from (secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")[:-1])
    for digest in (hashlib.sha256(secret), hashlib.sha256(b"fedrec user" + secret), hashlib.blake2b(secret)):
        yield digest.digest()[:8]
        yield digest.hexdigest()[:16].encode()


def check_secrets(exchanges: list[Exchange], study: Study) -> None:
    """No reply holds an id, a text or a picture, in plain, encoded or as a hash."""
    texts = [USER, NOTE, UNKNOWN_ITEM, PHOTO_NAME, "canary", *study.dataset.users, *study.features.ids]
    secrets = [form for text in texts for form in forms_of(text.encode())]
    secrets += [photo()[:64], photo()[-64:], *forms_of(photo())]
    for exchange in exchanges:
        answer = exchange.answer
        assert not [secret for secret in secrets if secret in answer], exchange.group


def test_every_query_is_asked_of_every_device(wire: list[Exchange]) -> None:
    asked = defaultdict(list)
    for exchange in wire:
        asked[exchange.group.split()[0]].append(exchange.node)
    assert {query: len(nodes) for query, nodes in asked.items()} == {
        query: rounds * cases.USERS for query, rounds in QUERIES.items()
    }
    assert all(set(nodes) == set(range(cases.USERS)) for nodes in asked.values())


def test_all_replies_have_one_form_and_one_size(wire: list[Exchange]) -> None:
    check_form(wire)


def test_no_reply_holds_what_a_device_holds(wire: list[Exchange], federation_study: Study) -> None:
    check_secrets(wire, federation_study)


def test_the_devices_did_answer_from_what_they_hold(wire: list[Exchange]) -> None:
    shares = {(e.group, e.node): data_of(e.reply, "share") for e in wire}
    for group in {exchange.group for exchange in wire}:
        idle, busy, other = (shares[group, node] for node in (IDLE, BUSY, PLANTED))
        assert idle == bytes(len(idle))
        if group.startswith(("popularity", "cooccurrence")):
            assert len({idle, busy, other}) == 3
        if group.startswith("training"):  # to whoever has everything, no item is a negative
            assert other != idle


def test_all_devices_get_the_same_question_byte_by_byte(wire: list[Exchange]) -> None:
    asked = defaultdict(set)
    for exchange in wire:
        content = recorddict_to_proto(exchange.request.content).SerializeToString(deterministic=True)
        metadata = exchange.request.metadata
        asked[exchange.group].add((content, metadata.message_type, metadata.ttl, metadata.run_id))
    assert len(asked) == sum(QUERIES.values())
    assert all(len(requests) == 1 for requests in asked.values())


def test_a_question_has_the_agreed_records_only(wire: list[Exchange]) -> None:
    for exchange in wire:
        assert set(form_of(exchange.request)[0]) == {"request", "session", "catalogue"}
        assert exchange.request.metadata.message_type == "query.private_sum"


# The checks above must be able to fail: apps that leak are found out.


def adds_a_count(message: Message, context: Context) -> Message:
    reply = app(message, context)
    reply.content["fields"]["num-examples"] = 12
    return reply


def adds_metrics(message: Message, context: Context) -> Message:
    reply = app(message, context)
    reply.content["metrics"] = MetricRecord({"loss": 0.5})
    return reply


def pads_by_what_it_holds(message: Message, context: Context) -> Message:
    reply = app(message, context)
    if context.node_id == BUSY:
        replace_data(reply, "share", data_of(reply, "share") + b"\0")
    return reply


def signs_with_its_user(message: Message, context: Context) -> Message:
    reply = app(message, context)
    if context.node_id == PLANTED:
        share = data_of(reply, "share")
        mark = hashlib.sha256(USER.encode()).digest()[:8]
        replace_data(reply, "share", (mark + share[8:])[: len(share)])
    return reply


def raises_what_it_knows(message: Message, context: Context) -> Message:
    if context.node_id == PLANTED:
        raise RuntimeError(f"cannot read the note {NOTE}")
    return app(message, context)


@pytest.mark.parametrize("leak", [adds_a_count, adds_metrics, pads_by_what_it_holds])
def test_an_app_whose_replies_have_another_form_is_found_out(
    leak: Callable[[Message, Context], Message], federation_study: Study, tmp_path: Path
) -> None:
    exchanges = one_round(federation_study, tmp_path, leak)
    with pytest.raises(AssertionError):
        check_form(exchanges)


@pytest.mark.parametrize("leak", [signs_with_its_user, raises_what_it_knows])
def test_an_app_that_says_what_it_holds_is_found_out(
    leak: Callable[[Message, Context], Message], federation_study: Study, tmp_path: Path
) -> None:
    exchanges = one_round(federation_study, tmp_path, leak)
    with pytest.raises(AssertionError):
        check_secrets(exchanges, federation_study)


def one_round(study: Study, out: Path, call: Callable[[Message, Context], Message]) -> list[Exchange]:
    """Popularity, asked of four planted devices."""
    seen: list[Exchange] = []
    _, stores = cases.place(study, out)
    plant(study, stores)
    with pytest.MonkeyPatch.context() as patched, open_reporter(silent=True) as reporter:
        patched.setattr(engine, "app", call)

        def spy(request: Message, reply: Message) -> None:
            seen.append(Exchange(request.metadata.dst_node_id, request.metadata.group_id, request, reply))

        with engine.grid_devices(CONFIG, study, out, reporter, spy=spy) as devices:
            asked: FlowerDevices = devices
            asked.aggregate(cases.popularity_question(CONFIG, study), [IDLE, BUSY, 2, PLANTED])
    return seen


def test_one_round_of_the_real_app_is_found_clean(federation_study: Study, tmp_path: Path) -> None:
    exchanges = one_round(federation_study, tmp_path, app)
    check_form(exchanges)
    check_secrets(exchanges, federation_study)


# What the code says, whatever a run happens to do.


def test_the_app_makes_two_kinds_of_messages_a_share_and_a_fixed_refusal() -> None:
    tree = ast.parse((Path(fedrec.client.__file__).parent / "app.py").read_text(encoding="utf-8"))
    made = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Message"
    ]
    assert sorted(made) == ["Message(Error(code, reason), reply_to=message)", "Message(content, reply_to=message)"]
    assert len({REFUSED, FAILED}) == 2
