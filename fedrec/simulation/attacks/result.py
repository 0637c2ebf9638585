"""What an attack is here, and what it reports: one figure with its confidence interval for one defence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.simulation.study import Study

Defence = Literal["plain", "secagg", "user-dp-8", "user-dp-1"]

# plain: the server gets each device's contribution as it is (federated averaging). secagg: it gets the sum over the
# cohort. user-dp-E: it gets that sum with the noise of user-level differential privacy of epsilon E.
DEFENCES: Final[tuple[Defence, ...]] = ("plain", "secagg", "user-dp-8", "user-dp-1")


@dataclass(frozen=True)
class AttackResult:
    """How far one attack got against one defence.

    Args:
        attack: its name, ``Attack.name``.
        defence: what stood against it.
        metric: what ``value`` is: "AUC", "success", "exposure@10", ...
        value: the figure, with ``low`` and ``high`` the ends of its 95% confidence interval.
        chance: the figure of an adversary who sees nothing; None where there is no such figure.
        trials: how many victims, targets or runs the figure is over.
        seconds: how long it took.
        note: what the adversary saw, in a sentence.
    """

    attack: str
    defence: Defence
    metric: str
    value: float
    low: float
    high: float
    chance: float | None
    trials: int
    seconds: float
    note: str


class Attack(Protocol):
    """A module of this folder exposes one as ``ATTACK``."""

    @property
    def name(self) -> str:
        """A short name, as written on the command line."""

    @property
    def paper(self) -> str:
        """Authors, year and title of what it follows."""

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """Attack a federation over ``study`` with the model and training of ``config`` behind ``defence``.

        The privacy section of ``config`` is replaced by what ``defence`` says. The same seed gives the same figure.
        """
