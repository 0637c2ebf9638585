"""The commands ``roster key|sign|verify``: whoever vouches for the devices lists them, without the server's help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.groups import command_group
from fedrec.console import print_json, say

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    roster = command_group("List the devices that may take part in secure aggregation.")
    roster.command("key")(key)
    roster.command("sign")(sign)
    roster.command("verify")(verify)
    app.add_typer(roster, name="roster")


def key(
    file: Annotated[Path, typer.Argument()],
    as_json: AsJson = False,
) -> None:
    """Make a roster key.

    The secret key goes to FILE: keep it from the server. The public key goes to FILE.pub: give it to every device.
    """
    from fedrec.errors import ConfigError
    from fedrec.server.roster_files import create_roster_key

    public = file.with_name(file.name + ".pub")
    if public.exists():
        raise ConfigError("there is a public key already", value=public.name, action="Move it away, or name another")
    made = create_roster_key(file)
    public.write_text(made.public.hex() + "\n", encoding="ascii")
    if as_json:
        print_json({"secret": file, "public": public, "key": made.public.hex()})
        return
    say(f"secret key: {file} (only you can read it)")
    say(f"public key: {public}")


def sign(
    identities: Annotated[Path, typer.Argument()],
    key: Annotated[Path, typer.Option(help="The secret roster key.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Where the roster goes.")],
    version: Annotated[int, typer.Option(min=1, help="Higher each time: devices take no older roster.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Sign the roster of the devices in IDENTITIES: a text file with a line for each, from `fedrec device identity`."""
    from fedrec.secagg.roster import Roster
    from fedrec.server.roster_files import load_roster_key, read_identities, write_roster

    roster = Roster.of(read_identities(identities), version)
    write_roster(out, roster, load_roster_key(key))
    _show(roster.version, len(roster.devices), roster.digest, as_json, out)


def verify(
    roster: Annotated[Path, typer.Argument()],
    key: Annotated[Path, typer.Option(help="A file with the public roster key.")],
    as_json: AsJson = False,
) -> None:
    """Check that ROSTER was signed with the roster key; leaves with 10 if it was not."""
    from fedrec.secagg.identity import read_key
    from fedrec.server.roster_files import read_roster

    found = read_roster(roster, read_key(key))
    _show(found.version, len(found.devices), found.digest, as_json, roster)


def _show(version: int, devices: int, digest: bytes, as_json: bool, path: Path) -> None:
    if as_json:
        print_json({"roster": path, "version": version, "devices": devices, "digest": digest.hex()})
    else:
        say(f"{path.name}: version {version}, {devices:,} devices, digest {digest.hex()}")
