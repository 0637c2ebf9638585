"""Query ``selection``: which way of reading the paid sums the devices rank best with; tuning inside epsilon.

Candidates are made of the same opened sums, so making them costs nothing, and what is asked is one sum over all users.

*What leaves*: K numbers a user, one a candidate: the expected NDCG@10 of the own held-out item, which takes part in no
other sum but those of ``validation`` and ``metrics``, among 99 others drawn from all items that the user did not touch
(in closed form, so nothing is drawn).  Each is taken as how far it is from the default's, by ``clip`` / 2 at most;
they are centred over the candidates, since what all have in common says nothing, and brought to the length ``clip``
where they are longer.  A user without a held-out item adds zeros.
*What it costs*: the part's L2 norm is ``clip`` at most, and that is what a user moves the sum by.  One interaction may
change the history, or which item is held out, and so every number: it moves a part from anywhere in the ball to
anywhere else, by 2 ``clip`` at most.
*Who checks it*: the sums are the server's to say; of what form and size, and that every candidate scores any history,
a device checks. The candidates stand in the settings that both sides have.
*What is made of it*: the noisy mean advantage of each candidate and a choice, see `fedrec.collaborative.choice`. The
run goes on with the settings of the chosen one, and so does its release.

*What devices get*: the sums themselves, once (`fedrec.queries.paid_sums`), and read them K times; K tables would be
many times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fedrec.collaborative.choice import Choice, choose
from fedrec.collaborative.combined_choice import combined
from fedrec.config import Config
from fedrec.config.selection import changed_keys, topics_of
from fedrec.content.feature_table import Features
from fedrec.queries import paid_sums
from fedrec.queries.model_update import accepted_model
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import NoisySum, Query, Stage
from fedrec.queries.request import Broadcast, Request
from fedrec.queries.run_state import RunState


@dataclass(frozen=True)
class Selected:
    """The choice; which candidates rank everybody alike, by popularity; and what a device got for it, in bytes."""

    choice: Choice
    impersonal: tuple[str, ...]
    bytes_down: int


class Selection(Query):
    """Shared half; the device's is `fedrec.queries.device.selection`."""

    name = "selection"
    encoder = "fedrec.queries.device.selection:SelectionEncoder"
    default_share = 0.05
    stage = Stage.FINAL
    chooses_settings = True

    def rounds(self, config: Config) -> range:
        """Once, as round 0, where ``collaborative.selection`` has candidates."""
        return range(int(config.collaborative.selection.asked))

    def place(self, config: Config, round_number: int) -> tuple[int, ...]:
        """Before all that is about the finished model."""
        return (-1, round_number)

    def broadcast(self, state: RunState, round_number: int) -> Broadcast:
        """The paid sums and, where there is one, the tower."""
        columns = state.config.collaborative.selection.content_columns
        return Broadcast({**paid_sums.arrays_of(state.sums, columns), **state.tower_arrays()})

    def accepted(self, config: Config, request: Request, features: Features) -> Broadcast:
        """Sums of the form that these settings lead to, and the model where there is a tower.

        Raises:
            ProtocolError: an array is missing, or of another shape or type.
        """
        arrays = dict(paid_sums.accepted(config, request, len(features)))
        return Broadcast(arrays | (accepted_model(config, request, len(features)) if config.model.tower else {}))

    def sum(self, config: Config, said: Broadcast, rows: int, features: Features) -> PrivateSum:
        """One element a candidate, of norm ``clip`` a user."""
        settings, example = config.collaborative.selection, config.privacy.unit == "example"
        return PrivateSum.of(
            self.name,
            len(settings.candidates),
            settings.clip,
            rows,
            resolution_bits=config.secure_aggregation.resolution_bits,
            limit=most_of_one(settings.clip, len(settings.candidates)),
            moves=2 * settings.clip if example else 0.0,
        )

    def decode(self, state: RunState, noisy: NoisySum) -> Selected:
        """The choice, by which ``state`` is settled: its settings, and the sums read anew."""
        collaborative = state.config.collaborative
        settings = collaborative.selection
        candidates = {name: collaborative.candidate(name) for name in settings.candidates}
        choice = choose(
            noisy.vector / state.users,
            noisy.deviation / state.users,
            {name: one.model_dump(mode="json") for name, one in candidates.items()},
            settings.default,
            caution=settings.caution,
        )
        if settings.combine:
            alone = [name for name, tree in settings.candidates.items() if len(changed_keys(tree)) != 1]
            topics = {name: topics_of(tree) for name, tree in settings.candidates.items()}
            sampling = settings.clip * math.sqrt(2 / (len(candidates) * state.users))
            choice = combined(choice, topics, alone, sampling=sampling)
        state.settle(choice.chosen)
        impersonal = tuple(name for name, one in candidates.items() if not one.scoring.personal)
        return Selected(choice, impersonal, sum(array.nbytes for array in noisy.request.arrays.values()))

    def choice(self, result: Selected) -> dict[str, Any]:
        """The chosen candidate, all of them with their noisy advantages in clipped NDCG@10 a user, and why."""
        choice = result.choice
        rows = [
            {"name": name, "advantage": value, "noise": choice.noise, "smoothed": choice.smoothed[name]}
            for name, value in choice.advantages.items()
        ]
        return {
            "chosen": choice.chosen,
            "default": choice.default,
            "candidates": rows,
            "margin": choice.margin,
            "bytes_down": result.bytes_down,
            "reason": choice.reason,
        }

    def warnings(self, result: Selected) -> Sequence[str]:
        """Where what is personal does not beat popularity, by the devices' own word."""
        choice, level = result.choice, _best(result.choice.smoothed, result.impersonal)
        if level is None:
            return ()
        if choice.chosen in result.impersonal:
            return (
                f"the devices were asked, and ranking by popularity ({choice.chosen}) does best on what they hold out: "
                "the release ranks everybody alike",
            )
        ahead, noise = choice.over(level), choice.deviations[level]
        if ahead > noise:
            return ()
        return (
            f"the devices were asked, and {choice.chosen} is better than popularity by {ahead:.4f} in clipped "
            f"NDCG@10 a user, known to {noise:.4f} only: it is not known to beat popularity",
        )


def most_of_one(clip: float, candidates: int) -> float:
    """Most that one of a user's numbers is: centred ones of norm ``clip`` are at most clip sqrt((K - 1) / K)."""
    return clip * math.sqrt((candidates - 1) / candidates)


def _best(advantages: Mapping[str, float], names: Sequence[str]) -> str | None:
    return max(names, key=lambda name: advantages[name], default=None)


SELECTION: Final = Selection()
