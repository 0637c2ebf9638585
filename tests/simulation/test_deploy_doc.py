"""docs/deployment.md, command by command: up to the network it is run; `make deploy-check` does the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fedrec.config import load, with_protocol
from fedrec.content.feature_table import load_table
from fedrec.secagg.roster import Roster

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
# What comes before is run by test_deploy_short_way.py.
SHORT, TEXT = PAGE[: PAGE.index("## Command by command")], PAGE[PAGE.index("## Command by command") :]


def commands(upto: str) -> str:
    """All commands before a heading, as a script."""
    blocks = re.findall(r"```console\n(.*?)```", TEXT[: TEXT.index(upto)], re.DOTALL)
    assert blocks
    return "\n".join(re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in blocks)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the commands are openssl's")
def test_what_comes_before_the_network_runs_as_it_stands(tmp_path: Path) -> None:
    script = commands("## 5. The server")
    assert script.count("$PWD/out/deployment") == 1
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FEDREC_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("$PWD/out/deployment", str(tmp_path / "out"))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    assert f"{out / 'server' / 'server.pem'}: OK" in done.stdout
    config = with_protocol(load(out / "settings.toml"), "flower")
    assert config.secure_aggregation.protocol == "secagg+"
    assert len(load_table(out / "catalogue").ids) == 150
    assert len(list((out / "stores").glob("*.sqlite"))) == 20
    public = bytes.fromhex((out / "publisher" / "roster.key.pub").read_text().strip())
    identities = (out / "publisher" / "identities.txt").read_text().split()
    assert Roster.verify((out / "roster").read_bytes(), public).devices == tuple(sorted(map(bytes.fromhex, identities)))
    for secret in ("publisher/ca.key", "publisher/roster.key", "server/server.key", "server/out/release.key"):
        assert (out / secret).stat().st_mode & 0o077 == 0, secret


def test_every_key_that_it_sets_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    given = re.findall(r'--run-config "([^"]*)"', TEXT)
    assert len(given) == 2
    for text in given:
        keys = re.findall(r"(\w+)=", text)
        assert keys
        assert set(keys) <= set(declared)


def test_server_and_devices_are_started_by_the_commands_that_fence_and_run_no_bundle() -> None:
    lines = [line for text in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL) for line in text.splitlines()]
    assert len([line for line in lines if "fedrec device start" in line]) == 1
    assert len([line for line in lines if "fedrec server start" in line]) == 1
    flowers = ("flower-supernode", "flwr-clientapp", "flower-superlink", "flower-superexec", "--insecure")
    assert not [line for line in lines if any(word in line for word in flowers)]


def test_the_commands_are_those_that_the_check_runs() -> None:
    """The same options: what the page shows is what `make deploy-check` tries to break."""
    checked = (ROOT / "server" / "deploy" / "network.py").read_text(encoding="utf-8")
    checked += (ROOT / "server" / "deploy" / "deployment.py").read_text(encoding="utf-8")
    for command in ("fedrec device start", "fedrec server start"):
        [line] = [line for line in TEXT.splitlines() if line.startswith("$ ") and command in line]
        options = re.findall(r"--([a-z-]+)", line)
        assert len(options) >= 5
        named = [name for name in options if f'"--{name}"' in checked or f'"{name}"' in checked]
        assert named == options


@pytest.mark.parametrize("unit", ["client/fedrec-device.service", "server/deploy/fedrec-server.service"])
def test_the_units_start_the_same_commands_with_few_rights(unit: str) -> None:
    lines = (ROOT / unit).read_text(encoding="utf-8").splitlines()
    [started] = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    words = started.split()
    assert words[0].endswith("/bin/fedrec")
    assert words[1:3] in (["device", "up"], ["server", "up"])
    # The short way's command on a directory; what is more the directory holds, and systemd looks after the process.
    assert len(words) == 4 and words[3].startswith("/var/lib/fedrec/")
    assert f"$ fedrec {words[1]} up " in SHORT
    assert {"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet="} <= set(lines)
    assert unit in TEXT


def test_what_is_said_to_be_refused_is_what_the_check_tries() -> None:
    table = TEXT[TEXT.index("## 10. What is refused") :]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    source = (ROOT / "server" / "deploy" / "attacks.py").read_text(encoding="utf-8")
    assert len(rows) == len(re.findall(r"-> Outcome:\n    \"\"\"", source))


def test_the_readme_sends_its_readers_here_and_has_no_second_copy() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](docs/deployment.md)" in readme
    page = [line for text in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL) for line in text.splitlines()]
    assert len(page) > 50
    assert not {line for line in page if line.startswith("$ ")} & set(readme.splitlines())
