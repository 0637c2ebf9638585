"""Rosters on the command line: made, signed, checked, and refused where anything is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.cli.main import build
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import load_roster_key, read_identities, read_roster


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        build()([str(word) for word in words], prog_name="fedrec")
    found = capsys.readouterr()
    return int(left.value.code or 0), found.out + found.err


def test_from_devices_to_a_roster_that_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, ids, roster = tmp_path / "key", tmp_path / "ids", tmp_path / "roster"
    assert run(capsys, "roster", "key", key)[0] == 0
    printed = []
    for name in ("a", "b"):
        EventStore.create(tmp_path / name).close()
        code, said = run(capsys, "device", "identity", "--store", tmp_path / name, "--roster-key", f"{key}.pub")
        assert code == 0
        printed.append(said.strip())
    ids.write_text("\n\n".join(printed) + "\n")
    assert run(capsys, "roster", "sign", ids, "--key", key, "--out", roster, "--version", 3)[0] == 0
    code, said = run(capsys, "roster", "verify", roster, "--key", f"{key}.pub", "--json")
    assert code == 0
    assert (json.loads(said)["devices"], json.loads(said)["version"]) == (2, 3)
    assert read_roster(roster) == Roster.of([bytes.fromhex(one) for one in printed], 3)
    data = roster.read_bytes()
    roster.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert run(capsys, "roster", "verify", roster, "--key", f"{key}.pub")[0] == 10


def test_a_key_is_never_written_over_and_nobody_else_may_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    run(capsys, "roster", "key", key)
    before = key.read_bytes()
    (tmp_path / "key.pub").unlink()
    assert run(capsys, "roster", "key", key)[0] == 2
    assert key.read_bytes() == before
    load_roster_key(key)
    key.chmod(0o644)
    with pytest.raises(ConfigError):
        load_roster_key(key)


@pytest.mark.parametrize("line", ["xyz", "12 34 5", "é"])
def test_a_line_that_is_no_id_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(f"{'00' * 32}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        read_identities(tmp_path / "ids")
