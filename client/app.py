"""The ClientApp that a node of Flower's simulation runtime runs: see `fedrec.client.app`.

A device of a person runs the fedrec that is installed on it, and nothing that a server sends, so not this file.
"""

import fedrec.process_start  # noqa: F401  before what loads torch

# isort: split

from fedrec.client.app import app as served
from fedrec.simulation.engines.flower_client import SimulatedClientApp

app = SimulatedClientApp(served)

__all__ = ["app"]
