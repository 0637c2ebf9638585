"""What was chosen, as later requests of a run say it: a name, by which devices know the settings.

Of a run that chooses nothing its requests say nothing.
"""

from __future__ import annotations

from typing import Final

from fedrec.config import Config
from fedrec.config.selection import parts_of
from fedrec.errors import ProtocolError
from fedrec.queries.request import Request, Scalars

READING: Final = "reading"


def told(config: Config, chosen: str) -> Scalars:
    """What a request says: the name of the chosen candidate, where there were any."""
    return {READING: chosen} if config.collaborative.selection.asked else {}


def accepted(config: Config, request: Request) -> Scalars:
    """The same, held to the candidates of the settings. Raises ProtocolError for a name that is none of them."""
    if not config.collaborative.selection.asked:
        return {}
    name, selection = request.settings.get(READING), config.collaborative.selection
    parts = parts_of(name) if isinstance(name, str) else []
    if not parts or not set(parts) <= set(selection.candidates) or len(parts) != len(set(parts)):
        raise ProtocolError("a request is about a reading that is none of the candidates", value=name)
    return {READING: str(name)}


def settled(config: Config, request: Request) -> Config:
    """The settings that a request is about. Raises ProtocolError as `accepted`."""
    name = accepted(config, request).get(READING)
    return config if name is None else config.choosing(str(name))
