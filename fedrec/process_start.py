"""Imported before all else by what starts a process of fedrec's own: the command line and the two Flower apps.

Importing it sets the environment variables of `fedrec.thread_settings` that the user has not set, since thread pools
read them while NumPy and torch are loaded.  ``import fedrec`` does not import it: a program that uses fedrec as a
library keeps its own thread pools, and `speed.threads` changes torch's only.
"""

from __future__ import annotations

import os
from typing import Final

from fedrec.cores import Cores
from fedrec.thread_settings import settle_threads

FOUND: Final = Cores.here()
"""The cores when this process started."""
ADDED: Final = settle_threads(os.environ, FOUND)
"""The variables that were set here, and so are not the user's."""
