"""What a user wrote, or photographed, out of an update: gradient inversion of a note or a photo that was planted."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.audit.attacks.figures import wilson
from fedrec.audit.attacks.inversion import InvertedContent, invert_content, same_content
from fedrec.config import Config
from fedrec.console import Reporter
from fedrec.errors import ContentError
from fedrec.simulation.attacks.interactions import supposed_user
from fedrec.simulation.attacks.result import AttackResult, Defence
from fedrec.simulation.attacks.victims import choose_victims
from fedrec.simulation.attacks.world import AttackedTraining, defended, training_only
from fedrec.simulation.study import Study
from fedrec.users import OwnContent

PrivateModality = Literal["text", "image"]


@dataclass(frozen=True)
class InversionAttack:
    """Every user has one private note (or photo), the text (or picture) of a random item; the adversary looks for it.

    Args:
        name: as `result.Attack` says.
        modality: "text" for notes, "image" for photos.
        victims: how many updates are inverted (a sum is inverted once, and what is found compared with all users').
        steps: of gradient matching.
        least: events of a victim.
    """

    name: str
    modality: PrivateModality
    paper: str = "Zhu et al. 2019, Deep Leakage from Gradients; Geiping et al. 2020, Inverting Gradients"
    victims: int = 16
    steps: int = 250
    least: int = 4

    def run(self, study: Study, config: Config, defence: Defence, *, seed: int, reporter: Reporter) -> AttackResult:
        """How often the content found first is the victim's, out of all that the catalogue has.

        Raises:
            ContentError: the catalogue lacks the modality as plain features.
        """
        started = time.perf_counter()
        rng = np.random.default_rng([seed, 6])
        features, places = self._candidates(study)
        planted = rng.choice(len(places), len(study.population))
        training = self._training(study, defended(config, defence, seed=seed), features[planted])
        plain = defence == "plain"
        people = choose_victims(study.population, self.victims if plain else len(planted), self.least, rng)
        whole = None if plain else self._invert(training, training.opened(None, 1), features)
        right, near = 0, []
        for done, user in enumerate(people):
            found = whole or self._invert(training, training.update(int(user), 1), features)
            truth = features[planted[user]].astype(np.float64)
            right += same_content(features, int(found.weights.argmax()), int(planted[user]))
            near.append(float(found.feature @ truth) / max(float(np.linalg.norm(truth)), 1e-12))
            reporter.progress(done + 1, len(people), "victims")
        figure = wilson(right, len(people))
        saw = "one update of the victim" if plain else "the sum over all devices, with the noise of the defence"
        note = f"sees {saw}; picks one of {len(places)}; mean cosine of the feature found {np.mean(near):.2f}"
        seconds = time.perf_counter() - started
        chance = 1 / len(places)
        return AttackResult(
            self.name, defence, "success", figure.value, figure.low, figure.high, chance, len(people), seconds, note
        )

    def _candidates(self, study: Study) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The catalogue's features of the modality where there are any, and whose they are."""
        values = study.features.values.get(self.modality)
        if values is None or values.ndim != 2 or values.dtype != np.float32:
            raise ContentError(
                f"the attack {self.name} needs {self.modality} as plain features",
                action="Use an encoder that gives a vector an item, or leave this attack out",
            )
        places = np.flatnonzero(study.features.present[self.modality])
        return values[places], places

    def _training(self, study: Study, config: Config, planted: NDArray[np.float32]) -> AttackedTraining:
        text = self.modality == "text"
        model = config.model.model_copy(update={"notes": text, "photos": not text})
        pieces = OwnContent(np.arange(len(planted) + 1), planted)
        people = replace(study.population, notes=pieces if text else None, photos=None if text else pieces)
        return AttackedTraining(training_only(config.model_copy(update={"model": model})), study, people)

    def _invert(
        self, training: AttackedTraining, seen: NDArray[np.float64], features: NDArray[np.float32]
    ) -> InvertedContent:
        supposed = supposed_user(training, {self.modality: torch.from_numpy(features)})
        return invert_content(supposed, seen, steps=self.steps)[self.modality]


NOTE = InversionAttack("inversion-text", "text")
PHOTO = InversionAttack("inversion-picture", "image")
ATTACKS = (NOTE, PHOTO)
