"""A server that is killed between opening a sum and writing down what it cost: its ledger claims what was shown.

Where devices share the noise, a sum is private as it is opened, and whoever held the server's memory then has it.  A
sum that is asked again after the kill is another one.  So its row is written before devices are asked for what opens
it.  With the row written afterwards, as it was, five restarts show several times what the ledger claims.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import federation_cases as cases
import ledger_cases
import pytest

from fedrec.config import Config
from fedrec.errors import BudgetExceededError
from fedrec.privacy.accountant import epsilon
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.participation import check_participation, check_rounds
from fedrec.privacy.run_plan import delta_of
from fedrec.queries.plan import budget_of
from fedrec.queries.request import Request
from fedrec.server.private_aggregator import PrivateAggregator
from fedrec.server.results import AggregateResult, MaskedDevices, RunResult
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.study import Study

EPSILON, RESTARTS = 1.0, 5


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class OpeningDevices(CohortDevices):
    """A cohort that notes each sum that was opened over it, and brings its server down after the first ones."""

    def __init__(self, config: Config, study: Study, kills: int, *, attempts: int = 1) -> None:
        super().__init__(config, study.features, study.population)
        self.kills, self.attempts = kills, attempts
        self.shown: Counter[float] = Counter()
        self.sums: Counter[tuple[str, int]] = Counter()
        self.before_masking = lambda: None

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        for _ in range(self.attempts):
            self.before_masking()
            result = super().aggregate(request, cohort)
            self.shown[request.sum.honest_noise] += 1
            self.sums[request.query, request.round] += 1
        if self.kills:
            self.kills -= 1
            raise Killed
        return result

    def truly_shown(self, delta: float) -> float:
        """The epsilon of all that was opened, to a row that is in every sum."""
        return ledger_cases.epsilon_of(math.fsum(count / z**2 for z, count in self.shown.items()), delta)


def config_of(**training: Any) -> Config:
    return cases.settings(
        run={"reproducible": False},
        model={"tower": bool(training), "notes": False, "photos": False},
        collaborative={"cooccurrence": {"enabled": True, "normalise": 1.0}},
        training={"rounds": 4, "negatives": 8, **training},
        privacy={"noise_place": "distributed", "epsilon": EPSILON, "shares": {}},
        secure_aggregation={"resolution_bits": None},
        evaluation={"private_metrics": False},
    )


def run_until_it_ends(config: Config, study: Study, devices: OpeningDevices, out: Path) -> RunResult | None:
    """Start the server until it is not killed any more; None where the budget bears no start."""
    for _ in range(RESTARTS + 2):
        try:
            return cases.run(config, study, devices, out)
        except Killed:
            continue
        except BudgetExceededError:
            return None
    raise AssertionError("the run does not end")


def claimed(config: Config, out: Path) -> float:
    with Ledger.open(out / "ledger.sqlite", budget_of(config, cases.USERS)) as ledger:
        entries = ledger.entries()
        assert not check_rounds(entries)
        assert not check_participation(entries)
        return epsilon(ledger.costs(), delta_of(config, cases.USERS))


@pytest.mark.parametrize("kills", [1, RESTARTS])
@pytest.mark.parametrize("training", [{}, {"sampling": "cyclic", "cohort": 12}], ids=["sums", "cyclic"])
def test_a_killed_server_claims_at_least_what_was_shown(
    kills: int, training: Mapping[str, Any], federation_study: Study, tmp_path: Path
) -> None:
    config = config_of(**training)
    devices = OpeningDevices(config, federation_study, kills)
    outcome = run_until_it_ends(config, federation_study, devices, tmp_path)
    assert isinstance(devices, MaskedDevices)
    delta = delta_of(config, cases.USERS)
    claim = claimed(config, tmp_path)
    assert max(devices.sums.values()) > 1, "no sum was opened twice"
    if not training:  # every device is in every sum
        assert devices.truly_shown(delta) <= claim * (1 + 1e-6)
    assert claim <= EPSILON * (1 + 1e-6)
    assert outcome is None or outcome.stopped is not None, "the budget was spent on sums that were lost"


def test_charged_after_it_was_opened_it_claims_less_than_was_shown(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrivateAggregator, "_charged_ahead", lambda self, request: False)
    config = config_of()
    devices = OpeningDevices(config, federation_study, RESTARTS)
    assert run_until_it_ends(config, federation_study, devices, tmp_path) is not None
    shown, claim = devices.truly_shown(delta_of(config, cases.USERS)), claimed(config, tmp_path)
    print(f"shown {shown:.2f}, claimed {claim:.2f}")
    assert shown > 1.5 * claim


def test_each_attempt_that_may_have_been_opened_is_charged(federation_study: Study, tmp_path: Path) -> None:
    """The protocol asks again by itself, without a restart."""
    config = config_of()
    devices = OpeningDevices(config, federation_study, 0, attempts=2)
    outcome = cases.run(config, federation_study, devices, tmp_path)
    assert outcome.stopped is not None
    assert devices.truly_shown(delta_of(config, cases.USERS)) <= claimed(config, tmp_path) * (1 + 1e-6)


def test_a_sum_that_was_kept_is_used_and_not_asked_again(
    federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between keeping a sum and noting in the ledger that it was opened: nothing is spent twice."""
    config, right, kills = config_of(), Ledger.opened, [1, 1]

    def opened(self: Ledger, query: str, round: int, detail: Mapping[str, Any]) -> None:
        if kills:
            kills.pop()
            raise Killed
        right(self, query, round, detail)

    monkeypatch.setattr(Ledger, "opened", opened)
    devices = OpeningDevices(config, federation_study, 0)
    outcome = run_until_it_ends(config, federation_study, devices, tmp_path)
    assert outcome is not None and outcome.stopped is None
    assert set(devices.sums.values()) == {1}
    assert claimed(config, tmp_path) == pytest.approx(EPSILON, rel=1e-6)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for entry in ledger.entries():
            assert (entry.detail["repeat"], entry.detail["survivors"]) == (0, cases.USERS)
            assert entry.detail["released"]


def test_where_the_budget_bears_no_attempt_nobody_is_asked(federation_study: Study, tmp_path: Path) -> None:
    config = config_of()
    devices = OpeningDevices(config, federation_study, 99)
    for _ in range(8):
        try:
            cases.run(config, federation_study, devices, tmp_path)
        except (Killed, BudgetExceededError):
            continue
    asked = devices.sums.copy()
    with suppress(BudgetExceededError):
        cases.run(config, federation_study, devices, tmp_path)
    assert devices.sums == asked
    assert devices.truly_shown(delta_of(config, cases.USERS)) <= EPSILON * (1 + 1e-6)


def test_with_room_for_them_a_run_that_lost_sums_goes_on_to_its_end(federation_study: Study, tmp_path: Path) -> None:
    config = config_of()
    spare = config.privacy.model_copy(update={"spare_attempts": 2})
    config = config.model_copy(update={"privacy": spare})
    devices = OpeningDevices(config, federation_study, 2)
    outcome = run_until_it_ends(config, federation_study, devices, tmp_path)
    assert outcome is not None and outcome.stopped is None
    assert max(devices.sums.values()) > 1
    assert devices.truly_shown(delta_of(config, cases.USERS)) <= claimed(config, tmp_path) * (1 + 1e-6)
    assert claimed(config, tmp_path) <= EPSILON * (1 + 1e-6)
