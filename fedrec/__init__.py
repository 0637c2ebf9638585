"""fedrec: private, federated, multimodal recommendation.

Read data of whatever shape, train on it as many devices would, see what that is worth and what it promises, recommend:

    import fedrec

    data = fedrec.read_data(interactions, items=items)      # frames of pandas or polars, files, MovieLens
    run = fedrec.simulate("fedrec", data, overrides={"privacy.epsilon": 8})
    run.quality["loo-99neg"]["hr@10"], run.privacy["epsilon_released"]
    run.recommend("some user")
    fedrec.open_release(run.save("out") / "model").recommend(history=["some item"])

Reading and simulating:

- `read_data`, `make_shop`, `Dataset`, `Event`
- `simulate`, `Run`
- `train`: on data that is central already, for a release that may ship
- `Config`, `load_config`, `presets`

What was released:

- `open_release`, `OpenedRelease`, `Recommendation`

Privacy:

- `plan`, `plan_target`: what a run, or a target, is charged, before anybody is asked
- `statement`, `Statement`, `verify`: what a run promises, and whether its ledger bears it out
- `audit_privacy`: lower bounds of what really leaks

Parts of your own, in every engine (see `fedrec.extend`; `fedrec.testing` has the contracts that they are held to):

- `register_encoder`, `register_item_encoder`, `register_fusion`, `register_user_tower`, `register_preset`,
  `register_mechanism`, `register_query`

Errors are `FedrecError` and its subclasses. Importing this package imports nothing else: each name is loaded when it is
first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fedrec.api.audit import audit_privacy
    from fedrec.api.configs import load_config, presets
    from fedrec.api.privacy import Statement, plan, plan_target, statement, verify
    from fedrec.api.release import OpenedRelease, open_release
    from fedrec.api.run import Run
    from fedrec.api.simulate import make_shop, simulate, train
    from fedrec.client.recommendation import Recommendation
    from fedrec.config import Config
    from fedrec.data.schema import Dataset, Event
    from fedrec.data.sources import read_data
    from fedrec.errors import (
        BudgetExceededError,
        ConfigError,
        ContentError,
        DataError,
        FedrecError,
        ModelError,
        PrivacyError,
        ProtocolError,
        ReleaseError,
        StoreError,
        SumError,
    )
    from fedrec.extend import (
        register_encoder,
        register_fusion,
        register_item_encoder,
        register_mechanism,
        register_preset,
        register_query,
        register_user_tower,
    )

# Name -> the module that has it. No name is also that of a module of this package: importing that would hide it.
# A name that is added here is added above, where type checkers and editors look, and to __all__.
_LAZY: Final = {
    "BudgetExceededError": "fedrec.errors",
    "Config": "fedrec.config",
    "ConfigError": "fedrec.errors",
    "ContentError": "fedrec.errors",
    "DataError": "fedrec.errors",
    "Dataset": "fedrec.data.schema",
    "Event": "fedrec.data.schema",
    "FedrecError": "fedrec.errors",
    "ModelError": "fedrec.errors",
    "OpenedRelease": "fedrec.api.release",
    "PrivacyError": "fedrec.errors",
    "ProtocolError": "fedrec.errors",
    "Recommendation": "fedrec.client.recommendation",
    "ReleaseError": "fedrec.errors",
    "Run": "fedrec.api.run",
    "Statement": "fedrec.api.privacy",
    "StoreError": "fedrec.errors",
    "SumError": "fedrec.errors",
    "audit_privacy": "fedrec.api.audit",
    "load_config": "fedrec.api.configs",
    "make_shop": "fedrec.api.simulate",
    "open_release": "fedrec.api.release",
    "plan": "fedrec.api.privacy",
    "plan_target": "fedrec.api.privacy",
    "presets": "fedrec.api.configs",
    "read_data": "fedrec.data.sources",
    "register_encoder": "fedrec.extend",
    "register_fusion": "fedrec.extend",
    "register_item_encoder": "fedrec.extend",
    "register_mechanism": "fedrec.extend",
    "register_preset": "fedrec.extend",
    "register_query": "fedrec.extend",
    "register_user_tower": "fedrec.extend",
    "simulate": "fedrec.api.simulate",
    "statement": "fedrec.api.privacy",
    "train": "fedrec.api.simulate",
    "verify": "fedrec.api.privacy",
}

__all__ = [
    "BudgetExceededError",
    "Config",
    "ConfigError",
    "ContentError",
    "DataError",
    "Dataset",
    "Event",
    "FedrecError",
    "ModelError",
    "OpenedRelease",
    "PrivacyError",
    "ProtocolError",
    "Recommendation",
    "ReleaseError",
    "Run",
    "Statement",
    "StoreError",
    "SumError",
    "audit_privacy",
    "load_config",
    "make_shop",
    "open_release",
    "plan",
    "plan_target",
    "presets",
    "read_data",
    "register_encoder",
    "register_fusion",
    "register_item_encoder",
    "register_mechanism",
    "register_preset",
    "register_query",
    "register_user_tower",
    "simulate",
    "statement",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fedrec")
    if name not in _LAZY:
        raise AttributeError(f"module 'fedrec' has no attribute {name!r}")
    found = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
