"""The publisher's half of a deployment: which devices are enrolled, and what is signed for the next run.

It needs no server: it can be done on a machine that the server never sees, and its outcome carried over as one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from fedrec.config import load
from fedrec.config.base import Settings
from fedrec.config.simulated import is_simulated, refuse_reproducible
from fedrec.content.feature_table import encoder_hashes, load_table
from fedrec.enrolment.documents import read_document
from fedrec.enrolment.invite import Hex32
from fedrec.enrolment.request import DeviceName, EnrolmentRequest
from fedrec.errors import ConfigError, StoreError
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.run_manifest_draft import make_manifest
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster
from fedrec.server.operation.server_directory import PublisherDirectory, check_private
from fedrec.server.roster_files import load_roster_key
from fedrec.whole_files import PUBLIC, read_json, write_json, write_whole

LARGEST_BUNDLE: Final = 1 << 28
_FORMAT: Final = "fedrec signed run 1"


class EnrolledDevice(Settings):
    """``since``, ``until``: the first roster version that lists it, and the first that does not (None: listed)."""

    identity: Hex32
    node_key: str
    since: int = Field(ge=1)
    until: int | None = None


class Enrolled(Settings):
    """What the publisher keeps: device by name, the last roster's version and the last manifest's counter."""

    devices: dict[DeviceName, EnrolledDevice] = Field(default_factory=dict)
    version: int = Field(default=0, ge=0)
    counter: int = Field(default=0, ge=0)

    @property
    def listed(self) -> dict[str, EnrolledDevice]:
        """Those that the newest roster lists."""
        return {name: device for name, device in self.devices.items() if device.until is None}


class SignedRun(Settings):
    """What the publisher hands to the server for one run: ``manifest`` and ``roster``, signed (text and hex), and
    which SuperNodes to let in, by the device's name: identity and node key."""

    format: Literal["fedrec signed run 1"] = _FORMAT
    manifest: str
    roster: str = Field(pattern=r"^([0-9a-f]{2})*$")
    nodes: dict[DeviceName, tuple[Hex32, str]]

    def write(self, path: Path) -> None:
        """Write it for the way to the server. Raises StoreError."""
        write_whole(path, self.model_dump_json().encode(), mode=PUBLIC)


def read_signed_run(path: Path) -> SignedRun:
    """What `SignedRun.write` wrote. Raises ConfigError where it cannot be read, ProtocolError where it is none."""
    return read_document(path, SignedRun, "signed run", most=LARGEST_BUNDLE)


def enrolled_devices(publisher: PublisherDirectory) -> Enrolled:
    """What the publisher keeps; empty before the first device. Raises StoreError where it is damaged."""
    try:
        return Enrolled.model_validate(read_json(publisher.devices, LARGEST_BUNDLE) or {})
    except ValidationError:
        action = "Restore it from a backup"
        raise StoreError(
            "the list of enrolled devices is damaged", value=publisher.devices.name, action=action
        ) from None


def publisher_key(publisher: PublisherDirectory) -> DeviceIdentity:
    """The publisher's secret key. Raises ConfigError where it is not there, or others may read it."""
    check_private(publisher.path)
    return load_roster_key(publisher.key)


def sign_next(
    publisher: PublisherDirectory,
    requests: Sequence[EnrolmentRequest],
    *,
    withdrawn: Sequence[str] = (),
    users: int = 0,
    overrides: Sequence[str] = (),
) -> tuple[SignedRun, RunManifest]:
    """Enrol and withdraw devices, and sign the next roster and the next run's manifest.

    Args:
        publisher: its directory, which keeps what was signed.
        requests: checked ones (`EnrolmentRequest.check`); one that is enrolled already changes nothing.
        withdrawn: names of devices that leave.
        users: how many people stand behind the devices; 0 = one each.
        overrides: ``section.key=value`` over the publisher's settings.

    Raises:
        ConfigError: a name is taken or unknown, nobody is left, or the settings cannot be signed.
        StoreError: the disk refuses; then nothing was signed.
    """
    key, kept = publisher_key(publisher), enrolled_devices(publisher)
    devices = _next(kept, requests, withdrawn)
    listed = {name: device for name, device in devices.items() if device.until is None}
    if not listed:
        raise ConfigError("no device is enrolled", action="Give the request.json of a device, from fedrec device init")
    changed = devices != kept.devices
    version, counter = kept.version + changed, kept.counter + 1
    roster = Roster.of((bytes.fromhex(device.identity) for device in listed.values()), version)
    config = load(publisher.settings, overrides)
    refuse_reproducible(config, simulated=is_simulated())
    features, encoders = load_table(publisher.catalogue), encoder_hashes(publisher.catalogue)
    manifest = make_manifest(config, features, roster, counter=counter, users=users, encoders=encoders)
    made = SignedRun(
        manifest=manifest.sign(key).decode("utf-8"),
        roster=roster.sign(key).hex(),
        nodes={name: (device.identity, device.node_key) for name, device in listed.items()},
    )
    # Written before anybody gets what was signed: no counter and no version is ever used twice.
    write_json(publisher.devices, Enrolled(devices=devices, version=version, counter=counter).model_dump(mode="json"))
    return made, manifest


def _next(
    kept: Enrolled, requests: Sequence[EnrolmentRequest], withdrawn: Sequence[str]
) -> dict[DeviceName, EnrolledDevice]:
    devices, version = dict(kept.devices), kept.version + 1
    for name in withdrawn:
        if name not in devices or devices[name].until is not None:
            raise ConfigError("no such device is enrolled", value=name, action=f"Enrolled are: {_names(kept)}")
        devices[name] = devices[name].model_copy(update={"until": version})
    for request in requests:
        wanted = EnrolledDevice(identity=request.identity, node_key=request.node_key, since=version)
        there = devices.get(request.name)
        if there is not None and (there.identity, there.node_key, there.until) == (*_keys(wanted), None):
            continue
        if there is not None:
            action = "Have the device choose another: fedrec device init --name NAME"
            raise ConfigError("another device has or had this name", value=request.name, action=action)
        if any(request.identity == one.identity for one in devices.values()):
            action = "A device that left begins with a new store"
            raise ConfigError("this identity is or was enrolled under another name", value=request.name, action=action)
        devices[request.name] = wanted
    return devices


def _keys(device: EnrolledDevice) -> tuple[str, str]:
    return device.identity, device.node_key


def _names(kept: Enrolled) -> str:
    return ", ".join(sorted(kept.listed)[:10]) or "none"
