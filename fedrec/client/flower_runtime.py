"""The runtime API of Flower's SuperNode, as much of it as it takes to answer messages with an app that is installed.

A SuperNode with ``--isolation process`` runs no app: it offers each message as a task to a process of the owner's.
Flower's own such process unpacks the bundle that the SuperLink sent, puts it first on the path and imports it.  Ours
takes the message and leaves the bundle where it is: in the memory of the SuperNode, which reads of it the settings in
its ``pyproject.toml``, and those we drop.

Beside `fedrec.client.supernode_messages` this is the one file of a device that uses what Flower does not document as
public; it was written for `FLOWER` and refuses others.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import flwr
import httpx
from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.wire import FAILED

FLOWER: Final = "1.42.0"
"""The version of Flower whose runtime API this is."""

LOOPBACK: Final = "127.0.0.1"
NodeConfig = Mapping[str, str | int | float]
ClientCall = Callable[[Message, Context], Message]

_ACQUIRE: Final = "/flwr.proto.Runtime/AcquireTask"
# All that a server can make a SuperNode offer. An agent's app is answered like any message that is not understood.
_TYPES: Final = (TaskType.CLIENT_APP, TaskType.AGENT_APP)


def check_flower(version: str = flwr.__version__) -> None:
    """Raise ConfigError unless Flower is the version that this file was written for."""
    if version != FLOWER:
        raise ConfigError(
            f"a device starts with Flower {FLOWER} only, whose runtime API was checked to run no bundle",
            value=version,
            action=f"Install flwr=={FLOWER}",
        )


@dataclass(frozen=True)
class Received:
    """A message to this device, and the ids of the run and of the node as Flower numbers them."""

    message: Message
    run_id: int
    node_id: int

    def context(self, node_config: NodeConfig) -> Context:
        """What an app is told beside the message: the device's own config, and nothing that a server chose."""
        return Context(self.run_id, self.node_id, {**node_config}, RecordDict(), {})

    def failure(self) -> Message:
        """All that is said where the app raised an exception: its text would go to the server."""
        return Message(Error(*FAILED), reply_to=self.message)


class ReceivedTask:
    """A message that waits for its answer; the SuperNode hands it to whoever has the token."""

    def __init__(self, client: RuntimeHttpClient) -> None:
        self._client = client

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Tell the SuperNode that the message is worked on, while the context lasts."""
        heartbeat = HeartbeatSender(self._alive)
        heartbeat.start()
        try:
            yield
        finally:
            if heartbeat.is_running:
                heartbeat.stop()

    def receive(self) -> Received:
        """Pull the message. Raises ProtocolError where the SuperNode does not give it out, or it is none."""
        try:
            # The last is the bundle. It goes no further than this line.
            message, context, run, _ = pull_task_input(self._client)
        except Exception as error:  # a server may have sent anything at all
            raise ProtocolError("the SuperNode hands out no message", value=type(error).__name__) from None
        return Received(message, run.run_id, context.node_id)

    def answer(self, received: Received, reply: Message) -> None:
        """Hand the answer to the SuperNode. Raises ProtocolError where it does not take it."""
        try:
            push_message(self._client, reply, received.context({}))
            push_task_output(self._client, None, SubStatus.COMPLETED, "")
        except Exception as error:  # whatever Flower's own code says of it
            raise ProtocolError("the SuperNode does not take an answer", value=type(error).__name__) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _alive(self) -> bool:
        # A task that expired meanwhile was answered by the SuperNode; nothing of ours depends on it.
        try:
            self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        except Exception:  # it is tried again, whatever it was
            return False
        return True


class SuperNodeTasks:
    """What a SuperNode on this machine has to be answered.

    Args:
        address: host:port of its runtime API, on loopback.
        secret: what the SuperNode was started with; without it nobody else on this machine gets a message.
    """

    def __init__(self, address: str, secret: bytes) -> None:
        check_flower()
        self._address = address
        signed = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[_ACQUIRE])
        self._client = RuntimeHttpClient.from_server_address(
            address, True, None, [RuntimeVersionHttpInterceptor(component_name="SuperExec"), signed]
        )

    def acquire(self) -> ReceivedTask | None:
        """The next message, or None where there is none just now.

        Raises:
            ProtocolError: the SuperNode cannot be reached, or refuses.
        """
        try:
            found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=_TYPES))
        except Exception as error:
            raise ProtocolError("the SuperNode offers no messages", value=type(error).__name__) from None
        if not (found.HasField("task") and found.token):
            return None
        versioned = RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")
        token = RuntimeTokenHttpInterceptor(found.token)
        return ReceivedTask(RuntimeHttpClient.from_server_address(self._address, True, None, [versioned, token]))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def free_port() -> int:
    """Return a port of loopback that nobody listens on just now."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def is_up(address: str) -> bool:
    """Whether a SuperNode's runtime API answers at host:port."""
    try:
        return httpx.get(f"http://{address}/health", timeout=1.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
