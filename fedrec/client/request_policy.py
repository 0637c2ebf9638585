"""What a device lets itself be asked: exactly the requests of the settings it accepted, and each of them once.

A server that turns a knob on the way (a wider bound, a pool of negatives of its own choice, a query that the settings
leave out, a round beyond the last) finds no device that answers.  What a request of each query may say stands in the
query's shared half (`Query.accepted`); the rest is made again from the device's own settings and compared, bit by bit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from fedrec.client.budget import USERS, population_said
from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, FedrecError, ProtocolError
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import DEVICES, Request
from fedrec.queries.schedule import make_request

_SETTING: Final = "answered rounds"
_RUNS_KEPT: Final = 256


def check_agreed(config: Config, request: Request, features: Features) -> None:
    """Hold a request to the settings of this device, over its catalogue.

    Raises:
        ProtocolError: it is none that these settings lead to.
    """
    query = QUERIES[request.query]
    rounds = query.rounds(config)
    if not len(rounds):
        raise ProtocolError("this device's settings leave this query out", value=request.query)
    if request.round not in rounds:
        raise ProtocolError(f"{request.query} is not asked in this round", value=request.round)
    # How many there are is the server's to say: a device can only see to it that it is a count.
    population_said(request)
    said = {name: request.settings[name] for name in (USERS, DEVICES) if name in request.settings}
    try:
        accepted = query.accepted(config, request, features)
        expected = make_request(query, config, request.round, accepted, request.sum.rows, features)
    except ConfigError as error:
        raise ProtocolError(error.what, value=error.value, action=error.action) from None
    expected = _with_noise(config, request, replace(expected, settings={**expected.settings, **said}))
    different = request.differs(expected)
    if different is not None:
        raise ProtocolError(
            f"a request for {request.query} differs from what this device's settings lead to", value=different
        )


def claim(store: EventStore, run: str, session: str, request: Request, *, attempts: int) -> None:
    """Take down, durably and before it is answered, that a request of a run is answered.

    Rounds of a query only go up, whatever a server says of itself, and also after the device restarted: a replayed,
    late or earlier request is refused.  Only the last round may be asked again, by a server that was cut off in it and
    says so with another session.

    Args:
        store: the device's.
        run: names the run, see `DeviceContext.run_name`.
        session: drawn by the server when it started.
        request: what is to be answered.
        attempts: how often one round may be answered, at least 1.

    Raises:
        ProtocolError: it was answered, a later one was, or the round was asked too often.
        StoreError: it cannot be taken down.
    """
    with store.transaction(durable=True):
        runs: dict[str, dict[str, tuple[int, list[str]]]] = json.loads(store.get_setting(_SETTING) or "{}")
        rounds = runs.pop(run, {})
        last, sessions = rounds.get(request.query, (-1, []))
        if request.round > last:
            sessions = []
        elif request.round < last or session in sessions:
            raise ProtocolError("this request was answered before", value=(request.query, request.round))
        if len(sessions) >= attempts:
            raise ProtocolError("this round was asked too often", value=(request.query, request.round))
        rounds[request.query] = (request.round, [*sessions, session])
        runs[run] = rounds
        kept = list(runs.items())[-_RUNS_KEPT:]
        store.set_setting(_SETTING, json.dumps(dict(kept), separators=(",", ":")))


def _with_noise(config: Config, request: Request, expected: Request) -> Request:
    """The expected request, with the noise that devices are asked to add.

    How much is the server's to say: what it costs is charged by the device's ledger, which refuses what is beyond the
    budget.  How it is shared follows from this device's settings; for how many devices, the protocol holds the sum to.
    """
    if config.privacy.noise_place != "distributed" or config.privacy.epsilon is None:
        return expected
    if not (request.sum.noise and request.sum.devices):
        raise ProtocolError("the request asks for no noise of devices", value=request.query)
    try:
        return expected.with_noise_of_devices(config, request.sum.noise, request.sum.devices)
    except FedrecError as error:
        raise ProtocolError(error.what, value=error.value, action=error.action) from None
