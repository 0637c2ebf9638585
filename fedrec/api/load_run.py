"""What a run left in its directory, read for `fedrec.privacy.verify` and for the statement."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, from_tree
from fedrec.data.store import EventStore
from fedrec.errors import DataError, FedrecError
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.local import promise_of
from fedrec.privacy.verify import ClaimCheck, StatedPrivacy, verify_run
from fedrec.queries.plan import budget_of, costs_of, cut_short_by
from fedrec.release.bundle import read_release
from fedrec.server.sampled_cohorts import delta_of_samples

LEDGER: Final = "ledger.sqlite"
_RECORDS: Final = ("run.json", "server.json")


def load_run(run: Path) -> list[ClaimCheck]:
    """All checks of a run's directory.

    Raises:
        DataError: there is no record of a run in it, or it cannot be read.
    """
    record, name = read_record(run)
    config = config_of(record)
    users = int(record["data"]["users"])
    budget = budget_of(config, users)
    claims = {name: record["privacy"]}
    problems = []
    try:
        release = read_release(run / "model")
        claims["the release"] = release.contents.privacy
        head = str((record["privacy"].get("ledger") or {}).get("head"))
        if head not in release.contents.card:
            problems.append("the model card does not name this ledger's head")
    except FedrecError as error:
        problems.append(str(error))
    devices = int(record["data"].get("devices", users))
    plan = costs_of(config, users, devices)
    whole, early = record.get("stopped") is None, bool((record.get("validation") or {}).get("stopped_early"))
    said = StatedPrivacy(
        budget,
        plan,
        claims,
        read_lines(run),
        whole,
        promise_of(config),
        early,
        cut_short_by(config),
        delta_of_samples(config, users, devices + config.audit.canaries),
    )
    own = tuple(_devices(run / "stores", said))
    return [*verify_run(run / LEDGER, said), ClaimCheck("release", tuple(problems)), ClaimCheck("devices", own)]


def _devices(stores: Path, said: StatedPrivacy) -> Iterator[str]:
    """Hold the ledgers of simulated devices to what the server says was opened; silent where there are none.

    Where devices add all noise, each ledger is also held to the promise.
    """
    counted: Counter[tuple[str, int]] = Counter()
    paths = sorted(stores.glob("*.sqlite"))
    for path in paths:
        try:
            with EventStore.open(path, check=False) as store:
                ledger = DeviceLedger(store)
                counted.update({(row.query, row.round) for row in ledger.rows()})
                spent = ledger.spent() if said.promise is not None else 0.0
            if said.promise is not None and (spent is None or spent > said.promise["epsilon"]):
                yield f"{path.name}: epsilon {spent} is spent, promised was {said.promise['epsilon']}"
        except FedrecError as error:
            yield f"{path.name}: {error}"
    for line in said.lines if paths else ():
        known = counted[line["query"], line["round"]]
        if known < line["devices"]:
            yield f"{line['query']}, round {line['round']}: {line['devices']} devices in the sum, {known} know of it"


def read_record(run: Path) -> tuple[dict[str, Any], str]:
    """``run.json``, or ``server.json`` of a deployment, and which of them it is. Raises DataError without either."""
    for name in _RECORDS:
        if (run / name).is_file():
            try:
                record = json.loads((run / name).read_text(encoding="utf-8"))
                return {**record, "privacy": dict(record["privacy"]), "data": dict(record["data"])}, name
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"the record of the run cannot be read: {error}", path=run / name) from None
    raise DataError("no run ended here", path=run, action="Give the --out directory of a run that has ended")


def read_lines(run: Path) -> list[dict[str, Any]]:
    """The lines of ``events.jsonl``. Raises DataError where they cannot be read."""
    path = run / "events.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    except ValueError as error:
        raise DataError(f"a line is not JSON: {error}", path=path) from None


def config_of(record: dict[str, Any]) -> Config:
    """The settings of a run, from its record. Raises ConfigError where they are of another version."""
    return from_tree(record["config"])
