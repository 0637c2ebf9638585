"""The same grid with its devices in several processes of this machine: signatures and masks on every core.

Each node lives in one process and stays there, so what its device keeps in memory between two messages stays with it.
Devices, messages and replies are those of `InProcessGrid`; only the order in which replies come is not fixed, and no
sum depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from flwr.app import Context, Message

from fedrec.client.shared_work import shared_work
from fedrec.errors import ProtocolError
from fedrec.simulation.engines.grid import ClientCall, InProcessGrid, Spy
from fedrec.simulation.workers import process_pool

_Result = TypeVar("_Result")


class WorkerGrid(InProcessGrid):
    """A grid whose nodes are calls of a client app in ``workers`` processes, each started anew.

    Args:
        client_app: a function of a module, which a new process can import; what it raises becomes an error reply.
        contexts: node id -> the node's context as it is at first.
        run_id: of the run.
        workers: how many processes, at least 1.
        spy: sees all that passes, in this process.

    A request is on its way to its node's process as soon as it is pushed.  Use it as a context manager.
    """

    def __init__(
        self,
        client_app: ClientCall,
        contexts: Mapping[int, Context],
        *,
        run_id: int,
        workers: int,
        spy: Spy | None = None,
    ) -> None:
        super().__init__(client_app, contexts, run_id=run_id, spy=spy)
        self._workers = workers
        self._pools: list[ProcessPoolExecutor] = []
        self._place = {node: at % workers for at, node in enumerate(self.get_node_ids())}
        self._replies: dict[str, tuple[Message, Future[Message]]] = {}

    def __enter__(self) -> WorkerGrid:
        super().__enter__()
        try:
            self._pools = [process_pool(1) for _ in range(self._workers)]
            begun = []
            for at, pool in enumerate(self._pools):
                share = {node: context for node, context in self._contexts.items() if self._place[node] == at}
                begun.append(pool.submit(_begin, self._client_app, share, self.run.run_id))
            for one in begun:
                _result(one)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        super().__exit__(kind, error, trace)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send requests to the processes of their nodes; returns their ids."""
        ids = super().push_messages(messages)
        for name in ids:
            message = self._requests.pop(name)
            pool = self._pools[self._place[message.metadata.dst_node_id]]
            self._replies[name] = message, pool.submit(_answer, message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Those replies to requests that are there; waits until one is, if any request was not answered yet.

        Raises:
            ProtocolError: a process ended on its own.
        """
        asked = [name for name in message_ids if name in self._replies]
        wait([self._replies[name][1] for name in asked], return_when=FIRST_COMPLETED)
        found = []
        for name in asked:
            message, reply = self._replies[name]
            if reply.done():
                del self._replies[name]
                found.append(_result(reply))
                self._show(message, found[-1])
        return found

    def cpu_seconds(self) -> float:
        """Processor time of all processes that answer or ask, since they started; not while requests are under way."""
        used = [pool.submit(time.process_time) for pool in self._pools]
        return time.process_time() + sum(_result(one) for one in used)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push, then pull until all is there, however long it takes."""
        waiting, found = self.push_messages(messages), []
        while pulled := self.pull_messages(waiting):
            found += pulled
        return found


def _result(future: Future[_Result]) -> _Result:
    """What a process made. Raises ProtocolError where it ended on its own."""
    try:
        return future.result()
    except BrokenProcessPool:
        action = "Look whether memory was short; fewer speed.workers take less, and one stays in this process"
        raise ProtocolError("a process with simulated devices has ended", action=action) from None


# Of a worker process: what answers there, and what is closed when the process ends.
_grid: InProcessGrid | None = None
_kept = ExitStack()


def _begin(client_app: ClientCall, contexts: Mapping[int, Context], run_id: int) -> None:
    """Become the process of these nodes."""
    import torch

    global _grid
    torch.set_num_threads(1)  # the other cores have processes of their own
    _kept.enter_context(shared_work(len(contexts)))
    _grid = _kept.enter_context(InProcessGrid(client_app, contexts, run_id=run_id))


def _answer(message: Message) -> Message:
    assert _grid is not None
    return _grid.reply(message)
