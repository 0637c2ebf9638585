"""A device of Flower's simulation runtime: `fedrec.client.app`, with what a run that makes its own devices tells them.

Apart from the server's half (`fedrec.simulation.engines.flower_app`), so that a node loads neither shop nor report.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedrec.config.simulated import VARIABLE

SETTINGS: Final = "devices.json"
"""In a run's directory: what its devices are told, as a run-config would."""


def is_bare(run_config: Mapping[str, Any]) -> bool:
    """Whether a run was given neither a manifest nor devices, and so makes its own."""
    return not any(run_config.get(key) for key in ("manifest", "catalogue", "stores"))


def run_directory_of(run_config: Mapping[str, Any], run_id: int) -> Path:
    """Where such a run leaves everything: ``out``, or ``out/flower/RUN-ID`` where the SuperLink was started."""
    return Path(str(run_config.get("out") or Path("out", "flower", str(run_id)))).absolute()


class SimulatedClientApp(ClientApp):
    """The device's app with, in Flower's simulation runtime, what simulated devices are told beside a run's config.

    Anywhere else it is the app that it was given.
    """

    def __init__(self, served: ClientApp) -> None:
        super().__init__()
        self._served = served

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        if not in_simulation_runtime():
            return self._served(message, context)
        os.environ[VARIABLE] = "1"
        told = Context(context.run_id, context.node_id, context.node_config, context.state, _told(context))
        return self._served(message, told)


def _told(context: Context) -> dict[str, Any]:
    run_config = {**context.run_config}
    if not is_bare(run_config):
        return run_config
    path = run_directory_of(run_config, context.run_id) / SETTINGS
    # What the server's app wrote is whole settings: single ones are in it.
    return {**json.loads(path.read_text(encoding="utf-8"))}


def in_simulation_runtime() -> bool:
    """Whether this process is a worker of Flower's simulation runtime, which a device of a person never is."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
