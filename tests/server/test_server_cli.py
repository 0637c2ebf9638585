"""The publisher's commands: a key is made once and kept secret, and a release that was touched is refused."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import fedrec.cli.main
import fedrec.cli.release
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.release.bundle import write_release
from fedrec.release.contents import CatalogueItems, ReleaseContents
from fedrec.release.keys import load_key

RUNNER = CliRunner()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.release.register], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    return fedrec.cli.main.build()


@pytest.fixture
def published(tmp_path: Path, app: typer.Typer) -> Path:
    """A directory with a key (``key``, ``key.pub``) and a release signed with it (``model``)."""
    assert RUNNER.invoke(app, ["release", "key", str(tmp_path / "key")]).exit_code == 0
    features = np.ones((2, 3), dtype=np.float32)
    items = CatalogueItems(("a", "b"), ("A", "B"), {"text": features}, {"text": np.ones(2, dtype=np.bool_)})
    contents = ReleaseContents(name="two items", items=items, model=None, collaborative=CollaborativeFactors.empty(2))
    write_release(tmp_path / "model", contents, key=load_key(tmp_path / "key"))
    return tmp_path


def test_a_key_is_private_and_never_shown_nor_written_over(tmp_path: Path, app: typer.Typer) -> None:
    made = RUNNER.invoke(app, ["release", "key", str(tmp_path / "key"), "--json"])
    assert made.exit_code == 0
    secret = (tmp_path / "key").read_text()
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert json.loads(made.stdout)["fingerprint"] == load_key(tmp_path / "key").fingerprint
    assert (tmp_path / "key.pub").read_text().strip() == load_key(tmp_path / "key").public.hex()
    assert all(line not in made.output for line in secret.splitlines() if line)
    assert RUNNER.invoke(app, ["release", "key", str(tmp_path / "key")]).exit_code == 9
    (tmp_path / "key").rename(tmp_path / "moved")
    assert RUNNER.invoke(app, ["release", "key", str(tmp_path / "key")]).exit_code == 9
    assert not (tmp_path / "key").exists()
    assert (tmp_path / "moved").read_text() == secret


def test_a_whole_release_verifies_and_says_whose_it_is(published: Path, app: typer.Typer) -> None:
    plain = RUNNER.invoke(app, ["release", "verify", str(published / "model")])
    assert plain.exit_code == 0
    assert "Nobody vouches" in plain.stdout
    trusted = RUNNER.invoke(
        app, ["release", "verify", str(published / "model"), "--key", str(published / "key.pub"), "--json"]
    )
    facts = json.loads(trusted.stdout)
    assert (facts["name"], facts["items"], facts["trusted"]) == ("two items", 2, True)
    assert facts["signer"] == load_key(published / "key").fingerprint


def test_a_touched_release_is_refused(published: Path, app: typer.Typer) -> None:
    victim = published / "model" / "catalogue.json"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    result = RUNNER.invoke(app, ["release", "verify", str(published / "model"), "--json"])
    assert result.exit_code == 9
    assert json.loads(result.stdout)["error"]["code"] == "release"


def test_a_release_of_another_signer_is_refused(published: Path, app: typer.Typer) -> None:
    RUNNER.invoke(app, ["release", "key", str(published / "other")])
    for key in ("other.pub", "absent.pub", "key"):
        arguments = ["release", "verify", str(published / "model"), "--key", str(published / key)]
        result = RUNNER.invoke(app, arguments)
        assert result.exit_code == 9, key
        assert "BEGIN" not in result.output
