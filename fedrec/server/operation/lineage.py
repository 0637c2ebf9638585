"""`fedrec server lineage`: in which runs and releases a device's data is, and what cannot be recalled."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from fedrec.enrolment.public_paths import MANIFEST, ROSTER
from fedrec.errors import ConfigError, FedrecError
from fedrec.queries.run_manifest import RunManifest, read_manifest
from fedrec.release import manifest as release_files
from fedrec.server.operation.server_directory import NODES, ServerDirectory
from fedrec.server.operation.status import events_of
from fedrec.server.roster_files import read_roster
from fedrec.server.run_files import RECORD, RELEASE
from fedrec.whole_files import read_json

_LEAST: Final = 8


def lineage(server: ServerDirectory, device: str) -> dict[str, Any]:
    """What a device was part of; JSON-able.

    Args:
        server: whose runs are looked at.
        device: its name, or its identity in hex, of which the first eight digits are enough.

    Raises:
        ConfigError: no run knows such a device, or several.
    """
    public = bytes.fromhex(server.facts().publisher)
    found: list[tuple[Path, RunManifest]] = []
    names: dict[str, set[str]] = {}
    for out in sorted(server.runs.glob("[0-9]*")):
        if not (out / MANIFEST).is_file():
            continue
        found.append((out, read_manifest(out / MANIFEST, public)))
        for name, keys in (read_json(out / NODES, 1 << 28) or {}).items():
            names.setdefault(str(keys["identity"]), set()).add(name)
    identity = _identity(device, names)
    runs = [_run(server, out, manifest, identity, public) for out, manifest in found]
    taken = [run for run in runs if run["listed"]]
    after = [run["counter"] for run in runs if not run["listed"] and taken and run["counter"] > taken[-1]["counter"]]
    return {
        "device": sorted(names[identity])[-1],
        "identity": identity,
        "runs": taken,
        "left_with_run": after[0] if after else None,
        "cannot_be_recalled": _sentences(taken, left=bool(after)),
    }


def _identity(device: str, names: dict[str, set[str]]) -> str:
    wanted = device.lower()
    matching = [
        identity
        for identity, known in names.items()
        if device in known or (len(wanted) >= _LEAST and identity.startswith(wanted))
    ]
    if len(matching) != 1:
        what = "several devices are called that" if matching else "no run's roster has such a device"
        action = "Give its name, or its identity in hex; a server knows devices, and no users"
        raise ConfigError(what, value=device, action=action)
    return matching[0]


def _run(server: ServerDirectory, out: Path, manifest: RunManifest, identity: str, public: bytes) -> dict[str, Any]:
    listed = bytes.fromhex(identity) in read_roster(out / ROSTER, public).devices
    events = events_of(out)
    spent = [one["epsilon_spent"] for one in events if one.get("epsilon_spent") is not None]
    record: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    privacy = record.get("privacy", {})
    release = _release(server, out)
    return {
        "counter": manifest.counter,
        "name": manifest.name,
        "digest": manifest.digest,
        "listed": listed,
        "devices": manifest.roster.devices,
        "sums": sum(bool(one.get("devices")) for one in events),
        "finished": bool(record),
        "unit": manifest.budget.unit,
        "delta": manifest.budget.delta,
        "epsilon_spent": spent[-1] if spent else None,
        "epsilon_released": privacy.get("epsilon_released"),
        "epsilon_server": privacy.get("epsilon_server"),
        **release,
    }


def _release(server: ServerDirectory, out: Path) -> dict[str, Any]:
    version: int | None = None
    given = False
    with suppress(OSError, FedrecError):
        made = (out / RELEASE / release_files.MANIFEST).read_bytes()
        version = release_files.Manifest.from_bytes(made).version
        with suppress(OSError):
            given = (server.release / release_files.MANIFEST).read_bytes() == made
    return {"release_version": version, "given_to_devices_now": given}


def _sentences(taken: list[dict[str, Any]], *, left: bool) -> list[str]:
    said: list[str] = []
    asked = [run for run in taken if run["sums"]]
    if not asked:
        return ["Nothing: no sum was opened in any run that lists this device."]
    numbers = ", ".join(str(run["counter"]) for run in asked)
    said.append(
        f"Its share in the sums of run {numbers}, where it was asked: a sum cannot be opened again without one device, "
        "and who was asked in which round is kept nowhere."
    )
    versions = [str(run["release_version"]) for run in asked if run["release_version"] is not None]
    if versions:
        said.append(f"Release {', '.join(versions)}: copies on devices stay. A newer release takes their place there.")
    if any(run["epsilon_spent"] is None for run in asked):
        said.append("A run without noise promised nothing: what its sums and release say of the device has no bound.")
    if any(run["epsilon_spent"] is not None for run in asked):
        said.append("What all of it says of one user is bounded by the epsilons above, which add up over runs.")
    if not left:
        said.append("It is listed still: fedrec server enrol DIR --withdraw DEVICE signs the next run without it.")
    return said
