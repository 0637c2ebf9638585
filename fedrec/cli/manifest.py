"""The commands ``manifest sign|verify``: the publisher says what a run is, and everybody can read what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.groups import command_group
from fedrec.console import print_json, say

if TYPE_CHECKING:
    from fedrec.queries.run_manifest import RunManifest

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    group = command_group("Sign what a run is, and read what was signed.")
    group.command("sign")(sign)
    group.command("verify")(verify)
    app.add_typer(group, name="manifest")


def sign(
    settings: Annotated[Path, typer.Argument(help="The run's settings, a TOML file.")],
    catalogue: Annotated[Path, typer.Option(file_okay=False, help="The catalogue's directory.")],
    roster: Annotated[Path, typer.Option(dir_okay=False, help="The signed roster of the run's devices.")],
    key: Annotated[Path, typer.Option(help="The publisher's secret key, which signed the roster, too.")],
    counter: Annotated[
        int, typer.Option(min=1, help="Above that of every manifest before: devices take no older one.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Where the manifest goes.")],
    users: Annotated[int, typer.Option(min=0, help="How many people stand behind the devices (0 = one each).")] = 0,
    override: Annotated[list[str] | None, typer.Option("--set", help="Set section.key=value over the file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign the manifest of a run: its SETTINGS, catalogue, roster and this fedrec.

    Devices take part in nothing else.  What is signed is printed, and first of it who is trusted with what.
    """
    from fedrec.config import load
    from fedrec.config.simulated import is_simulated, refuse_reproducible
    from fedrec.content.feature_table import encoder_hashes, load_table
    from fedrec.queries.run_manifest_draft import make_manifest
    from fedrec.server.roster_files import load_roster_key, read_roster, write_signed

    config = load(settings, override or [])
    refuse_reproducible(config, simulated=is_simulated())
    publisher = load_roster_key(key)
    listed, encoders = read_roster(roster, publisher.public), encoder_hashes(catalogue)
    made = make_manifest(config, load_table(catalogue), listed, counter=counter, users=users, encoders=encoders)
    write_signed(out, made.sign(publisher))
    _show(made, as_json, out)


def verify(
    manifest: Annotated[Path, typer.Argument()],
    key: Annotated[Path, typer.Option(help="A file with the publisher's public key.")],
    as_json: AsJson = False,
) -> None:
    """Check that the publisher signed MANIFEST, and say what taking part agrees to; leaves with 10 if it did not."""
    from fedrec.queries.run_manifest import read_manifest
    from fedrec.secagg.identity import read_key

    _show(read_manifest(manifest, read_key(key)), as_json, manifest)


def _show(manifest: RunManifest, as_json: bool, path: Path) -> None:
    from fedrec.queries.run_manifest_words import described, trusted

    if as_json:
        tree = manifest.model_dump(mode="json")
        print_json({"manifest": path, "digest": manifest.digest, "trust": trusted(manifest.config), **tree})
        return
    say(trusted(manifest.config), style="bold")
    for name, words in described(manifest):
        say(f"  {name + ':':<11}{words}")
