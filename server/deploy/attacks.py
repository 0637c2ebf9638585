"""What is tried against a deployment that runs: each must obtain nothing, and says what it saw."""

from __future__ import annotations

import json
import re
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from fedrec.client.budget import ledger_facts
from fedrec.client.ranker import recommend
from fedrec.data.store import EventStore
from fedrec.errors import ReleaseError
from fedrec.queries.wire import FAILED, REFUSED
from fedrec.release.approval import APPROVAL
from fedrec.release.approve import approve_release
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import load_key
from fedrec.release.manifest import SIGNATURE
from fedrec.secagg.identity import DeviceIdentity
from server.deploy.deployment import Deployment
from server.deploy.foreign_bundle import write_foreign_bundle
from server.deploy.lying_server import write_lying_server
from server.deploy.network import Network

_SECONDS: Final = 240.0


@dataclass(frozen=True)
class Outcome:
    """``what`` was tried, whether it ``held`` (nothing was obtained), and what was ``seen``."""

    what: str
    held: bool
    seen: str


def control_api(opened: Network) -> Outcome:
    """A device, which has the authority's certificate, asks for the list of runs where it reaches the server."""
    trusted = ssl.create_default_context(cafile=str(opened.home / "ca.pem"))
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    with httpx.Client(verify=trusted, trust_env=False, timeout=30) as client:
        asked = [
            client.post(f"https://127.0.0.1:{port}/v1/control/list-runs", headers=headers).status_code
            for port in (opened.port, opened.control_port)
        ]
    held = asked == [404, 200]
    return Outcome("control API at the devices' port", held, f"status {asked[0]}; on the server itself {asked[1]}")


def foreign_bundle(opened: Network, deployment: Deployment) -> Outcome:
    """An unsigned bundle asks all nodes for their stores: devices, and a SuperNode that was started as Flower does."""
    unguarded = opened.home / "unguarded.sqlite"
    shutil.copy(deployment.stores[0], unguarded)
    opened.start_unguarded({"store": str(unguarded)})
    found = opened.home / "stolen.json"
    config: dict[str, str | int | float] = {"out": str(found), "devices": len(deployment.stores) + 1}
    opened.attempt(write_foreign_bundle(opened.home / "foreign"), config, seconds=_SECONDS)
    replies: list[dict[str, Any]] = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else []
    stolen = [bytes.fromhex(reply["stolen"]) for reply in replies if "stolen" in reply]
    refused = [reply for reply in replies if tuple(reply.get("error", ())) in (REFUSED, FAILED)]
    # What it obtained is the unguarded node's file, whole: so it would have had the others'.
    held = stolen == [unguarded.read_bytes()] and len(refused) == len(deployment.stores)
    seen = f"{len(refused)} devices answered from installed code; {len(stolen)} SuperNode without it gave up its store"
    return Outcome("unsigned bundle that reads the store", held, seen)


def made_up_run(opened: Network, deployment: Deployment) -> Outcome:
    """A manifest that the server signed itself, with less noise: devices compare it with their own."""
    config = deployment.config
    looser = config.model_copy(update={"privacy": config.privacy.model_copy(update={"epsilon": 80.0})})
    signed = deployment.sign(opened.home / "made-up", looser, DeviceIdentity.fresh(), counter=2)
    return _refused_run("run that the publisher did not sign", opened, deployment, signed, "made-up-run")


def lying_run(opened: Network, deployment: Deployment) -> Outcome:
    """A server that names the publisher's manifest, and asks with noise for twice its epsilon."""
    app = write_lying_server(deployment.app, opened.home / "lying")
    what = "less noise under the publisher's manifest"
    return _refused_run(what, opened, deployment, deployment.manifest, "lying-run", app)


def repeated_run(opened: Network, deployment: Deployment) -> Outcome:
    """The publisher's own manifest, by a server that forgot that it ran: the budget is spent, whatever the run's id."""
    return _refused_run("the same run under a fresh id", opened, deployment, deployment.manifest, "repeated-run")


def _refused_run(
    what: str, opened: Network, deployment: Deployment, manifest: Path, name: str, app: Path | None = None
) -> Outcome:
    before = [_ledger(store) for store in deployment.stores]
    told = [len(log) for log in _logs(opened, deployment)]
    out = opened.home / name
    config: dict[str, str | int | float] = {**deployment.files(manifest), "out": str(out)}
    config |= {"devices": len(deployment.stores), "patience": 30}
    opened.attempt(app or deployment.app, config, seconds=_SECONDS)
    lines = (out / "events.jsonl").read_text(encoding="utf-8").splitlines() if (out / "events.jsonl").is_file() else []
    rounds = [json.loads(line) for line in lines]
    sums = [line for line in rounds if line["devices"]]
    logs = [log[size:] for log, size in zip(_logs(opened, deployment), told, strict=True)]
    asked = sum("Receiving:" in log for log in logs)
    # What devices say to themselves, and what the server saw of answers that fit nothing it asked.
    why = {f"[{code}]" for log in logs for code in re.findall(r"no answer to a request: \[(\w+)\]", log)}
    why |= {reason for line in rounds for reason in line["left_out"] if reason not in ("refused", "failed")}
    charged = sum(_ledger(store) != one for store, one in zip(deployment.stores, before, strict=True))
    seen = f"{asked} devices asked ({', '.join(sorted(why))}), {len(sums)} sums opened, {charged} ledgers charged"
    return Outcome(what, asked == len(before) and bool(why) and not sums and not charged, seen)


def _logs(opened: Network, deployment: Deployment) -> list[str]:
    paths = [opened.home / f"device-{number}.log" for number in range(len(deployment.stores))]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def rolled_back_release(deployment: Deployment) -> Outcome:
    """At a device that ranked before: an older release that the publisher had approved, the newest one with a broken
    signature, and one that the server signed and the publisher did not approve."""
    newest, store = deployment.out / "server" / "model", deployment.stores[0]
    signer = load_key(deployment.out / "server" / "release.key")
    release = read_release(newest, trusted_key=signer.public)
    older, unsigned = deployment.out / "older", deployment.out / "unsigned"
    write_release(older, release.contents, key=signer, version=release.version - 1)
    approve_release(older, deployment.publisher)
    shutil.copytree(newest, unsigned)
    signature = bytearray((unsigned / SIGNATURE).read_bytes())
    signature[-1] ^= 1
    (unsigned / SIGNATURE).write_bytes(bytes(signature))
    unapproved = deployment.out / "unapproved"
    shutil.copytree(newest, unapproved)
    (unapproved / APPROVAL).unlink()
    words = [_refusal(directory, store) for directory in (older, unsigned, unapproved)]
    return Outcome(
        "rolled-back, unsigned and unapproved release", all(words), "; ".join(word or "ranked" for word in words)
    )


def _refusal(release: Path, path: Path) -> str:
    with EventStore.open(path) as store:
        user = store.users()[0]
    try:
        recommend(release, path, user, 5)
    except ReleaseError as error:
        return error.what
    return ""


def _ledger(path: Path) -> dict[str, Any]:
    with EventStore.open(path) as store:
        return ledger_facts(store)
