"""``fedrec privacy attack``: published attacks on a federation over a data set, against each defence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.data_option import FromInteractions, source_of
from fedrec.console import Reporter, open_reporter, print_json, say, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedrec.config import Config
    from fedrec.data.sources import Source
    from fedrec.simulation.attacks.table import AttackTable


def command(
    data: Annotated[Path, typer.Option(help="A data directory, or RecBole/MMRec files.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where attacks.json, attacks.md and report.html go.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which attacks.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every attack there is.")] = False,
    defences: Annotated[
        list[str] | None,
        typer.Option("--defence", help="plain, secagg, user-dp-8 or user-dp-1; may be repeated. By default all."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings, or their name; its privacy section is replaced.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as section.key=value.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 0,
    from_interactions: FromInteractions = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of words and tables.")
    ] = False,
) -> None:
    """Attack a simulated federation, and say how far each attack got: without a defence, and with each.

    The attacks: attribute-age, attribute-gender, exposure, exposure-unbounded, id-support, interactions,
    inversion-picture, inversion-text, membership, raifle.

    Finished cells are kept: the same command again goes on where it was cut off.
    """
    loaded = _loaded(config, settings or [])
    with open_reporter(silent=as_json) as reporter:
        table = attack(
            loaded,
            source_of(data, from_interactions),
            out,
            names=names or [],
            everything=everything,
            defences=defences or [],
            seed=seed,
            reporter=reporter,
        )
    if as_json:
        print_json(table.content())
    else:
        show(table, out)


def attack(
    config: Config,
    data: Source,
    out: Path,
    *,
    names: Sequence[str],
    everything: bool,
    defences: Sequence[str],
    seed: int,
    reporter: Reporter,
) -> AttackTable:
    """Fill the table in ``out``, and write it as attacks.json, attacks.md and into report.html.

    Raises:
        FedrecError: an unknown attack or defence, bad settings or data, or a directory that holds other figures.
    """
    from fedrec.config.presets import with_preset
    from fedrec.content.fit import fit_to_content
    from fedrec.content.left_out import say_fitted
    from fedrec.privacy.run_plan import with_interactions_counted
    from fedrec.queries.sizing import sized_by_noise
    from fedrec.simulation.attacks.registry import chosen
    from fedrec.simulation.attacks.table import FILE, AttackTable, fill
    from fedrec.simulation.report.optional import can_report
    from fedrec.simulation.study import prepare
    from fedrec.thread_settings import use_threads

    wanted, against = chosen(names, everything=everything), _against(defences)
    config = with_preset(config)
    use_threads(config.speed.threads)
    study = prepare(config, data, reporter)
    config, left_out = fit_to_content(config, study.features)
    say_fitted(left_out, reporter)
    config = with_interactions_counted(config, len(study.dataset.interactions))
    config = sized_by_noise(config, len(study.population), len(study.features))
    facts = {"seed": seed, "config": config.model_dump(mode="json"), "data": study.facts()}
    key = hashlib.sha256(f"{config.model_dump_json()} {study.fingerprint()} {seed}".encode()).hexdigest()
    table = AttackTable.open(out / FILE, key, facts)
    fill(table, wanted, against, study, config, seed=seed, reporter=reporter)
    out.mkdir(parents=True, exist_ok=True)
    (out / "attacks.md").write_text(table.markdown(), encoding="utf-8")
    if can_report(reporter):
        from fedrec.simulation.report.attacks import write_attacks

        write_attacks(out, table, name=study.dataset.name)
    return table


def show(table: AttackTable, out: Path) -> None:
    """Print the table."""
    columns = ("attack", "figure", "chance", *table.defences)
    rows: list[tuple[Any, ...]] = []
    for name in table.attacks:
        attack_name, metric, chance, cells = table.row(name)
        rows.append((attack_name, metric, chance, *cells))
    show_table("Attacks, with 95% intervals", columns, rows, numbers=range(2, len(columns)))
    for (name, defence), reason in table.failed.items():
        say(f"No figure for {name} against {defence}: {reason}")
    say(f"Files: {out}", style="bold")


def _loaded(config: Path | None, settings: Sequence[str]) -> Config:
    """The settings of a file or a name, by default those that come with the attacks."""
    from importlib.resources import as_file, files

    from fedrec.api.configs import config_of

    if config is not None:
        return config_of(str(config), settings)
    with as_file(files("fedrec.simulation").joinpath("attack.toml")) as path:
        return config_of(path, settings)


def _against(names: Sequence[str]) -> list[Any]:
    from fedrec.errors import ConfigError
    from fedrec.simulation.attacks.result import DEFENCES

    unknown = [name for name in names if name not in DEFENCES]
    if unknown:
        raise ConfigError("no such defence", value=unknown, action=f"Name some of {', '.join(DEFENCES)}")
    return [one for one in DEFENCES if not names or one in names]
