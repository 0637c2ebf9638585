"""What every mechanism owes: the noise it declares, no less and no more, from the key alone, at the cost it declares.

Statistical tests have fixed keys, so they pass or fail for good; their margins are of chances below one in a million.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec import randomness
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, delta, epsilon
from fedrec.privacy.mechanism import Mechanism, RoundNoise
from fedrec.privacy.registry import MECHANISMS, declared

Array = NDArray[np.float64]
_RESOLUTION = 2.0**-12
_STEPS = 4096.0  # of the deviation of correlated noise
_DRAWS = 100_000
_ROUNDS, _TURNS, _LENGTH = 8, 4, 20_000
_MARGIN = math.sqrt(math.log(2e7) / (2 * _DRAWS))  # Dvoretzky, Kiefer and Wolfowitz, with Massart's constant


class MechanismContract:
    """What a mechanism owes: `fedrec.privacy.mechanism.Mechanism` as tests.

        class TestMine(MechanismContract):
            mechanism = "mine"

    ``mechanism``: the name that it is registered under.  ``noise_multiplier``: at which it is tested; choose one at
    which its cost is neither near nothing nor near everything.

    That no attack beats what is declared is tried with two attacks, on one element and on sixteen: it finds noise of
    two thirds of the size, and noise that does not fit the norm, but no test proves a mechanism private.
    """

    mechanism: ClassVar[str]
    noise_multiplier: ClassVar[float] = 1.0

    def built(self, noise_multiplier: float | None = None, sensitivity: float = 1.0) -> Mechanism:
        """One of these on a fine grid."""
        return MECHANISMS[self.mechanism](noise_multiplier or self.noise_multiplier, sensitivity, _RESOLUTION)

    def cost(self, noise_multiplier: float, rounds: int = 1) -> QueryCost:
        """Of so many rounds in which every row takes part."""
        return QueryCost("training", noise_multiplier, rounds, mechanism=declared(self.mechanism))

    def test_noise_is_whole_steps_and_the_key_decides_it(self) -> None:
        mechanism, key, other = self.built(), randomness.key(1, "contract"), randomness.key(2, "contract")
        noise = mechanism.noise(key, 1000)
        assert noise.shape == (1000,) and noise.dtype == np.float64 and np.isfinite(noise).all()
        assert np.array_equal(noise / _RESOLUTION, np.rint(noise / _RESOLUTION)), "noise lies between the grid's steps"
        assert np.array_equal(mechanism.noise(key, 1000), noise), "one key gives two noises"
        assert not np.array_equal(mechanism.noise(other, 1000), noise), "two keys give one noise"
        assert mechanism.noise(key, 0).shape == (0,)

    def test_elements_and_keys_are_independent(self) -> None:
        mechanism = self.built()
        one, other = (mechanism.noise(randomness.key(n, "contract"), _DRAWS) for n in (1, 2))
        bound = 6 / math.sqrt(_DRAWS)
        for left, right in ((one, other), (one[1:], one[:-1]), (one[::2], one[1::2])):
            assert abs(float(np.corrcoef(left, right)[0, 1])) < bound * math.sqrt(2)
        assert abs(float(one.mean())) < bound * mechanism.standard_deviation

    def test_the_declared_deviation_is_the_real_one(self) -> None:
        """Two thirds of the noise protect less than is said, three halves cost more than is said."""
        mechanism = self.built()
        squares = (mechanism.noise(randomness.key(3, "contract"), _DRAWS) / mechanism.standard_deviation) ** 2
        spread = float(squares.std()) / math.sqrt(_DRAWS)
        assert abs(float(squares.mean()) - 1) < 6 * spread + 1e-3, "noise is of another size than is declared"

    def test_noise_grows_with_the_multiplier_and_the_sensitivity(self) -> None:
        z, one = self.noise_multiplier, self.built()
        assert self.built(3 * z).standard_deviation > one.standard_deviation
        assert self.built(z, 5.0).standard_deviation == pytest.approx(5 * one.standard_deviation)

    def test_no_attack_beats_what_is_declared(self) -> None:
        """For events E of the noisy sum, P(E) <= e^epsilon Q(E) + delta, with one row replaced by nothing."""
        for length in (1, 16):
            there, gone, moved = self._neighbours(length)
            middle = moved / 2
            for one, other in ((there, gone), (np.sign(there - middle), np.sign(gone - middle))):
                seen, missed = one.sum(1), other.sum(1)
                for more, less in ((seen, missed), (missed, seen), (-seen, -missed), (-missed, -seen)):
                    self._check_event(more, less, length)

    def _neighbours(self, length: int) -> tuple[Array, Array, float]:
        """Noisy sums [draws, length] with a row and without, and by how much the row moves each element."""
        mechanism = self.built()
        apart = {"l2": 1 / math.sqrt(length), "l1": 1 / length}[mechanism.norm]
        moved = math.floor(mechanism.sensitivity * apart / _RESOLUTION) * _RESOLUTION
        keys = [randomness.key(n, "contract", length) for n in (4, 5)]
        there, gone = (mechanism.noise(key, _DRAWS * length).reshape(_DRAWS, length) for key in keys)
        return there + moved, gone, moved

    def _check_event(self, more: Array, less: Array, length: int) -> None:
        """The largest P(s > t) - e^epsilon P'(s > t) over all t, against delta at epsilon."""
        thresholds = np.quantile(np.concatenate([more, less]), np.linspace(0, 1, 400))
        above = [1 - np.searchsorted(np.sort(s), thresholds, side="right") / _DRAWS for s in (more, less)]
        for asked in (0.0, 0.5, 1.0, 2.0):
            beaten = float((above[0] - math.exp(asked) * above[1]).max()) - _MARGIN * (1 + math.exp(asked))
            allowed = delta([self.cost(self.noise_multiplier)], asked)
            assert beaten <= allowed, f"more is learned from {length} elements than the declared event allows"

    def test_more_noise_costs_less_and_rounds_cost_more(self) -> None:
        z = self.noise_multiplier
        costs = [epsilon([self.cost(z * factor)], 1e-5) for factor in (0.5, 1.0, 2.0, 8.0)]
        assert costs == sorted(costs, reverse=True) and costs[-1] < costs[0] < math.inf
        assert epsilon([self.cost(z)], 1e-5) < epsilon([self.cost(z, 4)], 1e-5) < math.inf

    def test_a_norm_is_never_understated(self) -> None:
        kind = MECHANISMS[self.mechanism]
        for length in (1, 7, 400):
            row = np.random.default_rng(length).normal(size=length)
            order = {"l1": 1, "l2": 2}[kind.norm]
            assert kind.moved_by(float(np.linalg.norm(row)), length) >= np.linalg.norm(row, order) * (1 - 1e-12)

    @pytest.mark.parametrize(
        "build",
        [
            lambda kind: kind(0.0, 1.0, _RESOLUTION),
            lambda kind: kind(math.nan, 1.0, _RESOLUTION),
            lambda kind: kind(1.0, -1.0, _RESOLUTION),
            lambda kind: kind(1.0, 1.0, 0.3),
            lambda kind: kind(1.0, 1.0, _RESOLUTION).noise(b"short", 1),
            lambda kind: kind(1.0, 1.0, _RESOLUTION).noise(bytes(32), -1),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, build: Callable[[type[Mechanism]], object]) -> None:
        with pytest.raises(PrivacyError):
            build(MECHANISMS[self.mechanism])

    def test_correlated_rounds_are_the_same_in_any_order(self) -> None:
        stream = self._rounds()
        rounds = [stream.of(number, 50, _STEPS) for number in range(1, _ROUNDS + 1)]
        for number in (5, 5, 2, _ROUNDS, 1):
            assert np.array_equal(stream.of(number, 50, _STEPS), rounds[number - 1])
            assert np.array_equal(self._rounds().of(number, 50, _STEPS), rounds[number - 1])

    def test_correlated_rounds_cost_what_independent_ones_do(self) -> None:
        """The Mahalanobis length of what a row's turns move is at most, and nearly, the root of their number."""
        if not MECHANISMS[self.mechanism].gaussian:
            pytest.skip("only Gaussian noise is told by its covariance")
        stream = self._rounds()
        rounds = np.stack([stream.of(number, _LENGTH, _STEPS) for number in range(1, _ROUNDS + 1)]) / _STEPS
        precision = np.linalg.inv(rounds @ rounds.T / _LENGTH)
        longest = max(float(pattern @ precision @ pattern) for pattern in _patterns())
        slack = 6 * math.sqrt(2 * _ROUNDS / _LENGTH)
        assert longest <= _TURNS * (1 + slack), "a row's turns are worth more than is accounted"
        assert longest >= 0.7 * _TURNS, "there is more noise than is accounted"

    def _rounds(self) -> RoundNoise:
        kind = MECHANISMS[self.mechanism]
        if not kind.correlated:
            pytest.skip("rounds of this mechanism are independent")
        apart, name = _ROUNDS // _TURNS, declared(self.mechanism)
        cost = QueryCost("training", 1.0, _ROUNDS, "cyclic", 1 / apart, apart, name)
        stream = kind.over_rounds(cost, 0, lambda number: randomness.key(number, "contract"))
        assert stream is not None, "a correlated mechanism draws over rounds"
        return stream


def _patterns() -> Iterator[Array]:
    """How a row may move its turns, each by 1 up or down."""
    apart = _ROUNDS // _TURNS
    for turns in itertools.combinations(range(_ROUNDS), _TURNS):
        if all(later - earlier >= apart for earlier, later in itertools.pairwise(turns)):
            for signs in itertools.product((1.0, -1.0), repeat=_TURNS):
                pattern = np.zeros(_ROUNDS)
                pattern[list(turns)] = signs
                yield pattern
