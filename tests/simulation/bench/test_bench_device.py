"""``fedrec bench device``: a list in a new process, a list after a new event, the size of a store."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from fedrec.cli.main import build


def test_it_tells_what_a_person_waits_for() -> None:
    words = ["bench", "device", "--items", "400", "--width", "4", "--events", "50", "--seconds", "0", "--json"]
    done = CliRunner().invoke(build(), words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["cold start"]["items"] == 10
    assert not told["cold start"]["torch"]
    processor = told["cold start"]["processor"]
    assert 0 < processor["NumPy alone"] < processor["first list"]
    assert told["new event"]["median"] > 0
    assert told["store"]["events"] == 50
