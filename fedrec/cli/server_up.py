"""``server init|up|status|down``: a server from nothing, up, looked at, and ended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table

Deployment = Annotated[Path, typer.Argument(help="The deployment's directory.", file_okay=False)]


def register(server: typer.Typer) -> None:
    """Add these commands to ``fedrec server``."""
    server.command("init")(init)
    server.command("up")(up)
    server.command("status")(status)
    server.command("down")(down)


def init(
    directory: Deployment,
    settings: Annotated[Path, typer.Option(dir_okay=False, help="The settings of the runs, a TOML file.")],
    catalogue: Annotated[
        Path, typer.Option(help="A data set to encode, or the directory that fedrec data catalogue wrote.")
    ],
    listen: Annotated[str, typer.Option(help="HOST:PORT to answer devices at.")] = "127.0.0.1:9443",
    host: Annotated[
        list[str] | None, typer.Option(help="What devices call it: a name or an address; may be given again.")
    ] = None,
    control_port: Annotated[int, typer.Option(min=1, max=65535, help="For operators; on loopback.")] = 9093,
    monitor_port: Annotated[int, typer.Option(min=1, max=65535, help="Health and metrics; on loopback.")] = 9094,
    ca: Annotated[str | None, typer.Option(help="Your own authority: CERTIFICATE,KEY, both in PEM.")] = None,
    publisher: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where the publisher's keys go, such as another disk.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a deployment in DIRECTORY: certificates, keys, catalogue, and the invite that devices are given.

    DIRECTORY/server is what the server needs. DIRECTORY/publisher holds the keys that devices believe: whoever has it
    decides what they take part in, so move it to a machine that is not the server.
    """
    from fedrec.server.operation.initialise import NewServer, initialise

    wanted = NewServer(settings, listen, host or (), control_port, monitor_port, _authority(ca), publisher)
    with _features(settings, catalogue, silent=as_json) as features:
        made = initialise(directory, features, wanted)
    facts = {
        "server": made.server.path,
        "publisher": made.publisher.path,
        "invite": made.invite,
        "address": made.address,
        "publisher_key": made.key,
    }
    if as_json:
        print_json(facts)
        return
    say(f"server:    {made.server.path}; devices call {made.address}", style="bold")
    say(f"publisher: {made.publisher.path}: keep it on another machine, and a copy of it in a safe place")
    say(f"invite:    {made.invite}: give it to every device, by a way that the server does not control")


def up(
    directory: Deployment,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is up, and leave it running.")] = False,
    devices: Annotated[int, typer.Option(min=0, help="Start a run with so many; 0 = all that are enrolled.")] = 0,
    wait: Annotated[float, typer.Option(min=1, help="Seconds that a run waits for its devices.")] = 600.0,
    patience: Annotated[float, typer.Option(min=1, help="Seconds after which a device is silent.")] = 120.0,
    grace: Annotated[float, typer.Option(min=1, help="How many times slower than others a device may be.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Keep a server up: it answers devices, waits for those that are enrolled, and brings the signed run to its end.

    A process that ends is started again, and a run that was cut off goes on. SIGTERM, Ctrl-C or fedrec server down ends
    all of it.
    """
    from fedrec.logs import set_up_logging
    from fedrec.server.operation.run_keeper import RunOptions
    from fedrec.server.operation.server_directory import server_of

    server = server_of(directory)
    facts = server.facts()
    told = {"listen": facts.listen, "monitor": f"http://127.0.0.1:{facts.monitor_port}", "logs": server.logs}

    def started() -> None:
        if as_json:
            print_json(told)
        else:
            say(f"devices: https://{facts.listen}, health: {told['monitor']}/ready", style="bold")

    if detach:
        from fedrec.server.operation.running import start_server

        options = {"--devices": devices, "--wait": wait, "--patience": patience, "--grace": grace}
        start_server(server, [str(word) for pair in options.items() for word in pair])
        started()
        return
    from fedrec.server.operation.up import Upkeep

    set_up_logging(verbose=True, others=False)
    upkeep = Upkeep(server, RunOptions(devices, wait, patience, grace))
    upkeep.run(started)
    if upkeep.left and not as_json:
        say(upkeep.left)


def status(directory: Deployment, as_json: AsJson = False) -> None:
    """Say what a server is at: processes, run, devices, epsilons and the last events; leaves with 1 if it is not up."""
    from fedrec.server.operation.server_directory import server_of
    from fedrec.server.operation.status import server_status

    found = server_status(server_of(directory))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["up"]:
        raise typer.Exit(1)


def down(directory: Deployment, as_json: AsJson = False) -> None:
    """End what fedrec server up started, and say what was left in the middle."""
    from fedrec.server.operation.running import end_server
    from fedrec.server.operation.server_directory import server_of

    left = end_server(server_of(directory))
    if as_json:
        print_json({"down": True, "left": left or None})
    else:
        say(left or "the server is down, and nothing was under way")


def _show(found: dict[str, Any]) -> None:
    run = found["run"]
    say(f"{found['name']}: {'up' if found['up'] else 'not up'}, for devices at {found['listen']}", style="bold")
    for name, process in found["processes"].items():
        again = f", started again {process['restarts']} times" if process["restarts"] else ""
        say(f"  {name + ':':<11}{'process ' + str(process['pid']) if process['alive'] else 'down'}{again}")
    say(f"  devices:   {found['nodes']['online']} there, of {found['nodes']['registered']} enrolled")
    say(f"  run:       {run['phase']}, number {run['counter']}: {run['said']}")
    say(f"  epsilon:   {figure(run['epsilon_spent'])} of {figure(run['epsilon_budget'])}")
    version = found["release_version"]
    given = "devices are given none yet" if version is None else f"devices are given version {version}"
    say(f"  release:   {given}{'' if run['release'] is None else '; that of this run ' + run['release']}")
    say(f"  certificate: {found['certificate_seconds'] // 86400} days left")
    if found["problem"]:
        say(f"  problem:   {found['problem']}")
    rows = [
        (one["query"], one["round"], one["devices"], figure(one["epsilon_spent"]), one["reason"] or "opened")
        for one in run["events"]
    ]
    if rows:
        show_table("Last sums", ("query", "round", "devices", "epsilon", "what came of it"), rows, numbers=(1, 2, 3))


def _authority(ca: str | None) -> tuple[Path, Path] | None:
    from fedrec.errors import ConfigError

    if ca is None:
        return None
    certificate, _, key = ca.partition(",")
    if not key:
        raise ConfigError("an authority is two files", value=ca, action="Write --ca CERTIFICATE,KEY")
    return Path(certificate), Path(key)


@contextmanager
def _features(settings: Path, catalogue: Path, *, silent: bool) -> Iterator[Path]:
    """The directory of a catalogue's features: the one that was given, or one that is made of a data set."""
    from fedrec.content.feature_table import FEATURES_FILE

    if (catalogue / FEATURES_FILE).is_file():
        yield catalogue
        return
    from fedrec.cli.data import write_catalogue

    with tempfile.TemporaryDirectory(prefix="fedrec-catalogue-") as made:
        write_catalogue(catalogue, settings, Path(made) / "catalogue", silent=silent)
        yield Path(made) / "catalogue"
