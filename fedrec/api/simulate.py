"""Run a whole federation in this process, or train on central data for release, and make a shop to try it on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedrec.api.configs import ConfigSource, Overrides, config_of
from fedrec.api.run import Run
from fedrec.console import Reporter, open_reporter
from fedrec.data.sources import read_data
from fedrec.errors import ConfigError

if TYPE_CHECKING:
    from fedrec.config import Config
    from fedrec.data.sources import Source
    from fedrec.simulation.shop.summary import ShopSummary


def simulate(
    config: ConfigSource = "auto",
    data: Source | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    overrides: Overrides = (),
    progress: bool | Reporter = False,
) -> Run:
    """Run a whole federation: devices train together on their users' data, and a model is released.

    Noise and sampling are derived from ``run.seed``: a simulation can be repeated, and protects nobody. With the same
    settings, data and seed the release is the same, whatever shape the data came in.

    Args:
        config: a `Config`, the name of a preset (`fedrec.presets`), or the path of a TOML file; ``auto``, the default,
            sets itself on any data.
        data: anything that `fedrec.read_data` takes; needed.
        out: where the run's files go; a run that was cut off goes on there. None: a temporary directory that lasts as
            long as the `Run`, or until `Run.save`.
        overrides: settings to change, ``{"training.rounds": 5, "privacy.epsilon": 8}`` or ``["training.rounds=5"]``.
        progress: whether to say how far it is, on stderr; or who is to be told.

    Returns:
        The run. Where the privacy budget ended before the last round, `Run.stopped` says so, and the release is within
        the budget.

    Raises:
        FedrecError: bad settings or data, or a budget that cannot be met.
    """
    settings = config_of(config, overrides)
    if "reproducible" in settings.run.model_fields_set and not settings.run.reproducible:
        raise ConfigError(
            "a simulation's noise follows from its seed, whatever the settings say",
            value="run.reproducible = false",
            action="Leave run.reproducible out, or train for release: `fedrec train`, `fedrec.train`",
        )
    return _run(settings, data, out, progress, reproducible=True)


def train(
    config: ConfigSource = "auto",
    data: Source | None = None,
    *,
    out: str | os.PathLike[str],
    overrides: Overrides = (),
    progress: bool | Reporter = False,
) -> Run:
    """Train on data that is central already, for a release that must be private.

    The same code as `simulate` in engine ``cohort``, but noise and secret samples come from the operating system's
    generator, never from a seed.  So what `statement` says holds for whoever gets ``out/model``: the release, its card
    and its manifest, and nothing else of ``out``.  Whoever trains has the data, and is trusted with it and with every
    sum.  The quality in ``run.json`` and ``report.html`` is exact, of items held out: it is no part of the release, and
    not to be published beside it.

    Args:
        config: as in `simulate`; it must set ``privacy.epsilon``.
        data: anything that `fedrec.read_data` takes; needed.
        out: where the run's files go; a run that was cut off goes on there, and pays for nothing twice.
        overrides: settings to change, as in `simulate`.
        progress: whether to say how far it is, on stderr; or who is to be told.

    Returns:
        The run; `Run.stopped` says so where the privacy budget ended before the last round.

    Raises:
        ConfigError: without ``privacy.epsilon``; with ``run.reproducible = true``, canaries, or an engine other than
            ``cohort``.
        FedrecError: bad settings or data, or a budget that cannot be met.
    """
    settings = config_of(config, overrides)
    _check_for_release(settings)
    return _run(settings, data, out, progress, reproducible=False)


def _check_for_release(settings: Config) -> None:
    if settings.privacy.epsilon is None:
        raise ConfigError(
            "a release for others needs a budget", value="privacy.epsilon = none", action="Set privacy.epsilon=8"
        )
    if settings.run.reproducible:
        raise ConfigError(
            "noise that follows from a seed protects nobody who knows or guesses the seed",
            value="run.reproducible = true",
            action="Leave run.reproducible out, or use `fedrec simulate` for studies",
        )
    if settings.run.engine != "cohort" or settings.audit.canaries:
        raise ConfigError(
            "training for release is one pass over central data, in engine 'cohort' and without canaries",
            value=f"run.engine = {settings.run.engine}, audit.canaries = {settings.audit.canaries}",
            action="Leave both out; for devices see docs/deployment.md, for audits `fedrec privacy audit`",
        )


def _run(
    settings: Config,
    data: Source | None,
    out: str | os.PathLike[str] | None,
    progress: bool | Reporter,
    *,
    reproducible: bool,
) -> Run:
    from fedrec.simulation.run import simulate as run_simulation

    if data is None:
        raise ConfigError("there is nothing to train on", action="Give data=, such as a data directory")
    directory = Path(tempfile.mkdtemp(prefix="fedrec-run-")) if out is None else Path(out)
    try:
        with reporter_of(progress) as reporter:
            if isinstance(data, str | os.PathLike):
                reporter.stage(f"Reading {os.fspath(data)}")
            dataset = read_data(data)
            run_simulation(settings, dataset, directory, reporter=reporter, reproducible=reproducible)
        return Run(directory, dataset, owned=out is None)
    except BaseException:
        if out is None:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def make_shop(
    directory: str | os.PathLike[str],
    *,
    users: int = 600,
    items: int | None = None,
    seed: int = 0,
    form: Literal["csv", "parquet"] = "csv",
    pictures: bool | None = None,
    progress: bool | Reporter = False,
) -> ShopSummary:
    """Make a synthetic multimodal shop: items with texts, pictures and sounds, people with tastes, notes and photos.

    Args:
        directory: a data directory that does not exist yet or is empty.
        users: 20 to 9,999,999.
        items: 140 to 9,999,999; None: what fits so many users.
        seed: the same seed gives the same shop.
        form: csv, or parquet: one file of users and one of items, which large shops want; needs the extra ``data``.
        pictures: whether there are pictures and sounds, and people's notes and photos; None: with fewer than 100,000
            items there are.
        progress: whether to say how far it is, on stderr; or who is to be told.

    Returns:
        How much of everything there is; ``directory`` can be given to `simulate` as data.

    Raises:
        ConfigError: a size is out of range, something else is in the directory, or pyarrow is not there for parquet.
    """
    from fedrec.simulation.shop.generate import write_shop

    with reporter_of(progress) as reporter:
        reporter.stage(f"Making a shop for {users:,} users")
        return write_shop(
            Path(directory),
            users=users,
            items=items,
            seed=seed,
            form=form,
            pictures=pictures,
            progress=reporter.progress,
        )


@contextmanager
def reporter_of(progress: bool | Reporter) -> Iterator[Reporter]:
    """Who is told how far it is: nobody, the terminal, or the one that is given."""
    if isinstance(progress, bool):
        with open_reporter(silent=not progress) as reporter:
            yield reporter
    else:
        yield progress
