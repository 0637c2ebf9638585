"""Audit a claim: the function behind ``fedrec privacy audit``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrec.api.configs import ConfigSource, Overrides, config_of, override_texts
from fedrec.api.run import Run
from fedrec.api.simulate import reporter_of
from fedrec.config import Config, from_tree
from fedrec.console import Reporter
from fedrec.errors import ConfigError

if TYPE_CHECKING:
    from fedrec.data.sources import Source


def audit_privacy(
    target: ConfigSource | Run,
    data: Source | None = None,
    *,
    canaries: int | None = None,
    epsilons: Sequence[float] = (),
    seeds: int = 1,
    confidence: float | None = None,
    overrides: Overrides = (),
    progress: bool | Reporter = False,
) -> dict[str, Any]:
    """Test a claim: train with canaries, guess which of them were in, and bound epsilon from below.

    Args:
        target: a `Config`, a preset's name, the path of a TOML file; or a `Run` or the directory of one, whose settings
            are audited anew.
        data: anything that `fedrec.read_data` takes; None: what the `Run` ran on.
        canaries: rows that are put in or left out; None: as many as the settings say, or 500.
        epsilons: claims to audit; none: the settings' own.
        seeds: runs for each claim, with seeds from ``run.seed`` on.
        confidence: of the bounds, together; None: the settings'.
        overrides: settings to change.
        progress: whether to say how far it is, on stderr; or who is to be told.

    Returns:
        ``audits``: for each claim its runs and both lower bounds; ``violated``: whether a bound is above its claim.

    Raises:
        ConfigError: there is no claim to test, or a setting does not fit an audit.
        FedrecError: the data cannot be read.
    """
    from fedrec.simulation.privacy.auditing import audit

    if data is None:
        if not isinstance(target, Run):
            raise ConfigError("an audit needs data", action="Give data, or a Run that has its data")
        data = target.data
    config = _settings_of(target, overrides, canaries, confidence, epsilons)
    first = config.run.seed
    with reporter_of(progress) as reporter:
        return audit(config, data, epsilons=epsilons, seeds=range(first, first + seeds), reporter=reporter)


def _settings_of(
    target: ConfigSource | Run,
    overrides: Overrides,
    canaries: int | None,
    confidence: float | None,
    epsilons: Sequence[float],
) -> Config:
    # A config without a claim is audited at the claims that are given, and none but these.
    asked = override_texts(overrides)
    asked += [f"privacy.epsilon={first}" for first in epsilons[:1]]
    asked += [] if canaries is None else [f"audit.canaries={canaries}"]
    asked += [] if confidence is None else [f"audit.confidence={confidence}"]
    return config_of(_base_of(target), asked)


def _base_of(target: ConfigSource | Run) -> ConfigSource:
    if not isinstance(target, Run) and (not isinstance(target, str | os.PathLike) or not Path(target).is_dir()):
        return target
    directory = target.directory if isinstance(target, Run) else Path(target)
    try:
        tree = json.loads((directory / "run.json").read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "no run is here: run.json is missing or not one",
            value=str(directory),
            action="Give a config, or what `fedrec simulate` had as --out",
        ) from None
    return from_tree(tree)
