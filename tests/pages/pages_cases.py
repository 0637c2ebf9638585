"""Runs written by hand, and clients of pages that stand where a browser would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.testclient import TestClient

from fedrec.pages.gate import Gate

PORT: Final = 8099
TOKEN: Final = "a-token-drawn-by-chance"
HOSTILE: Final = "</td><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}\u202e"


def line(number: int, query: str = "training", **changes: Any) -> dict[str, Any]:
    """A line of ``events.jsonl``."""
    return {
        "round": number,
        "query": query,
        "seconds": 0.5,
        "asked": 60,
        "devices": 57,
        "aborted": {},
        "excluded": {},
        "reason": None,
        "bytes_up_per_device": 1000,
        "epsilon_spent": number / 2,
        **changes,
    }


def record(**changes: Any) -> dict[str, Any]:
    """A ``run.json`` with what pages read of it."""
    return {
        "schema": 1,
        "about": "simulation: no protection",
        "warnings": [],
        "config": {"run": {"name": "trial"}, "privacy": {"epsilon": 8.0}, "training": {"rounds": 4}},
        "privacy": {
            "epsilon_released": 2.0,
            "epsilon_server": None,
            "epsilon_server_reason": "the server sees every contribution",
            "ledger": {"rows": 4, "head": "0"},
        },
        "quality": {"loo-99neg": {"hr@10": 0.5, "ndcg@10": 0.25}},
        "queries": {"census": {"deviation": 3.2, "users": {"genres=War": 12.0, HOSTILE: 5.0}}},
        "secure_aggregation": {"protocol": "none"},
        "data": {"name": "trial", "users": 60},
        "cost": {"seconds": 12.5},
        "stopped": None,
        **changes,
    }


def write_run(
    place: Path, lines: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None = None, *, budget: float = 8.0
) -> Path:
    """A run's directory: its lines, its ledger's first row, and its record where it has ended."""
    place.mkdir(parents=True)
    (place / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    with sqlite3.connect(place / "ledger.sqlite") as ledger:
        ledger.execute("CREATE TABLE chain (number INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL) STRICT")
        body = json.dumps({"kind": "open", "budget": {"epsilon": budget, "delta": 1e-3, "unit": "user"}})
        ledger.execute("INSERT INTO chain VALUES (0, ?, '')", (body,))
    ledger.close()
    if found is not None:
        (place / "run.json").write_text(json.dumps(found))
    return place


def stranger(app: FastAPI) -> TestClient:
    """A browser that has not opened the link."""
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


def visitor(app: FastAPI, gate: Gate) -> TestClient:
    """A browser that has: it holds the cookie."""
    client = stranger(app)
    assert client.get(gate.link).status_code == 303
    client.follow_redirects = True
    return client


@dataclass(frozen=True)
class Place:
    """Where a device's store, its release and the items' pictures are."""

    store: Path
    release: Path
    items: Path
