"""The command line: every way to fail has words and an exit code of its own, for people and for programs."""

import importlib.metadata
import json
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

import fedrec.cli.main
from fedrec import errors
from fedrec.cli.groups import OWN, subgroup
from fedrec.cli.main import INTERNAL, INTERRUPTED, SYSTEM, build, exit_codes

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def verbosity(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What logging was asked for; the process's logging is left alone."""
    asked: list[bool] = []
    monkeypatch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: asked.append(verbose))
    return asked


def app_that(fails: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command line with one group, whose commands ``fail`` and ``other`` call ``fails``."""

    def register(app: typer.Typer) -> None:
        def fail(as_json: bool = typer.Option(False, "--json"), count: int = 0) -> None:
            fails()

        app.command("fail")(fail)

    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([register], []))
    return build()


def raises(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_an_error_prints_what_value_and_action_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_that(raises(errors.StoreError("no such user", value="u7", action="Ask for another")), monkeypatch)
    result = RUNNER.invoke(app, ["fail"])
    assert result.exit_code == 4
    assert result.stdout == ""
    for part in ("store", "no such user", "u7", "Ask for another"):
        assert part in result.stderr
    assert "Traceback" not in result.output


def test_json_errors_are_one_document_on_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.BudgetExceededError("the budget is spent", value=3.5, action="Raise privacy.epsilon")
    result = RUNNER.invoke(app_that(raises(error), monkeypatch), ["fail", "--json"])
    assert result.exit_code == 7
    assert json.loads(result.stdout) == {
        "error": {
            "code": "budget",
            "what": "the budget is spent",
            "value": "3.5",
            "action": "Raise privacy.epsilon",
        }
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (PermissionError(13, "Permission denied", "/nowhere/x"), SYSTEM),
        (RuntimeError("boom"), INTERNAL),
        (errors.ConfigError("bad"), 2),
        (errors.DataError("bad", path="x.csv", line=3), 3),
        (errors.ProtocolError("bad"), 10),
        (BrokenPipeError(), 0),
    ],
)
def test_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedrec.cli.main, "_leave_closed_pipe", lambda: None)
    for arguments in (["fail"], ["fail", "--json"]):
        result = RUNNER.invoke(app_that(raises(error), monkeypatch), arguments)
        assert result.exit_code == code
        assert "Traceback" not in result.output


def test_verbose_shows_the_trace_of_a_defect_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, verbosity: list[bool]
) -> None:
    for arguments in (["--verbose", "fail"], ["fail", "--verbose"]):
        result = RUNNER.invoke(app_that(raises(RuntimeError("boom")), monkeypatch), arguments)
        assert result.exit_code == INTERNAL
        assert "Traceback" in result.stderr
    assert verbosity == [True, True]


@pytest.mark.parametrize("arguments", [["nosuch"], ["fail", "--count", "many"], ["fail", "--nosuch"], ["--nosuch"]])
def test_usage_errors_leave_with_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_that(lambda: None, monkeypatch)
    assert RUNNER.invoke(app, arguments).exit_code == 2
    if arguments != ["--nosuch"]:
        result = RUNNER.invoke(app, [*arguments, "--json"])
        assert result.exit_code == 2
        assert json.loads(result.stdout)["error"]["code"] == "usage"


def test_an_error_cannot_write_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.DataError("bad title", path="items.csv", value="\x1b[2Jgone[bold]\u202e", action="[red]mend[/red]")
    result = RUNNER.invoke(app_that(raises(error), monkeypatch), ["fail"])
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert "gone[bold]" in result.stderr
    assert "[red]mend[/red]" in result.stderr


def test_help_lists_every_exit_code_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result = RUNNER.invoke(app_that(lambda: None, monkeypatch), ["--help"])
    assert result.exit_code == 0
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FedrecError)]
    assert {kind.exit_code for kind in kinds} <= set(exit_codes())
    assert not {SYSTEM, INTERNAL, INTERRUPTED} & {kind.exit_code for kind in kinds}
    shown = re.findall(r"^ *(\d+)  ?\S", result.stdout.split("Exit codes:")[1], flags=re.MULTILINE)
    assert [int(code) for code in shown] == list(exit_codes())


def test_the_own_groups_need_no_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    app = build()
    for command in ("simulate", "data inspect", "data shop", "privacy plan", "recommend", "release verify", "doctor"):
        assert RUNNER.invoke(app, [*command.split(), "--help"]).exit_code == 0, command


def test_an_own_group_is_added_once_although_an_older_install_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "device", "fedrec.cli.device:register"

        @staticmethod
        def load() -> object:
            raise AssertionError("it was loaded already")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point])
    registers, missing = fedrec.cli.main.find_groups()
    assert len(registers) == len(OWN)
    assert missing == []


def test_commands_of_several_modules_share_a_group() -> None:
    app = typer.Typer()
    first = subgroup(app, "data", "about")
    assert subgroup(app, "data", "about") is first
    assert subgroup(app, "other", "about") is not first


def test_a_group_that_does_not_load_is_named_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, name: str, load: Callable[[], object]) -> None:
            self.name, self.value, self.load = name, f"{name}.cli:register", load

    def register(app: typer.Typer) -> None:
        app.command("hello")(lambda: typer.echo("hello"))

    points = [Point("broken", raises(ImportError("no module named ray"))), Point("good", lambda: register)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    app = build()
    assert RUNNER.invoke(app, ["hello"]).stdout == "hello\n"
    result = RUNNER.invoke(app, ["nosuch"])
    assert result.exit_code == 2
    assert "broken.cli:register" in result.stderr
    assert "no module named ray" in result.stderr


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    result = RUNNER.invoke(app_that(lambda: None, monkeypatch), ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("fedrec 0.")


def test_the_real_groups_register_their_commands() -> None:
    import fedrec.cli.bench
    import fedrec.cli.device
    import fedrec.cli.release
    import fedrec.cli.simulation

    app = typer.Typer()
    for group in (fedrec.cli.bench, fedrec.cli.simulation, fedrec.cli.device, fedrec.cli.release):
        group.register(app)
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    assert {"simulate", "train", "demo", "recommend", "data", "bench", "release"} <= set(command.commands)


def test_simulate_names_a_missing_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fedrec.cli.simulation

    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.simulation.register], []))
    arguments = ["simulate", str(tmp_path / "no.toml"), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = RUNNER.invoke(build(), [*arguments, "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "config"
    assert not (tmp_path / "out").exists()


def test_simulate_names_an_unknown_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fedrec.cli.simulation

    monkeypatch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.simulation.register], []))
    (tmp_path / "run.toml").write_text("[run]\nseed = 1\n")
    arguments = ["simulate", str(tmp_path / "run.toml"), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = RUNNER.invoke(build(), [*arguments, "--set", "privacy.epsilom=3"])
    assert result.exit_code == 2
    assert "epsilom" in result.stderr
