"""The ``fedrec`` command: it puts the command groups together and turns errors into words and exit codes."""

from __future__ import annotations

import fedrec.process_start  # noqa: F401  before what loads NumPy or torch

# isort: split

import gc
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final

import click
import typer
from typer.core import TyperGroup

from fedrec.cli.groups import SUGGESTS, find_groups
from fedrec.console import print_json, say, show_error, show_fedrec_error
from fedrec.errors import FedrecError
from fedrec.extras import without_training
from fedrec.logs import set_up_logging

INTERRUPTED: Final = 130
SYSTEM: Final = 11
INTERNAL: Final = 70

_log = logging.getLogger(__name__)


class FedrecGroup(TyperGroup):
    """The outermost command: the one place where errors become output and an exit code."""

    as_json = False
    verbose = False
    missing: tuple[str, ...] = ()

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        """Run the command line ``args``. ``--verbose`` may stand anywhere before ``--``."""
        given = list(sys.argv[1:] if args is None else args)
        own = given[: given.index("--")] if "--" in given else given
        self.as_json = "--json" in own
        self.verbose = "--verbose" in own
        if self.verbose:
            given = ["--verbose", *(word for word in own if word != "--verbose"), *given[len(own) :]]
        return super().main(given, *rest, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; every way it can fail leaves with words and its own exit code."""
        try:
            return super().invoke(ctx)
        except FedrecError as error:
            _log.info("the command failed: %s", error.code, exc_info=True)
            show_fedrec_error(error, as_json=self.as_json)
            raise click.exceptions.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            show_error("interrupted", "stopped by the keyboard", None, "", as_json=self.as_json)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except click.UsageError as error:
            if not self.as_json:
                raise
            show_error("usage", error.format_message(), None, "Ask the command for --help", as_json=True)
            raise click.exceptions.Exit(2) from None
        except BrokenPipeError:
            _leave_closed_pipe()
            raise click.exceptions.Exit(0) from None
        except OSError as error:
            where = error.filename if isinstance(error.filename, str) else None
            action = "Check that the path exists, may be written, and that the disk has room"
            show_error("system", error.strerror or str(error), where, action, as_json=self.as_json)
            self._trace()
            raise click.exceptions.Exit(SYSTEM) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            light = without_training(error) if isinstance(error, ImportError) else None
            if light is not None:
                show_fedrec_error(light, as_json=self.as_json)
                raise click.exceptions.Exit(light.exit_code) from None
            action = "This is a defect of fedrec: please report it, with what --verbose prints"
            what = f"unexpected {type(error).__name__}: {error}"
            show_error("internal", what, None, action, as_json=self.as_json)
            self._trace()
            raise click.exceptions.Exit(INTERNAL) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command; when it is missing because its group is, say that."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not self.missing:
                raise
            raise click.UsageError(f"{error.format_message()} {' '.join(self.missing)}", ctx) from None

    def _trace(self) -> None:
        if self.verbose:
            traceback.print_exc()


def main() -> None:
    """The console script ``fedrec``."""
    try:
        build()(prog_name="fedrec")
    finally:
        # The system takes memory back quicker than Python looks through it for what refers to itself: .1 s of a list.
        gc.freeze()


def build() -> typer.Typer:
    """The whole command line, with every command group that is installed."""
    registers, missing = find_groups()

    class Group(FedrecGroup):
        pass

    Group.missing = tuple(missing)
    app = typer.Typer(
        name="fedrec",
        cls=Group,
        help="Private, federated, multimodal recommendation: simulate it, look at it, rank on a device.",
        epilog="\n\n".join([*_exit_codes(), *map(_escape, missing)]),
        no_args_is_help=True,
        suggest_commands=SUGGESTS,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    app.command("doctor")(_doctor)
    for register in registers:
        register(app)
    return app


def exit_codes() -> dict[int, str]:
    """Every exit code of ``fedrec`` and what it means."""
    table = {0: "done", 1: "a check found a failure, or an error of no other kind", 2: "the command line is wrong"}
    waiting: list[type[FedrecError]] = [FedrecError]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if kind is FedrecError or not kind.__module__.startswith("fedrec."):
            continue
        meaning = (kind.__doc__ or "").split(".")[0].split(";")[0].strip().replace("\n", " ")
        meaning = f"{kind.code}: {meaning[:1].lower()}{meaning[1:]}"
        table[kind.exit_code] = f"{table[kind.exit_code]}; {meaning}" if kind.exit_code in table else meaning
    table[SYSTEM] = "system: a file cannot be read or written, or the disk is full"
    table[INTERNAL] = "internal: a defect of fedrec"
    table[INTERRUPTED] = "stopped by the keyboard"
    return dict(sorted(table.items()))


def _escape(text: str) -> str:
    """Text as it is, where rich would read markup in it."""
    if "[" not in text:
        return text
    from rich.markup import escape  # with all of rich, which is for who reads help and tables

    return escape(text)


def _exit_codes() -> list[str]:
    # typer keeps line breaks of an epilog only where a paragraph ends
    return [
        "Exit codes:",
        *(f"{code:>3}  {_escape(' '.join(meaning.split()))}" for code, meaning in exit_codes().items()),
    ]


def _version(asked: bool) -> None:
    if asked:
        import fedrec.doctor

        say(f"fedrec {fedrec.doctor.installed_version()}")
        raise typer.Exit()


def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Write logs to stderr (anywhere on the line).")] = False,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    set_up_logging(verbose=verbose)


def _doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check that this machine can run fedrec; leaves with 1 if something must be mended."""
    import fedrec.doctor

    checks = fedrec.doctor.run_checks()
    if as_json:
        print_json(fedrec.doctor.as_tree(checks))
    else:
        fedrec.doctor.show(checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _leave_closed_pipe() -> None:
    """The reader of our output went away: nothing more can be said there, not even on the way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
