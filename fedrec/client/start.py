"""Start a device: check what it was given, then answer a SuperLink's messages with the installed code and no other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing

from fedrec.client.app import app
from fedrec.client.device import Device, device_of
from fedrec.client.executor import answer_tasks
from fedrec.client.flower_runtime import NodeConfig, SuperNodeTasks, check_flower, free_port
from fedrec.client.installed_code import allow_installed_code
from fedrec.client.isolated import refuse_unless_isolated
from fedrec.client.supernode import Connection, supernode
from fedrec.client.trust import identity_of, roster_of
from fedrec.config.simulated import NODE_KEY
from fedrec.data.store import EventStore
from fedrec.detached import told_to_end
from fedrec.errors import ConfigError
from fedrec.queries.run_manifest import RunManifest

_log = logging.getLogger(__name__)


def check_device(node_config: NodeConfig) -> Device:
    """Return the device that its own config describes, after all that can be checked without a server.

    It has a store with an identity, which the publisher's roster lists, a manifest that the publisher signed for this
    very code and for as many people as it has, and it can read the catalogue.

    Raises:
        ConfigError: something is missing or does not fit. ProtocolError: the publisher did not sign it.
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


def start_device(
    node_config: NodeConfig, connection: Connection, port: int = 0, started: Callable[[], None] = lambda: None
) -> None:
    """Answer messages until the process is told to end (SIGTERM or SIGINT).

    This process must be isolated (`restart_isolated`). Flower's SuperNode is a child of it that runs no app. What it is
    sent as code stays where it is; what it is sent as a message is answered by `fedrec.client.app` of this process,
    with ``node_config`` and no config of the run.

    Args:
        node_config: the device's own: see `fedrec.client.device.device_of`.
        connection: to the SuperLink.
        port: of the SuperNode's runtime API on loopback; 0 = any that is free.
        started: called once all checks are passed and the SuperNode runs.

    Raises:
        FedrecError: a check failed, or the SuperNode ended.
    """
    refuse_unless_isolated()
    check_flower()
    connection.check()
    check_device(node_config)
    allow_installed_code()
    with (
        told_to_end() as ended,
        supernode(connection, os.environ, port or free_port()) as node,
        closing(SuperNodeTasks(node.address, node.secret)) as tasks,
    ):
        started()
        answer_tasks(tasks, app, node_config, ended, node.check)
