"""The doctor finds what is missing or of a wrong version, and never breaks itself."""

import importlib.metadata
import json
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import fedrec.cli.main
import fedrec.doctor
from fedrec.doctor import MachineCheck, as_tree, requirements


def by_name(checks: list[MachineCheck]) -> dict[str, MachineCheck]:
    return {check.name: check for check in checks}


def with_versions(versions: dict[str, str]) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    return version


def test_requirements_are_the_ones_of_the_project() -> None:
    python, needs = requirements()
    assert python == ">=3.11"
    assert "torch" in {need.name for need in needs if need.marker is None}
    assert "pytest" in {need.name for need in needs if need.marker is not None}


@pytest.mark.parametrize(
    ("installed", "status"),
    [({"torch": "2.13.0+cpu"}, "ok"), ({"torch": "2.13.4"}, "ok"), ({"torch": "2.14.0"}, "fail"), ({}, "fail")],
)
def test_versions_are_held_against_the_range(
    installed: dict[str, str], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fedrec.doctor, "requirements", lambda: (">=3.11", [Requirement("torch>=2.13,<2.14")]))
    monkeypatch.setattr(importlib.metadata, "version", with_versions(installed))
    (check,) = fedrec.doctor._packages()
    assert check.status == status
    assert ("pip install" in check.action) == (status == "fail")


def test_an_extra_is_not_there_while_what_it_brings_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [Requirement("flwr[simulation]==1.42.0; extra == 'simulation'")]
    monkeypatch.setattr(fedrec.doctor, "requirements", lambda: ("", needs))
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy", "ray==2.55.1; extra == 'simulation'"])
    monkeypatch.setattr(importlib.metadata, "version", with_versions({"flwr": "1.42.0"}))
    (check,) = fedrec.doctor._extras()
    assert (check.status, check.found) == ("ok", "not here (optional): ray")
    monkeypatch.setattr(importlib.metadata, "version", with_versions({"flwr": "1.42.0", "ray": "2.55.1"}))
    assert fedrec.doctor._extras()[0].found == "installed"


def test_a_check_that_breaks_is_a_failure_with_words() -> None:
    def _broken() -> list[MachineCheck]:
        raise RuntimeError("operator torchvision::nms does not exist")

    (check,) = fedrec.doctor._guarded(_broken)
    assert (check.name, check.status) == ("broken", "fail")
    assert "nms" in check.found
    assert check.action


@pytest.mark.parametrize(("free", "status"), [(10**6, "warn"), (10**11, "ok"), (None, "ok")])
def test_little_memory_is_a_warning(free: int | None, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedrec.doctor, "_free_memory", lambda: free)
    assert fedrec.doctor._memory()[0].status == status


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_the_command_leaves_with_1_for_a_failure_only(
    status: fedrec.doctor.Status, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = MachineCheck("thing", status, "found", "do")
    monkeypatch.setattr(fedrec.doctor, "run_checks", lambda: [check])
    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([], []))
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
    result = CliRunner().invoke(fedrec.cli.main.build(), ["doctor", "--json"])
    assert result.exit_code == code
    assert json.loads(result.stdout) == as_tree([check])
    assert json.loads(result.stdout)["ok"] == (status != "fail")
    shown = CliRunner().invoke(fedrec.cli.main.build(), ["doctor"])
    assert shown.exit_code == code
    assert "thing" in shown.stdout


def test_this_machine_passes() -> None:
    checks = by_name(fedrec.doctor.run_checks())
    failed = [check for check in checks.values() if check.status == "fail"]
    assert failed == []
    assert {"python", "torch", "torch works", "torchvision works", "opacus works", "sqlite", "free disk"} <= set(checks)
