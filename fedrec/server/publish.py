"""From the outcome of a run to the contents of a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fedrec.config import Config
from fedrec.privacy.simulated import about
from fedrec.queries.plan import choice_of_sums
from fedrec.release.card import CardFacts, model_card
from fedrec.release.contents import ModelState, ReleaseContents
from fedrec.release.requires import requirements_of
from fedrec.server.results import RunResult

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender


def contents_of(
    config: Config,
    encoders: Mapping[str, bytes],
    outcome: RunResult,
    privacy: Mapping[str, Any],
    *,
    quality: Mapping[str, Any],
    data: Mapping[str, Any],
    exact_quality: bool = False,
    warnings: Sequence[str] = (),
) -> ReleaseContents:
    """What a device needs to rank for itself, and what it may know about how it was made.

    ``encoders``: saved encoders by modality.  ``quality``: as measured, or empty where nothing was.
    ``exact_quality``: whether it is a simulator's, and no private sum's.  ``warnings``: what the card says first; of a
    private run of public facts and paid sums only.
    """
    model, requires = outcome.model, requirements_of(config)
    shared, state = (0, None) if model is None else _shared(model, config)
    privacy = {**about(config.run.reproducible, privacy.get("noise_place")), **privacy}
    facts = CardFacts(
        name=config.run.name,
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        data=data,
        model={
            "preset": config.model.preset,
            "modalities": list(outcome.features.values if model is None else model.modalities),
            "parameters_shared": shared,
            **_chosen(outcome),
        },
        quality=quality,
        exact_quality=exact_quality,
        warnings=warnings,
        privacy=privacy,
        aggregation={"protocol": config.secure_aggregation.protocol},
        limits=(*_limits(config, outcome), *(f"It can be used only where there is the {need}" for need in requires)),
    )
    return ReleaseContents(
        name=config.run.name,
        items=outcome.features,
        model=state,
        collaborative=outcome.collaborative,
        encoders=encoders,
        config=released_settings(config),
        privacy=privacy,
        card=model_card(facts),
        requires=requires,
    )


def _shared(model: Recommender, config: Config) -> tuple[int, ModelState]:
    """How many numbers a model is, and what a release stores of it."""
    # Here, since a run without a tower needs no torch, which takes seconds to import.
    from fedrec.model import parameters
    from fedrec.release.model_state import state_of

    return parameters.count(model), state_of(model, vocabulary=config.content.text.vocabulary)


def _chosen(outcome: RunResult) -> dict[str, str]:
    """What the devices chose, and why: it is of a sum that was paid for."""
    found = choice_of_sums(outcome.results)
    return {} if found is None else {"chosen by the devices": found["chosen"], "because": found["reason"]}


def released_settings(config: Config) -> dict[str, Any]:
    """The settings of a run as its release has them: without the seed, from which a simulation's noise can be made."""
    tree = config.model_dump(mode="json")
    del tree["run"]["seed"]
    return tree


def _limits(config: Config, outcome: RunResult) -> Iterator[str]:
    if outcome.stopped is not None:
        yield f"The run ended early: {outcome.stopped}"
    if outcome.validation is not None and outcome.validation["stopped_early"]:
        yield (
            f"Training ended after {outcome.validation['rounds'][-1]} rounds, when private validation found nothing "
            f"better than after round {outcome.validation['best_round']}; what is claimed is the cost of all rounds"
        )
    if config.run.reproducible and outcome.costs:
        yield (
            "The noise was derived from the run's seed, so whoever knows or guesses that can take it off again: it is "
            "the outcome of a simulation and must not be shipped as private"
        )
