"""A run as a schedule: each round of each query in order, what it may cost, and what is made of the answers.

Nothing here knows how devices are reached (`Devices` is Flower's grid in production and a vectorised pass in a study),
nor which queries there are: they stand in `fedrec.queries.registry`.  Every opened sum goes through
`PrivateAggregator.aggregate`: noise is added and the ledger's row is written before anything uses it.
"""

from __future__ import annotations

from fedrec.config import Config
from fedrec.content.feature_table import Features
from fedrec.errors import BudgetExceededError
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.run_plan import claimed
from fedrec.queries.cohorts import are_public
from fedrec.queries.query import NoisySum, Query, Stage
from fedrec.queries.run_state import RunState
from fedrec.queries.schedule import Scheduled, make_request, schedule
from fedrec.server.keys import RunKeys
from fedrec.server.private_aggregator import NoisyAggregate, PrivateAggregator
from fedrec.server.results import Devices, Observer, PubliclyDrawnDevices, RoundEvent, RunResult
from fedrec.server.sampled_cohorts import check_sampled_cohorts
from fedrec.server.sampling import Sampler
from fedrec.server.state import ServerState


class FederatedRun:
    """One run over a set of devices. A run that was cut off goes on where its state and ledger say.

    Raises:
        ConfigError: the settings do not fit the content or each other.
        PrivacyError: the budget cannot be met, or the ledger is not the one of the state.
    """

    private_aggregator: type[PrivateAggregator] = PrivateAggregator

    def __init__(
        self,
        config: Config,
        features: Features,
        devices: Devices,
        ledger: Ledger,
        kept: ServerState,
        observe: Observer,
    ) -> None:
        self.config, self.features, self.devices = config, features, devices
        self.ledger, self.kept, self.observe = ledger, kept, observe
        check_sampled_cohorts(config, devices.size)
        keys = RunKeys(config, kept)
        public = devices.cohort_key if isinstance(devices, PubliclyDrawnDevices) and are_public(config) else None
        self.sampler = Sampler(config, devices.size, public or keys.of("cohorts"))
        self.aggregator = self.private_aggregator(config, devices, ledger, kept, self.sampler, keys, self._show)
        self.state = RunState(
            config, features, devices.users, devices.size, share=self.sampler.share, pinned=kept.pinned
        )
        self.stage = Stage.SUMS

    def run(self) -> RunResult:
        """All rounds, in order."""
        self.aggregator.authorise()
        self._restore(Stage.SUMS)
        stopped = None
        try:
            for scheduled in schedule(self.config):
                self._enter(scheduled.stage)
                if not scheduled.query.over(self.state, scheduled.round):
                    self._take(scheduled)
            self._enter(Stage.FINAL)
        except BudgetExceededError as error:
            stopped = str(error)
            self._leave_early()
        return self._result(stopped)

    def _enter(self, stage: Stage) -> None:
        """Do once what lies between the stages of a run, and take up what was done of the next one before a restart."""
        if self.stage < Stage.TRAINING <= stage:
            self.state.open_training()
            self._restore(Stage.TRAINING)
        if self.stage < Stage.FINAL <= stage:
            self.state.conclude_training(whole=True)
            if self.state.model is not None:
                self.kept.forget_secret()
            self._restore(Stage.FINAL)
        self.stage = max(self.stage, stage)

    def _restore(self, stage: Stage) -> None:
        """Take up what the queries of a stage had come to before a restart."""
        for query in {one.query.name: one.query for one in schedule(self.config) if one.stage is stage}.values():
            kept = self.kept.load_checkpoint(query.name)
            if kept is not None:
                query.restore(self.state, kept)

    def _leave_early(self) -> None:
        """Make of what was paid for what can be made of it, where the budget ended."""
        if self.stage < Stage.FINAL:
            self.state.conclude_training(whole=False)

    def _take(self, scheduled: Scheduled) -> None:
        """One round: asked, or taken from the state after a restart, and made something of."""
        query, number = scheduled.query, scheduled.round
        if number <= self.kept.last_checkpoint(query.name):
            return
        said = query.broadcast(self.state, number)
        request = make_request(query, self.config, number, said, self._rows_in_a_sum(query), self.features)
        cohort = self.sampler.cohort(number) if query.sampled else range(self.devices.size)
        deviation = self.aggregator.noise.deviation(request, len(cohort))
        kept = self.kept.load_answer(f"{query.name}/{number}")
        if kept is not None:
            self._decode(query, NoisySum(request, kept, deviation))
            return
        aggregate = self.aggregator.aggregate(request, cohort)
        self._decode(query, NoisySum(request, aggregate.noisy, deviation))
        self._show(aggregate)
        checkpoint = query.checkpoint(self.state)
        if checkpoint is None:
            self.kept.save_answer(f"{query.name}/{number}", aggregate.noisy)
        else:
            self.kept.save_checkpoint(query.name, number, checkpoint)

    def _decode(self, query: Query, noisy: NoisySum) -> None:
        found = query.decode(self.state, noisy)
        if found is not None:
            self.state.results[query.name] = found

    def _rows_in_a_sum(self, query: Query) -> int:
        """Most rows in one sum. Where devices hold several users, a few of them may hold nearly all."""
        users, size = self.devices.users, self.devices.size
        rows = query.rows(self.config, users)
        return rows // size * self.sampler.most if query.sampled and users == size else rows

    def _show(self, aggregate: NoisyAggregate) -> None:
        spent = self.aggregator.spent(aggregate.request)
        self.observe(
            RoundEvent(
                aggregate.request,
                aggregate.seconds,
                aggregate.opened,
                aggregate.asked,
                spent,
                self.state.model,
                self.state.collaborative,
                self.state.read,
                aggregate.noisy,
            )
        )

    def _result(self, stopped: str | None) -> RunResult:
        state = self.state
        with self.aggregator.accounting():
            costs = tuple(self.ledger.costs())
            if state.stopping.early:
                costs = tuple(claimed(tuple(self.aggregator.costs.values()), costs))
            kept = {"head": self.ledger.head, "rows": len(self.ledger), "users": self.devices.users}
        return RunResult(
            state.settled,
            state.model,
            state.released(),
            costs,
            state.read,
            state.results,
            stopped,
            kept,
            self.aggregator.accounting_seconds,
            state.stopping.facts(),
        )
