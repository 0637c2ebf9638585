"""The ClientApp that a SuperNode runs: see `fedrec.client.app`."""

from fedrec.client.app import app

__all__ = ["app"]
