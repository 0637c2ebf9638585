"""Start a device: check what it was given, then answer a SuperLink's messages with the installed code and no other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from fedrec.client.app import app
from fedrec.client.device import Device, device_of
from fedrec.client.executor import answer_tasks
from fedrec.client.flower_runtime import NodeConfig, SuperNodeTasks, check_flower, free_port
from fedrec.client.installed_code import allow_installed_code
from fedrec.client.isolated import refuse_unless_isolated
from fedrec.client.machine_state import MachineState
from fedrec.client.participation_rules import ParticipationRules, Turn
from fedrec.client.supernode import Connection, supernode
from fedrec.client.trust import identity_of, roster_of
from fedrec.config.simulated import NODE_KEY
from fedrec.data.store import EventStore
from fedrec.detached import told_to_end
from fedrec.errors import ConfigError
from fedrec.extras import TRAIN, need
from fedrec.queries.run_manifest import RunManifest

_log = logging.getLogger(__name__)
WAIT_SECONDS: Final = 5.0
"""Between two looks at whether a device that waits may take part."""


def check_device(node_config: NodeConfig) -> Device:
    """Return the device that its own config describes, after all that can be checked without a server.

    It has a store with an identity, which the publisher's roster lists, a manifest that the publisher signed for this
    very code and for as many people as it has, and it can read the catalogue.

    Raises:
        ConfigError: something is missing or does not fit, or the run trains and what trains is not installed.
        ProtocolError: the publisher did not sign it.
        StoreError, ContentError: a file cannot be read.
    """
    if NODE_KEY in node_config:
        raise ConfigError("a simulated device is not started", value=NODE_KEY, action="Use fedrec simulate")
    device = device_of({}, node_config)
    with EventStore.open(device.store) as store:
        public = identity_of(store).public
        if (
            device.roster is not None
            and public not in roster_of(store, device.roster, device.device_context.manifest).devices
        ):
            action = "Have it listed: fedrec device identity prints its line for the roster"
            raise ConfigError("the roster does not list this device", value=public.hex()[:16], action=action)
        _check_users(device.device_context.manifest, len(store.users()))
    if device.device_context.config.model.tower:
        # Later it would be found too late: a contribution that cannot be computed is nobody's.
        need("torch", TRAIN, what="a run that trains a content tower")
        need("opacus", TRAIN, what="a run that trains a content tower")
    # Read once, here: so that how long the first answer takes does not hang on it.
    _ = device.device_context.handler, device.device_context.own_encoders
    return device


def _check_users(manifest: RunManifest | None, users: int) -> None:
    """Refuse several people on a device where the manifest counts one a device.

    Delta, the room for rows in a sum, and above all amplification by sampling are reckoned from that: people who are
    drawn together show by each other's data that they were drawn.

    Raises:
        ConfigError: they are too many.
    """
    if manifest is not None and manifest.users == manifest.roster.devices and users > 1:
        raise ConfigError(
            "this device holds several users, and the manifest counts one a device",
            value=users,
            action="Ask the publisher for a manifest that counts them: fedrec manifest sign --users N",
        )


class _NotNow(Exception):  # noqa: N818  it is no error, and never leaves this module
    """The device's owner wants it to take part later."""


def start_device(
    node_config: NodeConfig,
    connection: Connection,
    port: int = 0,
    started: Callable[[], None] = lambda: None,
    *,
    rules: ParticipationRules | None = None,
    waits: Callable[[str], None] = lambda reason: None,
) -> None:
    """Answer messages until the process is told to end (SIGTERM or SIGINT).

    This process must be isolated (`restart_isolated`). Flower's SuperNode is a child of it that runs no app. What it is
    sent as code stays where it is; what it is sent as a message is answered by `fedrec.client.app` of this process,
    with ``node_config`` and no config of the run.

    Args:
        node_config: the device's own: see `fedrec.client.device.device_of`.
        connection: to the SuperLink.
        port: of the SuperNode's runtime API on loopback; 0 = any that is free.
        started: called once all checks are passed and the SuperNode runs; again after each pause.
        rules: when the device takes part, None = always.  While it may not, no SuperNode runs; one that is in the
            middle of a sum finishes it first.
        waits: called with the reason when a pause begins.

    Raises:
        FedrecError: a check failed, or the SuperNode ended.
    """
    refuse_unless_isolated()
    check_flower()
    connection.check()
    device = check_device(node_config)
    turn = Turn(rules or ParticipationRules(), device.store, MachineState())
    allow_installed_code()
    with told_to_end() as ended:
        while not ended.is_set():
            _wait(turn, ended, waits)
            if not ended.is_set():
                _take_part(node_config, connection, port, started, turn, ended)


def _wait(turn: Turn, ended: threading.Event, waits: Callable[[str], None]) -> None:
    """Return once the device may take part, or is told to end."""
    told = False
    while not ended.is_set() and (reason := turn.why_not()) is not None:
        if not told:
            _log.info("not connected: %s", reason)
            waits(reason)
            told = True
        ended.wait(WAIT_SECONDS)


def _take_part(
    node_config: NodeConfig,
    connection: Connection,
    port: int,
    started: Callable[[], None],
    turn: Turn,
    ended: threading.Event,
) -> None:
    """Answer messages until the device is told to end, or may no more."""
    with (
        supernode(connection, os.environ, port or free_port()) as node,
        closing(SuperNodeTasks(node.address, node.secret)) as tasks,
    ):

        def check() -> None:
            node.check()
            if turn.over() is not None:
                raise _NotNow

        started()
        with suppress(_NotNow):
            answer_tasks(tasks, app, node_config, ended, check)
