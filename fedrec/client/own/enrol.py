"""`fedrec device init`: a store, an identity and a node key, and the publisher's key pinned, from one invite."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from fedrec.client.node_key import write_node_key
from fedrec.client.own.device_directory import STORE, DeviceDirectory, DeviceFacts, device_directory
from fedrec.client.trust import identity_of, trust_roster_key
from fedrec.data.store import EventStore
from fedrec.enrolment.invite import Invite, read_invite
from fedrec.enrolment.request import NAME, EnrolmentRequest
from fedrec.errors import ConfigError
from fedrec.whole_files import PUBLIC, new_directory, write_json, write_whole


def make_device(path: Path, invite_file: Path, *, store: Path | None = None, name: str = "") -> DeviceDirectory:
    """Make a device's directory.

    Args:
        path: must not be there, or be empty.
        invite_file: what the publisher gave, by a way that the server does not control.
        store: an event store that is there already, and stays where it is; None: a new, empty one in the directory.
        name: what people call the device; by default the directory's name.

    Raises:
        ConfigError: the directory is taken, or the name is none. ProtocolError: the invite is none, or the store
            believes another publisher. StoreError: the store cannot be opened. What was half made is taken away again.
    """
    invite = read_invite(invite_file)
    directory = device_directory(path)
    name = name or directory.path.name
    if not re.fullmatch(NAME, name):
        action = "Give --name of letters, digits, dots, dashes and underscores"
        raise ConfigError("a device cannot have this name", value=name, action=action)
    new_directory(directory.path)
    try:
        _fill(directory, invite, store, name)
    except BaseException:
        for one in directory.path.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        raise
    return directory


def _fill(directory: DeviceDirectory, invite: Invite, given: Path | None, name: str) -> None:
    publisher = bytes.fromhex(invite.publisher)
    place = directory.path / STORE if given is None else given.absolute()
    opened = EventStore.create(place, name) if given is None else EventStore.open(place)
    with opened as store, store.transaction(durable=True):
        trust_roster_key(store, publisher)
        identity = identity_of(store)
    node_key = write_node_key(directory.node_key).read_text(encoding="ascii")
    write_whole(directory.authority, invite.authority.encode(), mode=PUBLIC)
    invite.write(directory.invite_file)
    EnrolmentRequest.signed(name, identity, node_key, publisher).write(directory.request)
    # Last: a directory without it is no device.
    facts = DeviceFacts(name=name, store=STORE if given is None else str(place))
    write_json(directory.facts_file, facts.model_dump(mode="json"))
