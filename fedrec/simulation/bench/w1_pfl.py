"""Workload W1 on pfl-research (Granqvist et al. 2024): its own simulator, model, cohort and clipping; a local step."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedrec.errors import ConfigError

USERS = 200
"""Users a pass: it takes one after the other, so that a rate needs no more."""


def pfl_pass(layers: Callable[[], nn.Module], user: Callable[[int], tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """One pass over `USERS` users. ``user``: features [examples, width] and labels [examples] of one.

    Raises:
        ConfigError: pfl is not installed.
    """
    try:
        pfl = {name: importlib.import_module(f"pfl.{name}") for name in _PARTS}
    except ImportError as error:
        raise ConfigError(
            "pfl-research is not installed",
            value=str(error),
            action="pip install --no-deps -r simulations/benchmarks/train-rivals-requirements.txt",
        ) from None
    kept = [user(place) for place in range(USERS)]
    module = _module(layers())
    model = pfl["model.pytorch"].PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=0.0))
    data = pfl["data.federated_dataset"].FederatedDataset(
        lambda name: pfl["data.dataset"].Dataset(raw_data=list(kept[name]), user_id=str(name)),
        pfl["data.sampling"].get_user_sampler("minimize_reuse", list(range(USERS))),
    )
    clip = pfl["privacy.privacy_mechanism"].NormClippingOnly(2, 1.0)
    backend = pfl["aggregate.simulate"].SimulatedBackend(training_data=data, val_data=None, postprocessors=[clip])
    local = pfl["hyperparam.base"].NNTrainHyperParams(None, 1, 1.0)

    algorithm = pfl["algorithm.federated_averaging"].FederatedAveraging()
    rounds = count(1)

    def one_pass() -> object:
        # The round after the last one; the first, which is not measured, is the only one that evaluates, too.
        settings = pfl["algorithm.base"].NNAlgorithmParams(next(rounds), _NEVER, USERS, 0)
        return algorithm.run(settings, backend, model, local, None, [], send_metrics_to_platform=False)

    return one_pass


_NEVER = 10**9
_PARTS = (
    "model.pytorch",
    "data.federated_dataset",
    "data.dataset",
    "data.sampling",
    "privacy.privacy_mechanism",
    "aggregate.simulate",
    "hyperparam.base",
    "algorithm.federated_averaging",
    "algorithm.base",
)


def _module(layers: nn.Module) -> Any:
    class Perceptron(nn.Module):
        """The same layers with the loss where pfl looks for it."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, features: Tensor) -> Any:
            return self.layers(features).squeeze(-1)

        def loss(self, features: Tensor, labels: Tensor, eval: bool = False) -> Tensor:  # pfl's name
            return binary_cross_entropy_with_logits(self(features), labels)

        def metrics(self, features: Tensor, labels: Tensor, eval: bool = False) -> dict[str, Any]:
            return {}

    return Perceptron()
