"""Run a whole federation in this process, on data of any shape, and make a shop to try it on."""

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
    from fedrec.simulation.run import simulate as run_simulation

    if data is None:
        raise ConfigError("there is nothing to simulate with", action="Give data=, such as a data directory")
    settings = config_of(config, overrides)
    directory = Path(tempfile.mkdtemp(prefix="fedrec-run-")) if out is None else Path(out)
    try:
        with reporter_of(progress) as reporter:
            if isinstance(data, str | os.PathLike):
                reporter.stage(f"Reading {os.fspath(data)}")
            dataset = read_data(data)
            run_simulation(settings, dataset, directory, reporter=reporter)
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
        ConfigError: a size is out of range, something else is in the directory, or parquet is asked for without pyarrow.
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
