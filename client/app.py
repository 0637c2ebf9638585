"""The ClientApp that a SuperNode runs: see `fedrec.client.app`."""

import fedrec.process_start  # noqa: F401  before what loads torch

# isort: split

from fedrec.client.app import app

__all__ = ["app"]
