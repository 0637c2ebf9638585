"""The ServerApp that Flower runs: see `fedrec.server.app`."""

import fedrec.process_start  # noqa: F401  before what loads torch

# isort: split

from fedrec.server.app import app

__all__ = ["app"]
