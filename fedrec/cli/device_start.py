"""``device start``: the one command that connects a device to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.device_options import Place
from fedrec.console import say

_MODULE = "fedrec.cli.main"
AnswerAfter = Annotated[
    float | None, typer.Option(min=0, max=3600, help="Seconds after which answers leave; see the threat model.")
]
AtMost = Annotated[str | None, typer.Option(help="Answer at most so many sums, such as 3/day; hour, day or week.")]
OnlyIdle = Annotated[bool, typer.Option("--only-idle", help="Take part while nothing else keeps this machine busy.")]
OnlyCharging = Annotated[
    bool, typer.Option("--only-charging", help="Take part while this machine does not run on a battery.")
]


def register(app: typer.Typer) -> None:
    """Add this shell's command to ``fedrec device``."""
    app.command("start")(start)


def start_options(
    answer_after: float | None, at_most: str | None, *, only_idle: bool, only_charging: bool
) -> list[str]:
    """The command line of what was said of when to take part. Raises ConfigError where ``at_most`` is no rate."""
    if at_most is not None:
        from fedrec.client.participation_rules import Rate

        Rate.of(at_most)
    said = [] if answer_after is None else ["--answer-after", str(answer_after)]
    said += [] if at_most is None else ["--at-most", at_most]
    return said + ["--only-idle"] * only_idle + ["--only-charging"] * only_charging


def start(
    superlink: Annotated[str, typer.Option(help="HOST:PORT of the server, as it faces devices.")],
    root_certificates: Annotated[Path, typer.Option(help="The authority's certificates (PEM): TLS is not optional.")],
    node_key: Annotated[Path, typer.Option(help="This SuperNode's secret key, known to the server.")],
    manifest: Annotated[Path, typer.Option(help="The run's manifest, which the publisher signed.")],
    catalogue: Annotated[Path, typer.Option(help="The run's catalogue, a directory.")],
    store: Place,
    roster: Annotated[Path, typer.Option(help="The roster that the publisher signed.")],
    answer_after: AnswerAfter = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the SuperNode's own API on loopback; 0 = any.")] = 0,
    at_most: AtMost = None,
    only_idle: OnlyIdle = False,
    only_charging: OnlyCharging = False,
) -> None:
    """Take part in runs with the code that is installed here, until the process is told to end.

    Checks first that the device has all that is its own. Then Flower's SuperNode is started, and its messages are
    answered by this process: the app that a server sends along is never unpacked, imported or run. The process starts
    itself again isolated, so that nothing but what is installed can be imported.

    While --at-most, --only-idle or --only-charging forbid it, the device is not connected: no reply says why.
    """
    from fedrec.client.isolated import restart_isolated
    from fedrec.client.participation_rules import ParticipationRules, Rate
    from fedrec.client.places import store_in

    rules = ParticipationRules(None if at_most is None else Rate.of(at_most), only_idle, only_charging)

    paths = {
        "root-certificates": root_certificates.absolute(),
        "node-key": node_key.absolute(),
        "manifest": manifest.absolute(),
        "catalogue": catalogue.absolute(),
        "store": store_in(store).absolute(),
        "roster": roster.absolute(),
    }
    arguments = ["device", "start", "--superlink", superlink, "--port", str(port)]
    arguments += [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    arguments += start_options(answer_after, at_most, only_idle=only_idle, only_charging=only_charging)
    restart_isolated(_MODULE, arguments)

    from fedrec.client.answer_time import NODE_KEY
    from fedrec.client.start import start_device
    from fedrec.client.supernode import Connection

    own: dict[str, str | float] = {name: str(paths[name]) for name in ("manifest", "catalogue", "store", "roster")}
    if answer_after is not None:
        own[NODE_KEY] = answer_after
    connection = Connection(superlink, paths["root-certificates"], paths["node-key"])
    start_device(
        own,
        connection,
        port,
        lambda: say(f"{store.name} takes part, with the code that is installed here"),
        rules=rules,
        waits=lambda reason: say(f"{store.name} waits, and is not connected: {reason}"),
    )
