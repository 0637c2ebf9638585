"""``device init|up|down``: a device from an invite, kept up, and ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.device_start import AnswerAfter, AtMost, OnlyCharging, OnlyIdle, start_options
from fedrec.cli.rows import AsJson
from fedrec.console import print_json, say

if TYPE_CHECKING:
    from fedrec.client.own.device_directory import DeviceDirectory

_MODULE = "fedrec.cli.main"
OwnDirectory = Annotated[Path, typer.Argument(help="The device's directory.", file_okay=False)]
StoreOption = Annotated[
    Path | None, typer.Option(dir_okay=False, help="An event store that is there already; default: a new one.")
]
NameOption = Annotated[str, typer.Option(help="What people call the device; default: the directory's name.")]


def register(device: typer.Typer) -> None:
    """Add these commands to ``fedrec device``."""
    device.command("init")(init)
    device.command("up")(up)
    device.command("down")(down)


def init(
    directory: OwnDirectory,
    invite: Annotated[Path, typer.Option(dir_okay=False, help="The file that the publisher gave.")],
    store: StoreOption = None,
    name: NameOption = "",
    as_json: AsJson = False,
) -> None:
    """Make a device in DIRECTORY: a store, an identity, a node key, and the publisher of the invite, believed for good.

    DIRECTORY/request.json holds public keys only: the publisher enrols it. Compare the publisher's key that is printed
    with the publisher, by a way that no server controls.
    """
    from fedrec.client.own.enrol import make_device

    _tell(make_device(directory, invite, store=store, name=name), as_json=as_json)


def up(
    directory: OwnDirectory,
    invite: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Make the device first where there is none: as init does.")
    ] = None,
    store: StoreOption = None,
    name: NameOption = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is up, and leave it running.")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=86400, help="Seconds between two looks at the server.")] = 10.0,
    answer_after: AnswerAfter = None,
    at_most: AtMost = None,
    only_idle: OnlyIdle = False,
    only_charging: OnlyCharging = False,
    as_json: AsJson = False,
) -> None:
    """Take part in what the publisher signs, with the code that is installed here, until the process is told to end.

    It waits to be enrolled, fetches manifest, roster and catalogue, answers, and fetches each release that the
    publisher approves into DIRECTORY/release. All that is fetched is held to the publisher's key first.
    """
    from fedrec.client.own.device_directory import device_directory

    own = device_directory(directory)
    if invite is not None and not own.facts_file.is_file():
        from fedrec.client.own.enrol import make_device

        make_device(directory, invite, store=store, name=name)
    own.facts()
    rules = start_options(answer_after, at_most, only_idle=only_idle, only_charging=only_charging)
    options = ["--every", str(every), *rules]
    if detach:
        from fedrec.client.own.up import start_device_up

        start_device_up(own, options)
        _tell(own, as_json=as_json)
        return
    from fedrec.client.isolated import restart_isolated

    restart_isolated(_MODULE, ["device", "up", str(own.path), *options, *(["--json"] if as_json else [])])

    from fedrec.client.own.up import DeviceUpkeep
    from fedrec.logs import set_up_logging

    set_up_logging(verbose=True, others=False)
    DeviceUpkeep(own, every, rules).run(lambda: _tell(own, as_json=as_json))


def down(directory: OwnDirectory, as_json: AsJson = False) -> None:
    """End what fedrec device up started. An answer that was under way is lost to its round, and to nothing else."""
    from fedrec.client.own.device_directory import device_directory
    from fedrec.client.own.up import end_device

    forced = end_device(device_directory(directory))
    if as_json:
        print_json({"down": True, "forced": forced})
    else:
        say("the device had to be killed" if forced else "the device is down")


def _tell(own: DeviceDirectory, *, as_json: bool) -> None:
    publisher = own.invite().publisher
    if as_json:
        print_json({"device": own.path, "request": own.request, "publisher": publisher, "store": own.store})
        return
    say(f"{own.facts().name}: believes the publisher {publisher}", style="bold")
    say(f"  to be enrolled, send the publisher {own.request}")
