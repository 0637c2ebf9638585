"""The ServerApp that Flower runs: see `fedrec.server.app`."""

from fedrec.server.app import app

__all__ = ["app"]
