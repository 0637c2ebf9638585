"""Workload W1 on Flower's Ray simulation: a virtual node a user, one message each way, one local step, one clip."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedrec.errors import ConfigError
from fedrec.simulation.bench.measuring import Timing

USERS: Final = 40
"""Users a round: messages are handled one after the other, so that a rate needs no more."""
ROUNDS: Final = 3


def flower_rounds(layers: Callable[[], nn.Module], user: Callable[[int], tuple[Tensor, Tensor]]) -> Timing:
    """Seconds of `ROUNDS` rounds of `USERS` users, after one round that starts what it needs.

    Args:
        layers: makes the perceptron.
        user: features [examples, width] and labels [examples] of one user.

    Raises:
        ConfigError: Flower's simulation runtime is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("Flower's Ray runtime is not installed", action="pip install 'flwr[simulation]'")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.simulation import run_simulation

    client, server, found = ClientApp(), ServerApp(), list[float]()

    @client.train()
    def train(message: Any, context: Any) -> Any:
        return _answer(message, layers(), user(int(context.node_config["partition-id"])))

    @server.main()
    def main(grid: Grid, context: Any) -> None:
        while len(nodes := list(grid.get_node_ids())) < USERS:
            time.sleep(0.1)
        model = layers()
        for number in range(1 + ROUNDS):
            started = time.perf_counter()
            _round(grid, nodes, model, number)
            found.append(time.perf_counter() - started)

    cores = os.cpu_count() or 1
    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": cores, "include_dashboard": False}}
    run_simulation(server, client, USERS, backend_config=resources)  # type: ignore[arg-type]
    return Timing(tuple(found[1:]))


def _round(grid: Any, nodes: list[int], model: nn.Module, number: int) -> None:
    """Ask every node, and step by the mean of what they answer."""
    from flwr.app import ArrayRecord, Message, RecordDict

    state = ArrayRecord(model.state_dict())
    asked = [Message(RecordDict({"model": state}), node, "train", group_id=str(number)) for node in nodes]
    answers = [answer for answer in grid.send_and_receive(asked) if not answer.has_error()]
    if len(answers) < len(nodes):
        raise ConfigError("Flower's nodes did not all answer", value=f"{len(answers)} of {len(nodes)}")
    moved = [answer.content["moved"].to_torch_state_dict() for answer in answers]
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.sub_(torch.stack([one[name] for one in moved]).mean(0))


def _answer(message: Any, model: nn.Module, data: tuple[Tensor, Tensor]) -> Any:
    """One step over a user's own examples, clipped to 1."""
    from flwr.app import ArrayRecord, Message, RecordDict

    torch.set_num_threads(1)
    model.load_state_dict(message.content["model"].to_torch_state_dict())
    loss: Any = binary_cross_entropy_with_logits(model(data[0]).squeeze(-1), data[1])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    moved = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return Message(RecordDict({"moved": ArrayRecord(moved)}), reply_to=message)
