"""Devices behind a Flower grid whose contributions are masked: the server opens sums over many, nothing else."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from flwr.serverapp import Grid

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.run_plan import share_of
from fedrec.queries.cohorts import are_public, cohort_key, public_cohort
from fedrec.queries.registry import QUERIES
from fedrec.queries.request import Request
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.secure_wire import Exchange, Invitation, thresholds_of
from fedrec.queries.wire import Envelope
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.server.attempts import OPENED_AND_LOST, AttemptCounter
from fedrec.server.exclusions import Exclusions
from fedrec.server.flower_devices import FlowerDevices, group_of
from fedrec.server.node_places import NodePlaces
from fedrec.server.results import AggregateResult
from fedrec.server.secure_attempt import Attempt
from fedrec.server.stragglers import StragglerPolicy, floor_of
from fedrec.thread_settings import threads_here

_log = logging.getLogger(__name__)
# Attempts that fail so were spoiled by a device when its sum was being opened.
_LIES: Final = (Reason.FALSE_SHARES, Reason.BAD_RECEIPT)


class SecureDevices(FlowerDevices):
    """The nodes of a grid, asked by secure aggregation.

    Args:
        roster: of the devices behind the nodes, as the devices know it.
        config: the run's settings, as the devices know them.
        manifest: what the publisher signed, whose digest names the run; None in simulations, named by Flower's run id.
        grid, nodes, catalogue, users, policy, window: as of `FlowerDevices`; ``policy`` is for one exchange.

    ``exclusions``: devices that are not asked any more, for what they did.  ``before_masking``: see `MaskedDevices`.

    ``tally``: as of `FlowerDevices`; a device that is left out counts under the reason the protocol names, or under
    "silent", "refused", "failed".  ``aborted`` counts the attempts at the last request that gave no sum, by reason;
    it travels with the sum, too.  ``attempts``: numbers them, over restarts (`AttemptCounter.keep_in`).

    Raises:
        ConfigError: there are fewer nodes than a device wants in a cohort, or too few to be safe.
    """

    def __init__(
        self,
        grid: Grid,
        nodes: Sequence[int],
        *,
        catalogue: str,
        roster: Roster,
        config: Config,
        users: int = 0,
        policy: StragglerPolicy | None = None,
        window: int = 128,
        manifest: RunManifest | None = None,
    ) -> None:
        settings = config.secure_aggregation
        dropout = settings.dropout
        super().__init__(grid, nodes, catalogue=catalogue, users=users, policy=policy, dropout=dropout, window=window)
        self.roster, self.settings = roster, settings
        self.thresholds = thresholds_of(settings, len(roster.devices))
        self.config, self.cohort_key = config, cohort_key(config, manifest)
        self.run = str(grid.run.run_id) if manifest is None else manifest.digest
        self.places = NodePlaces(nodes, roster)
        self._users = users or len(roster.devices)
        self.attempts = AttemptCounter()
        self.aborted: Counter[str] = Counter()
        self.before_masking: Callable[[], None] = lambda: None
        self.exclusions = Exclusions()
        if len(self.nodes) < self.thresholds.cohort:
            raise ConfigError(
                f"devices take part in cohorts of at least {self.thresholds.cohort}",
                value=len(self.nodes),
                action="Have more devices, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
            )
        try:
            self.thresholds.check_safe(len(roster.devices))
            self.thresholds.check_safe(self._least_asked())
        except RefusedError as error:
            raise ConfigError(error.what, value=error.value, action=error.action) from None

    def _least_asked(self) -> int:
        """About how many devices the smallest sampled cohort has; samples of varying size are asked down to a floor."""
        if are_public(self.config):
            return max(2, round(share_of(self.config, self.size) * self.size))
        return min(self.size, self.thresholds.cohort)

    @property
    def size(self) -> int:
        """How many devices the roster lists; a place in a cohort is a place in the roster."""
        return len(self.roster.devices)

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """Put a request to the devices at these places, and open the sum over those who see it through.

        A round that failed is asked again, as another attempt under a fresh session, without those that are known to
        have spoiled it.  A sampled cohort that no device would take part in is not asked: its sum is over nobody.

        A training round that devices have helped to open and that gave no sum, because of a device's lie or because
        the server was cut off, is over nobody, too: no device opens it again.

        Raises:
            AggregationFailedError: every attempt failed, the sum was opened and lost, or so many devices are excluded
                that the others would refuse; says why.
        """
        self.tally, self.aborted = Counter(), Counter()
        self.exclusions.begin()
        if len(cohort) < self.thresholds.cohort:
            self.tally[Reason.SMALL_COHORT.value] = len(cohort)
            return AggregateResult(np.zeros(request.sum.length), 0, 0, reason=Reason.SMALL_COHORT.value)
        for _ in range(self.settings.attempts):
            attempt = self.attempts.begin(request)
            try:
                return self._attempt(request, self._asked(request, cohort), len(cohort), attempt)
            except RoundAbortedError as error:
                self.aborted[error.reason.value] += 1
                _log.warning("%s, round %d, attempt %d: %s", request.query, request.round, attempt, error)
                if error.reason in _LIES:
                    self.exclusions.suspected(error.devices)
                    break  # All others have helped to open the sum, and will not do so again.
                if self.exclusions.counts and not self.attempts.may_be_open(request):
                    self.exclusions.forgive()
        if self.attempts.may_be_open(request):
            return self._lost(request)
        raise self._failed(request, "every attempt failed", self._advice(len(cohort)))

    def _asked(self, request: Request, cohort: Sequence[int]) -> list[int]:
        """The nodes of a cohort without the excluded ones, those that were silent last."""
        floor = floor_of(len(cohort), self.dropout, self.thresholds.cohort)
        nodes = self._without_excluded(cohort)
        if len(nodes) < floor:
            self.exclusions.forgive()
            nodes = self._without_excluded(cohort)
        if len(nodes) < floor:
            what = f"{len(cohort) - len(nodes)} of {len(cohort)} devices are excluded, and devices insist on {floor}"
            raise self._failed(request, what, self._advice(len(cohort)))
        return self.silence.reliable_first(nodes)

    def _without_excluded(self, cohort: Sequence[int]) -> list[int]:
        nodes = self.places.nodes(cohort, public=are_public(self.config))
        return [node for node in nodes if self.places.device(node) not in self.exclusions]

    def _advice(self, asked: int) -> str:
        """What to do about a sum that cannot be opened."""
        missing = self.tally.total() - self.tally["sum"] + self.exclusions.counts.total()
        if missing > self.dropout * asked:
            wanted = min(0.99, missing / asked + 0.005)
            return (
                f"{missing} of {asked} devices are excluded, silent or bad, more than secure_aggregation.dropout = "
                f"{self.dropout:g} allows for: set it to {wanted:.2f} on devices and server, or replace these devices"
            )
        return "Look into a device's log; start again with the same output directory, and the run goes on"

    def _failed(self, request: Request, why: str, action: str) -> AggregationFailedError:
        excluded = self.exclusions.counts
        return AggregationFailedError(
            f"no sum for {request.query}, round {request.round}: {why}",
            self.aborted,
            excluded=excluded,
            value={"aborted": dict(self.aborted), "devices": dict(self.tally), "excluded": dict(excluded)},
            action=action,
        )

    def _lost(self, request: Request) -> AggregateResult:
        """What becomes of a sum that cannot be had any more: a training round is over nobody, and the run goes on."""
        why = "devices have helped to open it once, and none does so again"
        if QUERIES[request.query].sampled:
            _log.warning("%s, round %d, is over nobody: %s", request.query, request.round, why)
            return AggregateResult(
                np.zeros(request.sum.length), 0, 0, dict(self.aborted), OPENED_AND_LOST, self.exclusions.counts
            )
        action = "Have another manifest signed, with a higher counter, and begin again in another directory"
        raise self._failed(request, why, action)

    def _attempt(self, request: Request, nodes: Sequence[int], size: int, number: int) -> AggregateResult:
        """Go through the protocol, step by step.

        ``nodes``: who is asked, of a cohort of ``size``.  ``number``: of the attempt, from 0.
        """
        invitation = Invitation(Envelope(request, secrets.token_hex(16), self.catalogue), number)
        roster, workers = self.roster, threads_here()
        eligible = public_cohort(self.config, request, len(roster.devices), self.cohort_key)
        agreed = invitation.agreed(self.run, roster.digest, self.cohort_key, eligible)
        thresholds = self.thresholds.for_noise(request.sum.survivors, request.sum.devices)
        current = ServerRound(agreed, roster, thresholds, workers=workers)
        least = floor_of(size, self.dropout, thresholds.least_cohort(size if eligible is None else len(eligible)))
        running = Attempt(self.dispatcher, current, group_of(request), least, self.silence, self.exclusions)
        try:
            running.invite(invitation, nodes)
            running.pass_on(Exchange.SHARE, current.close_advertise())
            running.pass_on(Exchange.CHECK, current.close_share())
            views = current.close_check()
            running.leave_out(current.left_out)
            self.before_masking()
            running.pass_on(Exchange.MASK, views)
            running.pass_on(Exchange.CONFIRM, current.close_masked())
            certificates = current.close_confirm()
            self.attempts.opening()
            running.pass_on(Exchange.UNMASK, certificates)
            opened = current.close_unmask()
        finally:
            self.tally = running.tally()
            self.silence.note(running.answered, running.silent)
            self.exclusions.proved(current.caught)
            self.places.learn(running.devices)
        self.tally = running.tally(opened)
        if len(opened.survivors) < size:
            _log.warning("%s, round %d: %s", request.query, request.round, dict(self.tally))
        vector, count = request.sum.open(opened.total), len(opened.survivors)
        return AggregateResult(
            vector, count, running.bytes_up(opened), dict(self.aborted), excluded=self.exclusions.counts
        )
