"""What the files of a run's directory are called; what is in them says `fedrec.server.run_directory`."""

from __future__ import annotations

from typing import Final

LEDGER: Final = "ledger.sqlite"
STATE: Final = "server.sqlite"
EVENTS: Final = "events.jsonl"
KEY: Final = "release.key"
RELEASE: Final = "model"
RECORD: Final = "server.json"
