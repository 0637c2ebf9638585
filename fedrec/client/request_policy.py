"""What a device lets itself be asked: exactly the requests of the settings it accepted, and each of them once.

A server that turns a knob on the way (a wider bound, a pool of negatives of its own choice, a query that the settings
leave out, a round beyond the last) finds no device that answers.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fedrec.client.budget import DEVICES, USERS, population_of
from fedrec.collaborative import item_tables
from fedrec.collaborative import power_iteration as factors
from fedrec.collaborative.collaborative_factors import ARRAYS, FACTORS
from fedrec.config import Config
from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.privacy.accountant import gaussian_noise
from fedrec.privacy.calibrate import delta_for
from fedrec.queries import adaptive_clip as clip_rate
from fedrec.queries import cooccurrence, model_update, negatives, popularity, validation
from fedrec.queries import metrics as metrics_query
from fedrec.queries.request import Request

_SETTING: Final = "answered"
# A server that was cut off asks under a new session. So often, and no more, it may begin one run again.
_SESSIONS: Final = 32
_RUNS_KEPT: Final = 256
_RANKS: Final = 512
_ROUNDING: Final = 1e-6


def check_agreed(config: Config, request: Request, items: int) -> None:
    """Hold a request to the settings of this device, over a catalogue of ``items`` items.

    Raises:
        ProtocolError: it is none that these settings lead to.
    """
    if not _asked(config)[request.query]:
        raise ProtocolError("this device's settings leave this query out", value=request.query)
    rounds = _rounds(config, request)
    if request.round not in rounds:
        raise ProtocolError(f"{request.query} is not asked in this round", value=request.round)
    expected = _with_noise(config, request, _expected(config, request, items))
    # How many there are is the server's to say: a device can only see to it that it is a count.
    population_of(request)
    said = {name: request.settings[name] for name in (USERS, DEVICES) if name in request.settings}
    expected = replace(expected, settings={**expected.settings, **said})
    if request.header() != expected.header() or set(request.arrays) != set(expected.arrays):
        raise ProtocolError("a request differs from what this device's settings lead to", value=request.query)
    # Parameters, and how much each item is used, are the server's to say; which items are negatives is not.
    if request.query == "training" and not np.array_equal(request.arrays["pool"], expected.arrays["pool"]):
        raise ProtocolError("the pool of negatives is not the one of this round", value=request.round)


def claim(store: EventStore, run: str, session: str, request: Request) -> None:
    """Take down, durably and before it is answered, that a request of a run is answered.

    Within a session, rounds of a query only go up: a replayed, repeated or late request is refused, also after the
    device restarted.

    Raises:
        ProtocolError: it was answered, a later one was, or the run was begun again too often.
        StoreError: it cannot be taken down.
    """
    with store.transaction(durable=True):
        runs: dict[str, dict[str, dict[str, int]]] = json.loads(store.get_setting(_SETTING) or "{}")
        sessions = runs.pop(run, {})
        rounds = sessions.setdefault(session, {})
        if request.round <= rounds.get(request.query, -1):
            raise ProtocolError("this request was answered before", value=(request.query, request.round))
        if len(sessions) > _SESSIONS:
            raise ProtocolError("this run was begun again too often", value=len(sessions))
        rounds[request.query] = request.round
        runs[run] = sessions
        kept = list(runs.items())[-_RUNS_KEPT:]
        store.set_setting(_SETTING, json.dumps(dict(kept), separators=(",", ":")))


def _asked(config: Config) -> dict[str, bool]:
    return {
        "popularity": config.collaborative.popularity,
        "cooccurrence": config.collaborative.cooccurrence.enabled,
        "directions": config.collaborative.power_iteration.steps > 0,
        "factors": config.collaborative.power_iteration.enabled,
        "training": config.model.tower,
        "validation": config.model.tower and config.training.stopping is not None,
        "metrics": config.evaluation.private_metrics,
    }


def _rounds(config: Config, request: Request) -> range:
    last = config.training.rounds
    if request.query == "training":
        return range(1, last + 1)
    if request.query == "validation":
        return range(1, len(config.training.validated) + 1)
    if request.query == "directions":
        return range(1, config.collaborative.power_iteration.steps + 1)
    return range(last + 1, last + 2) if request.query == "metrics" else range(1)


def _expected(config: Config, request: Request, items: int) -> Request:
    """The request that the server's own code asks under these settings; only the number of rows is the server's."""
    rows, bits = request.sum.rows, config.secure_aggregation.resolution_bits
    if request.query == "popularity":
        return popularity.ask(
            items, rows, bits, unit=config.privacy.unit, ramp=config.collaborative.short_history_weighting
        )
    if request.query == "training":
        clip = clip_rate.agreed_clip(request.settings.get(clip_rate.CLIP), request.round, config.privacy)
        weights = _vector(request, negatives.WEIGHTS) if config.training.pool == "popularity" else None
        values, carried = _vector(request, "parameters"), _carried(config, request, items)
        return model_update.ask(config, request.round, values, items, rows, clip, weights=weights, carried=carried)
    if request.query == "validation":
        values, carried = _vector(request, "parameters"), _carried(config, request, items)
        return validation.ask(config, request.round, values, rows, carried)
    if request.query == "metrics":
        scored_with = {
            name: array for name, array in request.arrays.items() if name in ("parameters", *ARRAYS, FACTORS)
        }
        return metrics_query.ask(request.round, {**scored_with, **_carried(config, request, items)}, rows, bits)
    if request.query in ("directions", "factors"):
        asked = _directions(request, items, config.collaborative.power_iteration.item_weighting > 0)
        return factors.ask(config, request.query, request.round, asked, rows)
    most = config.collaborative.cooccurrence.items
    taking = _vector(request, "items")
    if len(taking) != (min(most, items) if most else items):
        raise ProtocolError("co-occurrence is asked over another number of items than was set", value=len(taking))
    return cooccurrence.ask(
        taking,
        rows,
        config.collaborative,
        unit=config.privacy.unit,
        noisy=config.privacy.epsilon is not None,
        resolution_bits=bits,
    )


def _carried(config: Config, request: Request, items: int) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """What the model is beside its parameters, as far as these settings have it; of what shape, the learner checks."""
    fixed = config.model.head_rank > 0 or config.model.text_encoder == "minilm-lora"
    frozen = fixed and "frozen" in request.arrays
    tables = item_tables.agreed(config, request.arrays, items)
    return {**tables, **({"frozen": _vector(request, "frozen")} if frozen else {})}


def _with_noise(config: Config, request: Request, expected: Request) -> Request:
    """The expected request, with the noise that devices are asked to add, if it is enough.

    How much is the server's to say, since the budget's parts depend on what all devices are asked; but never less than
    the whole budget spent on this one query would ask for.  How it is shared follows from this device's settings.
    """
    if config.privacy.noise_place != "distributed" or config.privacy.epsilon is None:
        return expected
    asked, rounds = request.sum, 1
    if request.query == "training" and config.training.sampling in ("full", "fixed"):
        rounds = config.training.rounds
    if request.query == "validation":
        rounds = len(config.training.validated)
    delta = config.privacy.delta if config.privacy.delta is not None else delta_for(max(2, asked.devices))
    least = gaussian_noise(config.privacy.epsilon, delta) * math.sqrt(rounds)
    if not asked.noise >= least * (1 - _ROUNDING):
        raise ProtocolError(
            "the devices' noise is less than this device's privacy budget asks for",
            value=asked.noise,
            action=f"It must be at least {least:.4g} times the sensitivity",
        )
    return expected.shared(config, asked.noise, asked.devices)


def _directions(request: Request, items: int, weighted: bool) -> factors.Directions:
    """What the server projects on is its own to say, as parameters are; that it is over the catalogue is not."""
    centre, vectors = _vector(request, factors.CENTRE), request.arrays.get(factors.VECTORS)
    if vectors is None or vectors.ndim != 2 or len(vectors) != items or not 1 <= vectors.shape[1] <= _RANKS:
        raise ProtocolError("directions are not over this catalogue", value=None if vectors is None else vectors.shape)
    return factors.Directions(centre, vectors, _vector(request, factors.WEIGHTS) if weighted else None)


def _vector(request: Request, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    found = request.arrays.get(name)
    if found is None or found.ndim != 1 or not len(found):
        raise ProtocolError(f"a request lacks its array {name!r}", value=request.query)
    return found
