"""``fedrec bench``: measure speed on this machine, one module a benchmark; see `fedrec.simulation.bench`."""

from __future__ import annotations

import typer

from fedrec.cli.bench_busy import bench_busy
from fedrec.cli.bench_device import bench_device
from fedrec.cli.bench_features import bench_features
from fedrec.cli.bench_flower import bench_flower
from fedrec.cli.bench_grid import bench_grid
from fedrec.cli.bench_hot import bench_hot
from fedrec.cli.bench_population import bench_population
from fedrec.cli.bench_rank import bench_rank
from fedrec.cli.bench_secagg import bench_secagg
from fedrec.cli.bench_serve import bench_serve
from fedrec.cli.bench_solve import bench_solve
from fedrec.cli.bench_train import bench_train
from fedrec.cli.groups import subgroup


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    bench = subgroup(app, "bench", "Measure speed on this machine.")
    bench.command("train")(bench_train)
    bench.command("serve")(bench_serve)
    bench.command("secagg")(bench_secagg)
    bench.command("rank")(bench_rank)
    bench.command("grid")(bench_grid)
    bench.command("flower")(bench_flower)
    bench.command("busy")(bench_busy)
    bench.command("device")(bench_device)
    bench.command("solve")(bench_solve)
    bench.command("features")(bench_features)
    bench.command("population")(bench_population)
    bench.command("hot")(bench_hot)
