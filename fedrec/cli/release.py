"""The publisher's commands: ``release key`` makes a signing key, ``release verify`` checks a release, ``roster`` lists
devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli import roster as roster_commands
from fedrec.console import print_json, say
from fedrec.errors import ReleaseError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    release = typer.Typer(help="Sign releases, and check them.", no_args_is_help=True)
    release.command("key")(key)
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


def verify(
    directory: Annotated[Path, typer.Argument()],
    key: Annotated[Path | None, typer.Option(help="A file with the publisher's public key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check signature, version and every file of the release in DIRECTORY; leaves with 9 if anything is wrong."""
    from fedrec.privacy.simulated import first_line
    from fedrec.release.bundle import read_release
    from fedrec.release.keys import read_public_key

    found = read_release(directory, trusted_key=None if key is None else read_public_key(key))
    privacy = dict(found.contents.privacy)
    if as_json:
        facts = {
            "name": found.name,
            "id": found.id,
            "created_at": found.created_at,
            "version": found.version,
            "signer": found.fingerprint,
        }
        print_json({**facts, "trusted": found.trusted, "items": len(found.contents.items.ids), "privacy": privacy})
        return
    if simulated := first_line(privacy):
        say(simulated, style="bold")
    say(f"{found.name}: whole, {len(found.contents.items.ids):,} items, of {found.created_at}", style="bold")
    say(f"  version:   {found.version}")
    say(f"  id:        {found.id}")
    say(f"  signed by: {found.fingerprint}")
    if found.trusted:
        say("  This is the key that you asked for.")
    else:
        say("  Nobody vouches for this key: compare the fingerprint with the publisher, or give --key.")
