"""The commands ``release key|approve|verify``: a server signs what it makes, and the publisher approves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli import roster as roster_commands
from fedrec.cli.groups import command_group
from fedrec.console import print_json, say
from fedrec.errors import ReleaseError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    release = command_group("Sign releases, and check them.")
    release.command("key")(key)
    release.command("approve")(approve)
    release.command("verify")(verify)
    app.add_typer(release, name="release")
    roster_commands.register(app)


def key(
    file: Annotated[Path, typer.Argument()],
    as_json: AsJson = False,
) -> None:
    """Make a signing key.

    The secret key goes to FILE: keep it. The public key goes to FILE.pub: give it to whoever is to check your releases.
    """
    from fedrec.release.keys import create_key

    public = file.with_name(file.name + ".pub")
    if public.exists():
        raise ReleaseError("there is a public key already", value=str(public), action="Move it away, or name another")
    made = create_key(file)
    public.write_text(made.public.hex() + "\n", encoding="ascii")
    if as_json:
        print_json({"secret": file, "public": public, "fingerprint": made.fingerprint})
        return
    say(f"secret key:  {file} (only you can read it)")
    say(f"public key:  {public}")
    say(f"fingerprint: {made.fingerprint}")


def approve(
    directory: Annotated[Path, typer.Argument()],
    key: Annotated[Path, typer.Option(help="The publisher's secret key, which signs rosters and manifests.")],
    as_json: AsJson = False,
) -> None:
    """Approve the release in DIRECTORY for devices that know the publisher: they rank with no other.

    The release is read whole first. Compare the printed fingerprint with the server's; approve what came from it only.
    """
    from fedrec.release.approve import approve_release
    from fedrec.server.roster_files import load_roster_key

    publisher = load_roster_key(key)
    found = approve_release(directory, publisher)
    facts = {"name": found.name, "id": found.id, "version": found.version, "signer": found.fingerprint}
    if as_json:
        print_json({**facts, "publisher": publisher.public.hex()})
        return
    say(f"{found.name}: version {found.version} is approved", style="bold")
    say(f"  id:          {found.id}")
    say(f"  signed by:   {found.fingerprint}")
    say(f"  approved by: {publisher.public.hex()}")


def verify(
    directory: Annotated[Path, typer.Argument()],
    key: Annotated[Path | None, typer.Option(help="A file with the public key that must have signed it.")] = None,
    publisher: Annotated[
        Path | None, typer.Option(help="A file with the public key that must have approved it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check signatures, version and every file of the release in DIRECTORY; leaves with 9 if anything is wrong."""
    from fedrec.privacy.simulated import first_line
    from fedrec.release.bundle import read_release
    from fedrec.release.keys import read_public_key

    approver = None if publisher is None else read_public_key(publisher)
    signer = None if key is None else read_public_key(key)
    found = read_release(directory, trusted_key=signer, publisher=approver)
    privacy = dict(found.contents.privacy)
    if as_json:
        facts = {
            "name": found.name,
            "id": found.id,
            "created_at": found.created_at,
            "version": found.version,
            "signer": found.fingerprint,
            "publisher": None if found.publisher is None else found.publisher.hex(),
        }
        print_json({**facts, "trusted": found.trusted, "items": len(found.contents.items.ids), "privacy": privacy})
        return
    if simulated := first_line(privacy):
        say(simulated, style="bold")
    say(f"{found.name}: whole, {len(found.contents.items.ids):,} items, of {found.created_at}", style="bold")
    say(f"  version:   {found.version}")
    say(f"  id:        {found.id}")
    say(f"  signed by: {found.fingerprint}")
    if found.publisher is not None:
        say("  approved by the publisher that you asked for.")
    elif found.trusted:
        say("  This is the key that you asked for.")
    else:
        say("  Nobody vouches for this key: compare the fingerprint with the publisher, or give --key.")
