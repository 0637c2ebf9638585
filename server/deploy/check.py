"""The real thing, small: devices behind authenticated SuperNodes train privately by secure aggregation over TLS, with
noise of their own, get the release back, and rank for their owners; then all that an issue tried is tried on them.

``python -m server.deploy.check DIRECTORY`` runs it and says what happened; it leaves with 1 where something failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from fedrec.client.ranker import recommend
from fedrec.console import say
from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.release.approve import approve_release
from fedrec.release.keys import load_key
from server.deploy.attacks import (
    Outcome,
    control_api,
    foreign_bundle,
    lying_run,
    made_up_run,
    repeated_run,
    rolled_back_release,
)
from server.deploy.deployment import DEVICES, Deployment, make_deployment
from server.deploy.network import network

_SECONDS: Final = 480.0


@dataclass(frozen=True)
class Checked:
    """``record``: the content of ``server.json``. ``ranked``: for one user of each device, its first items.
    ``outcomes``: what was tried against the deployment."""

    record: dict[str, Any]
    ranked: dict[str, list[str]]
    outcomes: tuple[Outcome, ...]


def check(out: Path, done: Callable[[str], None] = lambda text: None) -> Checked:
    """Set everything up in a new directory, run, hand the release to the devices, and attack.

    Args:
        out: the directory.
        done: told each step that is done.

    Raises:
        FedrecError: any step fails.
    """
    out = out.resolve()
    deployment = make_deployment(out)
    done("the publisher signed roster and manifest")
    outcomes: list[Outcome] = []

    def try_all(*attacks: Callable[[], Outcome]) -> None:
        for attack in attacks:
            outcomes.append(attack())
            done(_line(outcomes[-1]))

    with network(out / "network", [deployment.device(store) for store in deployment.stores]) as opened:
        # Before anything was answered: what devices refuse here they refuse for what it asks.
        try_all(
            partial(control_api, opened),
            partial(made_up_run, opened, deployment),
            partial(lying_run, opened, deployment),
        )
        run_config: dict[str, str | int | float] = {**deployment.files(), "out": str(out / "server")}
        log = opened.run(deployment.app, {**run_config, "devices": DEVICES, "patience": 120}, seconds=_SECONDS)
        record = _record(out, log)
        done(f"{DEVICES} devices trained, masked and with noise of their own")
        try_all(partial(foreign_bundle, opened, deployment), partial(repeated_run, opened, deployment))
    approve_release(out / "server" / "model", deployment.publisher)
    ranked = dict(_ranked(deployment, store) for store in deployment.stores)
    try_all(partial(rolled_back_release, deployment))
    return Checked(record, ranked, tuple(outcomes))


def _record(out: Path, log: str) -> dict[str, Any]:
    path = out / "server" / "server.json"
    if not path.is_file():
        raise ProtocolError(f"the run left nothing: {log[-2000:]}", action=f"Look into {out / 'network'}")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _ranked(deployment: Deployment, path: Path) -> tuple[str, list[str]]:
    with EventStore.open(path) as store:
        user = store.users()[0]
    server = deployment.out / "server"
    trusted = deployment.out / "release.pub"
    trusted.write_text(load_key(server / "release.key").public.hex() + "\n", encoding="ascii")
    return user, [one.item for one in recommend(server / "model", path, user, 5, trusted_key=trusted)]


def _line(outcome: Outcome) -> str:
    return f"{'refused' if outcome.held else 'FAILED '}  {outcome.what}: {outcome.seen}"


def main(out: Path) -> int:
    """Check, print what was found, and return the exit code."""
    found = check(out, say)
    for line in found.record["rounds"]:
        say(f"{line['query']} {line['round']}: {line['devices']} devices, {line['bytes_up_per_device']:,} bytes each")
    privacy = found.record["privacy"]
    say(f"noise of the {privacy['noise_place']} kind: epsilon_server {privacy['epsilon_server']}")
    for user, items in found.ranked.items():
        say(f"{user}: {', '.join(items)}")
    return 0 if all(outcome.held for outcome in found.outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
