"""The server's side of a run manifest: the commands that sign and read one, and an app that runs nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from flwr.app import Context, RecordDict
from manifest_cases import Deployment, deployed_settings
from typer.testing import CliRunner

import fedrec.cli.main
import fedrec.cli.manifest
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries import run_manifest
from fedrec.queries.run_manifest import read_manifest
from fedrec.secagg.roster import Roster
from fedrec.server import app as server_app
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.study import Study

RUNNER = CliRunner()
CONFIG = deployed_settings(secure_aggregation={"protocol": "secagg+"})
SETTINGS = """
[run]
name = "small"
[model]
dimension = 8
[privacy]
epsilon = 8.0
noise_place = "server"
"""


@pytest.fixture
def deployed(federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.delenv("FEDREC_SIMULATION", raising=False)
    return Deployment.make(federation_study, tmp_path, CONFIG)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    return fedrec.cli.main.build()


def keys(deployed: Deployment, tmp_path: Path) -> tuple[str, str]:
    secret, public = tmp_path / "publisher.key", tmp_path / "publisher.key.pub"
    secret.write_text(deployed.publisher.private_bytes().hex())
    secret.chmod(0o600)
    public.write_text(deployed.publisher.public.hex())
    return str(secret), str(public)


def test_a_manifest_is_signed_and_read_by_commands(deployed: Deployment, commands: typer.Typer, tmp_path: Path) -> None:
    secret, public = keys(deployed, tmp_path)
    (tmp_path / "run.toml").write_text(SETTINGS)
    out = tmp_path / "signed" / "manifest"
    arguments = ["manifest", "sign", str(tmp_path / "run.toml"), "--catalogue", str(deployed.catalogue)]
    arguments += ["--roster", str(deployed.roster_file), "--key", secret, "--counter", "4", "--out", str(out)]
    signed = RUNNER.invoke(commands, arguments)
    assert signed.exit_code == 0, signed.output
    assert signed.stdout.splitlines()[0].startswith("The server is trusted with exact sums")
    assert deployed.publisher.private_bytes().hex() not in signed.output
    found = read_manifest(out, deployed.publisher.public)
    assert (found.counter, found.users, found.name) == (4, 24, "small")
    read = RUNNER.invoke(commands, ["manifest", "verify", str(out), "--key", public, "--json"])
    assert read.exit_code == 0
    assert json.loads(read.stdout)["digest"] == found.digest
    assert RUNNER.invoke(commands, ["manifest", "verify", str(out), "--key", public]).stdout == signed.stdout
    out.write_bytes(out.read_bytes().replace(b'"counter":4', b'"counter":5'))
    assert RUNNER.invoke(commands, ["manifest", "verify", str(out), "--key", public]).exit_code == 10
    assert RUNNER.invoke(commands, [*arguments, "--set", "run.reproducible=true"]).exit_code == 2


def started(deployed: Deployment, **changed: str | int) -> None:
    files = {"manifest": deployed.manifest_file, "catalogue": deployed.catalogue, "roster": deployed.roster_file}
    settings: dict[str, str | int] = {name: str(path) for name, path in files.items()}
    settings |= {"config": "", "out": "out", "devices": 1, "wait": 0, "users": 0, "patience": 9, **changed}
    with InProcessGrid(lambda message, context: message, {}, run_id=1) as grid:
        server_app.app(grid, Context(1, 1, {}, RecordDict(), {**settings}))


def test_the_servers_app_runs_what_was_signed_and_nothing_else(
    deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="devices are wanted"):  # all is well, but for the devices
        started(deployed)
    with pytest.raises(ConfigError, match="names no manifest"):
        started(deployed, manifest="", config=CONFIG.model_dump_json())
    with pytest.raises(ConfigError, match="settings come out of the manifest"):
        started(deployed, config=CONFIG.model_dump_json())
    with pytest.raises(ConfigError, match="roster of its devices"):
        started(deployed, roster="")
    with monkeypatch.context() as other:
        other.setattr(run_manifest, "installed_code", lambda: run_manifest.SignedCode(version="9", sha256="0" * 64))
        with pytest.raises(ConfigError, match="manifest is for fedrec"):
            started(deployed)
    another = tmp_path / "another"
    another.write_bytes(Roster.of(deployed.roster.devices, version=9).sign(deployed.publisher))
    with pytest.raises(ConfigError, match="roster is not the one"):
        started(deployed, roster=str(another))
    tree = deployed.draft(CONFIG).model_dump(mode="json")
    deployed.sign(run_manifest.RunManifest.model_validate({**tree, "catalogue": "0" * 64}))
    with pytest.raises(ConfigError, match="catalogue is not the one"):
        started(deployed)
    seeded = deployed_settings(run={"reproducible": True}, secure_aggregation={"protocol": "secagg+"})
    deployed.sign(deployed.draft(seeded))
    with pytest.raises(ConfigError, match="reproducible"):
        started(deployed)
    deployed.manifest_file.write_bytes(b"{}")
    with pytest.raises(ProtocolError):
        started(deployed)
