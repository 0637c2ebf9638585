"""What a server is deployed with says the same everywhere, and names nothing that is not there.

The linters themselves are `make deploy-lint`; an engine that builds the image, or a cluster, is nowhere here.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from fedrec.cli.main import build
from server.deploy.image_size import image_bytes, sizes

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "server" / "deploy"
CHART = DEPLOY / "helm" / "fedrec"
UNITS = (DEPLOY / "fedrec-server.service", ROOT / "client" / "fedrec-device.service")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MOST_BYTES = 1_500_000_000
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "RestrictSUIDSGID": "yes",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def dockerfile() -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def unit(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def exists(words: list[str]) -> bool:
    """Whether the command line has the command, and each of its options."""
    command: click.Command = typer.main.get_command(build())
    at = 0
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[at]) if at < len(words) else None
        if found is None:
            return False
        command, at = found, at + 1
    known = {name for parameter in command.params for name in parameter.opts}
    asked = {word.partition("=")[0] for word in words[at:] if word.startswith("--")}
    return asked <= known


def started() -> list[list[str]]:
    """What compose file, chart and units start, as words after ``fedrec``."""
    services = [one["command"] for one in compose()["services"].values()]
    chart = re.findall(r"args: \[(.*)\]", (CHART / "templates" / "statefulset.yaml").read_text())
    units = [shlex.split(unit(path)["ExecStart"])[1:] for path in UNITS]
    return [*services, *([word.strip() for word in one.split(",")] for one in chart), *units]


def test_every_command_that_is_started_is_one() -> None:
    commands = started()
    assert len(commands) == 5 + 1 + 2
    assert [words for words in commands if not exists(words)] == []
    assert not exists(["server", "upp"])
    assert not exists(["server", "up", "--nothing"])


def test_the_comments_of_the_files_name_commands_that_are_there() -> None:
    texts = [path.read_text() for path in (*UNITS, DEPLOY / "compose.yaml")]
    named = [match for text in texts for match in re.findall(r"(?:fedrec|publisher) ((?:server|device) [a-z]+)", text)]
    assert len(named) >= 4
    assert [words for words in named if not exists(words.split())] == []


def test_the_image_is_small_and_nobody_in_it_is_root() -> None:
    lines = dockerfile()
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert len(bases) == 2 and all(":" in base and not base.endswith(":latest") for base in bases)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert lines.index("USER 10001:10001") > max(
        at for at, line in enumerate(lines) if line.startswith(("RUN", "COPY"))
    )
    assert 'ENTRYPOINT ["fedrec"]' in lines
    assert {"torch", "flwr", "numpy"} < set(sizes())
    assert "ray" not in sizes() and "pytest" not in sizes()
    assert 600_000_000 < image_bytes() < MOST_BYTES


def test_the_image_is_built_from_the_code_and_from_no_file_that_lies_about() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    copied = {word for line in dockerfile() if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert let_in == {word for word in copied if not word.startswith(("--from", "/"))}
    assert all((ROOT / name).exists() for name in let_in)


def test_services_have_no_rights_a_health_check_and_state_of_their_own() -> None:
    services = compose()["services"]
    assert set(services) == {"server", "publisher", "device-0", "device-1", "device-2"}
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["user"] == "10001:10001", name
        assert service["image"] == f"fedrec:${{FEDREC_VERSION:-{VERSION}}}", name
        if name != "publisher":
            assert service["healthcheck"]["test"][0] == "CMD", name
    state = {name: [one.split(":")[0] for one in service["volumes"]] for name, service in services.items()}
    devices = [name for name in services if name.startswith("device")]
    # No device has another's volume, and none has the server's or the publisher's.
    assert all(state[name] == [name, "./given"] for name in devices)
    assert "publisher" not in state["server"]
    assert services["publisher"]["network_mode"] == "none"
    # Nothing but the devices' port leaves the machine; control and health stay on the container's loopback.
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "server": ["9443:9443"]
    }


def test_the_chart_uses_what_its_values_have_and_its_schema_knows_them() -> None:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([\w.]+)", text))
    assert used == {
        f"{key}.{inner}" if isinstance(value, dict) and value and key != "resources" else key
        for key, value in values.items()
        for inner in (value if isinstance(value, dict) and value else ("",))
    }
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(schema) - {"global"} == set(values)
    for key, value in values.items():
        if "properties" in schema[key]:
            assert set(schema[key]["properties"]) == set(value), key
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == VERSION


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_have_no_more_rights_than_they_need(path: Path, tmp_path: Path) -> None:
    found = unit(path)
    assert {name: found.get(name) for name in HARDENED} == HARDENED
    assert found["User"] == "fedrec"
    if (verify := shutil.which("systemd-analyze")) is None:
        return
    # What the unit names is on a server only: the command and the user.
    text = path.read_text().replace("/opt/fedrec/bin/fedrec", "/bin/true").replace("User=fedrec", "User=root")
    (tmp_path / path.name).write_text(text)
    done = subprocess.run([verify, "verify", str(tmp_path / path.name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_release_is_refused_where_tree_version_or_changes_do_not_fit(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "release", clone / ".ci" / "release")
    (clone / "pyproject.toml").write_text(f'version = "{VERSION}"\n')
    (clone / "CHANGELOG.md").write_text("## Unreleased\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *words], cwd=clone, check=True)

    def refusal(*words: str) -> str:
        command = [str(clone / ".ci" / "release"), *words, "--no-tag"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert not (clone / "out").exists()
        return done.stderr

    assert "another version" in refusal("99.0.0")
    assert "no section" in refusal(VERSION)
    (clone / "new.txt").write_text("")
    assert "not committed" in refusal(VERSION)
