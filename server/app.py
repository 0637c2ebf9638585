"""The ServerApp that Flower runs: `fedrec.server.app`; in Flower's simulation runtime, without data, the shop."""

import fedrec.process_start  # noqa: F401  before what loads torch

# isort: split

import os

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid import InMemoryGrid

from fedrec.config.simulated import VARIABLE
from fedrec.server.app import app as served

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one federation."""
    # This grid moves messages within one process: whoever answers them is simulated.
    if isinstance(grid, InMemoryGrid):
        os.environ[VARIABLE] = "1"
        from fedrec.simulation.engines.flower_client import is_bare

        if is_bare(context.run_config):
            from fedrec.simulation.engines.flower_app import run_bare

            run_bare(grid, context)
            return
    served(grid, context)


__all__ = ["app"]
