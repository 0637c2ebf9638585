"""A device's processes import what is installed and nothing else, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installed_cases import installed_python

from fedrec.client import isolated
from fedrec.client.supernode import Connection
from fedrec.errors import ConfigError

COMMAND = "from fedrec.cli.main import main; main()"
OPTIONS = [
    "--superlink",
    "127.0.0.1:1",
    "--root-certificates",
    "nowhere",
    "--node-key",
    "k",
    "--catalogue",
    "c",
    "--store",
    "s",
    "--roster",
    "r",
]
IMPORTED = "import pathlib, sys\npathlib.Path(__file__).with_name('imported').touch()\nraise SystemExit(77)\n"


def test_few_variables_pass_and_none_that_says_what_python_imports() -> None:
    given = {"PYTHONPATH": "/x", "PYTHONSTARTUP": "y", "LD_PRELOAD": "z", "FEDREC_SIMULATION": "1", "HTTP_PROXY": "p"}
    made = isolated.isolated_environment({**given, "HOME": "/home/a", "LANG": "C"})
    assert {"HOME": "/home/a", "LANG": "C"}.items() <= made.items()
    assert not set(given) & set(made)
    assert {name: made[name] for name in made if name.startswith("FLWR")} == {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }


@pytest.mark.slow
def test_the_command_starts_itself_again_where_nothing_else_can_be_imported(tmp_path: Path) -> None:
    python = installed_python(tmp_path / "environment")
    (tmp_path / "path" / "flwr").mkdir(parents=True)
    (tmp_path / "path" / "flwr" / "__init__.py").write_text(IMPORTED)
    marker = tmp_path / "path" / "flwr" / "imported"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), *words]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("-c", COMMAND, "device", "start", *OPTIONS, *("--manifest", "t"))
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "root certificates is missing" in done.stderr
    assert not marker.exists()
    # The defence off: the same process, not isolated, imports what the path says.
    off = run(
        "-c",
        "import fedrec.client.isolated as i; i.restart_isolated = print; " + COMMAND,
        "device",
        "start",
        *OPTIONS,
        *("--manifest", "t"),
    )
    assert off.returncode == 77
    assert marker.exists()


def test_what_is_not_isolated_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isolated.is_isolated()
    with pytest.raises(ConfigError, match="isolated"):
        isolated.refuse_unless_isolated()
    monkeypatch.setattr(isolated, "is_isolated", lambda: True)
    isolated.refuse_unless_isolated()
    assert isolated.isolated_command("a.b", ["c"]) == [sys.executable, "-I", "-m", "a.b", "c"]


def test_a_connection_has_certificates_and_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    ca, key = tmp_path / "ca.pem", tmp_path / "node"
    connection = Connection("127.0.0.1:1", ca, key)
    with pytest.raises(ConfigError, match="root certificates"):
        connection.check()
    ca.touch()
    with pytest.raises(ConfigError, match="key"):
        connection.check()
    key.touch(mode=0o600)
    connection.check()
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="read by others"):
        connection.check()
