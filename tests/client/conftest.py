"""The tiny release and store that tests of ranking share; read only."""

from __future__ import annotations

import pytest
from ranker_cases import CONFIG, Place, a_picture, tiny_contents

from fedrec.config import from_tree
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
from fedrec.release.bundle import write_release
from fedrec.release.keys import SigningKey


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    directory = tmp_path_factory.mktemp("device")
    contents = tiny_contents(directory, from_tree(CONFIG))
    key = SigningKey.fresh()
    write_release(directory / "model", contents, key=key)
    (directory / "key.pub").write_text(key.public.hex() + "\n")
    (directory / "other.pub").write_text(SigningKey.fresh().public.hex() + "\n")
    photo = a_picture(directory / "mine.png", "red").read_bytes()
    with EventStore.create(directory / "store.sqlite") as store:
        events = [Event("red-shirt", 10), Event("red-lamp", 20), Event("gone-item", 30), Event("red-shirt", 40)]
        store.add_events("anna", events)
        store.add_user("newcomer")
        store.add_note("writer", Note("I like red tents and a red mug"))
        store.add_photo("writer", Photo("mine.png", photo))
        store.add_photo("blurred", Photo("broken.jpg", b"no picture"))
    titles = dict(zip(contents.items.ids, contents.items.titles, strict=True))
    return Place(
        directory / "model", directory / "store.sqlite", directory / "key.pub", directory / "other.pub", titles
    )
