"""What rounding to few bits costs in quality: the same runs with float sums, and with every device's sum rounded.

Run it with ``python -m simulations.benchmarks.secagg_quality --out DIR``.  Masks cancel exactly, so the sum that secure
aggregation opens is the sum of rounded contributions, which is what is computed here, device by device.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.config import Config, from_tree
from fedrec.console import open_reporter
from fedrec.privacy.ledger import Ledger
from fedrec.queries.request import Request
from fedrec.randomness import key
from fedrec.secagg.rotation import rotate
from fedrec.server.results import AggregateResult, RunResult
from fedrec.server.run import FederatedRun
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.measure import quality_of
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare

_ITEMS = 200


class FloatDevices(CohortDevices):
    """Sums as they are: not rounded at all."""

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """The float sum, in the coordinates of the grid."""
        total = self.handler.answer(request, self.population.take(np.asarray(cohort, dtype=np.int64)))
        if request.sum.rotation:
            total = rotate(total, bytes.fromhex(request.sum.rotation))
        return AggregateResult(total, len(cohort), request.sum.bytes_up * len(cohort))


class RoundedDevices(CohortDevices):
    """Every device's contribution rounded on its own and added in the ring, beside the float sum of the same."""

    def __init__(self, config: Config, study: Study) -> None:
        super().__init__(config, study.features, study.population)
        self.errors: dict[str, list[float]] = {}
        self.bits: dict[str, int] = {}
        self.bytes: dict[str, float] = {}

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """The opened sum; its relative error is taken down."""
        agreed, total, exact = request.sum, None, np.zeros(request.sum.length)
        for place in cohort:
            device = self.population.take(np.array([place], dtype=np.int64))
            answer = self.handler.answer(request, device)
            exact += answer
            rounding = key(self.handler.config.run.seed, "benchmark", request.query, request.round, place)
            total = agreed.add(total, agreed.encode(answer, self.handler.rows(request, device), key=rounding))
        opened = agreed.open(total)
        self._note(request, agreed.read(opened), exact)
        return AggregateResult(opened, len(cohort), agreed.bytes_up * len(cohort))

    def _note(self, request: Request, found: NDArray[np.float64], exact: NDArray[np.float64]) -> None:
        error = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
        self.errors.setdefault(request.query, []).append(error)
        self.bits[request.query] = request.sum.ring.bits
        self.bytes[request.query] = request.sum.bytes_up / request.sum.length


@dataclass
class SecaggQuality:
    """One seed's runs. ``hr``: HR@10 (99 negatives; all items) of each kind of sum."""

    users: int
    seed: int
    hr: dict[str, tuple[float, float]]
    errors: dict[str, list[float]] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, float] = field(default_factory=dict)


def study_of(users: int, seed: int, rounds: int, directory: Path) -> tuple[Config, Study]:
    """A shop and the default settings for it, without noise: rounding is all that differs."""
    write_shop(directory / "shop", users=users, items=_ITEMS, seed=seed)
    tree = {"run": {"seed": seed, "reproducible": True}, "training": {"rounds": rounds}, "speed": {"threads": 1}}
    config = from_tree(tree)
    with open_reporter(silent=True) as reporter:
        return config, prepare(config, directory / "shop", reporter)


def compare(users: int, seed: int, rounds: int) -> SecaggQuality:
    """Both runs on one shop."""
    with tempfile.TemporaryDirectory() as scratch:
        config, study = study_of(users, seed, rounds, Path(scratch))
        rounded = RoundedDevices(config, study)
        plain = FloatDevices(config, study.features, study.population)
        hr = {}
        for name, devices in (("float", plain), ("rounded", rounded)):
            outcome = _conduct(config, study, devices, Path(scratch) / name)
            quality = quality_of(config, study, outcome.model, outcome.collaborative, features=outcome.features)
            hr[name] = (float(quality.loo_99neg.hr or 0), float(quality.loo_full.hr or 0))
    return SecaggQuality(users, seed, hr, rounded.errors, rounded.bits, rounded.bytes)


def _conduct(config: Config, study: Study, devices: CohortDevices, out: Path) -> RunResult:
    out.mkdir()
    with Ledger.open(out / "ledger.sqlite", None) as ledger, ServerState(out / "server.sqlite", out.name) as state:
        return FederatedRun(config, study.features, devices, ledger, state, lambda step: None).run()


def markdown(found: Sequence[SecaggQuality], command: str) -> str:
    """The tables."""
    lines = [
        "# What few bits cost in quality",
        "",
        "Shops of the generator, default settings, no noise. `float`: sums as computed. `rounded`: what secure",
        "aggregation opens: every device's contribution rounded at the default bits and added in the ring.",
        f"`{command}`",
        "",
        "HR@10 with 99 negatives each, then among all items:",
        "",
        "| users | seed | float | rounded | difference | all: float | all: rounded | all: difference |",
        "|" + "---:|" * 8,
    ]
    for one in found:
        before, after = one.hr["float"], one.hr["rounded"]
        cells = [f"{one.users}", f"{one.seed}"]
        for at in (0, 1):
            cells += [f"{before[at]:.4f}", f"{after[at]:.4f}", f"{after[at] - before[at]:+.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    for at, name in enumerate(("99 negatives", "all items")):
        mean = np.mean([one.hr["rounded"][at] - one.hr["float"][at] for one in found])
        lines.append(f"\nMean difference, {name}: {mean:+.4f}.")
    lines += ["", "| users | sum | bits an element | bytes an element | relative error, largest | median |"]
    lines.append("|---:|---|---:|---:|---:|---:|")
    for users in sorted({one.users for one in found}):
        alike = [one for one in found if one.users == users]
        for query in alike[0].bits:
            errors = [error for one in alike for error in one.errors[query]]
            shape = f"{alike[0].bits[query]} | {alike[0].bytes[query]:.3f}"
            lines.append(f"| {users} | {query} | {shape} | {max(errors):.1e} | {np.median(errors):.1e} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the comparison and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the table")
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = [compare(asked.users, seed, asked.rounds) for seed in range(asked.seeds)]
    numbers = f"--users {asked.users} --seeds {asked.seeds} --rounds {asked.rounds}"
    asked.out.mkdir(parents=True, exist_ok=True)
    table = markdown(found, f"python -m simulations.benchmarks.secagg_quality {numbers}")
    (asked.out / "secagg_quality.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
