"""What a server is at, from its files alone: the same for an operator, for metrics, and after a crash."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fedrec.detached import ProcessMark
from fedrec.errors import FedrecError
from fedrec.queries.run_manifest import RunManifest
from fedrec.release.manifest import MANIFEST, Manifest
from fedrec.server.operation.certificates import expiry_of
from fedrec.server.operation.newest import newest_manifest
from fedrec.server.operation.running import is_up, read_running
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.server.run_files import EVENTS, RECORD, RELEASE
from fedrec.server.run_marks import failure_of, running_process

_LAST_EVENTS: Final = 5


def server_status(server: ServerDirectory) -> dict[str, Any]:
    """Processes, the newest run, devices, epsilons and the last events; JSON-able.

    Raises:
        ConfigError: there is no server. ProtocolError, StoreError: one of its files is damaged.
    """
    facts, running = server.facts(), read_running(server)
    up = is_up(running)
    manifest = newest_manifest(server)
    nodes = running.get("nodes", {}) if up else {}
    return {
        "name": facts.name,
        "up": up,
        "listen": facts.listen,
        "control_port": facts.control_port,
        "monitor_port": facts.monitor_port,
        "publisher": facts.publisher,
        "processes": {name: _process(one) for name, one in (running.get("processes", {}) if up else {}).items()},
        "problem": running.get("problem", "") if up else "",
        "nodes": {"registered": nodes.get("registered", 0), "online": nodes.get("online", 0)},
        "run": _run(server, manifest, running.get("run", {}), up=up),
        "release_version": _release_version(server.release),
        "certificate_seconds": int((expiry_of(server.certificate) - datetime.now(UTC)).total_seconds()),
    }


def _process(facts: dict[str, Any]) -> dict[str, Any]:
    mark = ProcessMark.read(facts.get("process"))
    alive = mark is not None and mark.alive
    return {"pid": mark.pid if mark and alive else None, "alive": alive, "restarts": int(facts.get("restarts", 0))}


def _run(server: ServerDirectory, manifest: RunManifest | None, kept: dict[str, Any], *, up: bool) -> dict[str, Any]:
    if manifest is None:
        found = {"phase": "waiting", "said": "no device is enrolled yet", "counter": 0, "attempts": 0, "sums": 0}
        return {
            **found,
            "devices": 0,
            "digest": "",
            "epsilon_spent": None,
            "epsilon_budget": None,
            "failure": None,
            "release": None,
            "events": [],
        }
    out = server.run(manifest.counter)
    events = events_of(out)
    same = kept.get("counter") == manifest.counter
    finished = (out / RECORD).is_file() and running_process(out) is None
    phase = str(kept.get("phase", "waiting")) if same and up else "finished" if finished else "waiting"
    said = str(kept.get("said", "")) if same and up else "" if finished else "the server is not up"
    failure = failure_of(out)
    spent = [one["epsilon_spent"] for one in events if one.get("epsilon_spent") is not None]
    return {
        "phase": phase,
        "said": said,
        "counter": manifest.counter,
        "digest": manifest.digest,
        "devices": manifest.roster.devices,
        "attempts": int(kept.get("attempts", 0)) if same else 0,
        "sums": sum(bool(one.get("devices")) for one in events),
        "epsilon_spent": spent[-1] if spent else None,
        "epsilon_budget": manifest.budget.epsilon,
        "failure": None if failure is None else failure.get("what"),
        "release": _release_of(out / RELEASE, server.release),
        "events": events[-_LAST_EVENTS:],
    }


def events_of(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``events.jsonl``; none where there is none."""
    found: list[dict[str, Any]] = []
    with suppress(OSError):
        for line in (out / EVENTS).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a run that is writing it, or was killed
                found.append(json.loads(line))
    return found


def _release_of(made: Path, given: Path) -> str | None:
    """What became of a run's release: "awaits approval", or "is approved" where it is what devices are given."""
    with suppress(OSError):
        mine = (made / MANIFEST).read_bytes()
        with suppress(OSError):
            if (given / MANIFEST).read_bytes() == mine:
                return "is approved"
        return "awaits approval: fedrec server approve"
    return None


def _release_version(release: Path) -> int | None:
    with suppress(OSError, FedrecError):
        return Manifest.from_bytes((release / MANIFEST).read_bytes()).version
    return None
