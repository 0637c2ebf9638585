"""From a catalogue through features, a release and back to a ranking: what a device does, with the real parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import CollaborativeSettings, Config, ContentSettings, FoldInSettings, ScoringSettings, TextSettings
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import Features, build_features
from fedrec.content.registry import AnyEncoder, encoder_to_bytes
from fedrec.data.schema import ItemRecord
from fedrec.model.recommender import Recommender
from fedrec.ranking.explain import explain
from fedrec.ranking.score import Scorer
from fedrec.ranking.topk import id_order, top_k, without_seen
from fedrec.release import content_state
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.model_state import recommender, state_of
from fedrec.users import Histories, OwnContent, UserBatch

CONTENT = ContentSettings(modalities=("text", "attributes"), text=TextSettings(dimension=8, vocabulary=128))
CONFIG = Config.model_validate(
    {"model": {"dimension": 8, "notes": True}, "collaborative": {"scoring": {"weight": 0.3, "popularity_weight": 0.1}}}
)
SEA = ("a ship at sea", "the sea and the harbour", "sailors on a ship", "a storm at sea")
SPACE = ("a rocket to the moon", "the moon and the stars", "astronauts in a rocket", "stars far away")


@pytest.fixture(scope="module")
def made() -> tuple[Features, dict[str, AnyEncoder]]:
    items = [
        ItemRecord(id=f"{kind}{n}", title=f"{kind} {n}", text=text, attributes={"genres": (kind,)})
        for kind, texts in (("sea", SEA), ("space", SPACE))
        for n, text in enumerate(texts)
    ]
    return build_features(Catalogue.of(items), CONTENT)


@pytest.mark.parametrize("fold_in", [False, True])
def test_a_release_ranks_as_what_was_released(
    made: tuple[Features, dict[str, AnyEncoder]], fold_in: bool, tmp_path: Path
) -> None:
    features, encoders = made
    settings = CONFIG.collaborative.model_copy(update={"fold_in": FoldInSettings(weight=0.5) if fold_in else None})
    config = CONFIG.model_copy(update={"collaborative": settings})
    model = Recommender(CONFIG.model, features.shapes, seed=1, temperature=0.1)
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2, 8, 3)).astype(np.float32)
    table = CollaborativeFactors(
        history=factors[0],
        candidate=factors[1],
        popularity=rng.random(8).astype(np.float32),
        factors=rng.normal(size=(8, 4)).astype(np.float32) if fold_in else None,
    )
    given = ReleaseContents(
        name="shop",
        items=features,
        model=state_of(model),
        collaborative=table,
        encoders={modality: encoder_to_bytes(one) for modality, one in encoders.items()},
        config=config.model_dump(mode="json"),
    )
    key = SigningKey.fresh()
    write_release(tmp_path / "r", given, key=key)
    read = read_release(tmp_path / "r", trusted_key=key.public).contents
    assert read.model is not None
    before = Scorer(model=model, features=features, collaborative=table, settings=settings, model_settings=CONFIG.model)
    after = Scorer(
        model=recommender(read.model),
        features=read.items,
        collaborative=read.collaborative,
        settings=Config.model_validate(read.config).collaborative,
        model_settings=read.model.settings,
    )
    histories = Histories.of([[0, 1], [], [6]])
    told = "a rocket among the stars"
    notes = [
        OwnContent.of([e.encode([told]).values] * 3) for e in (encoders["text"], content_state.encoders(read)["text"])
    ]
    np.testing.assert_array_equal(before.scores(histories, notes[0]), after.scores(histories, notes[1]))
    plain = Scorer(
        model=model, features=features, collaborative=table, settings=CONFIG.collaborative, model_settings=CONFIG.model
    )
    same = np.array_equal(before.scores(histories, notes[0]), plain.scores(histories, notes[0]))
    assert same is not fold_in


def test_content_alone_finds_what_is_alike(made: tuple[Features, dict[str, AnyEncoder]]) -> None:
    features, encoders = made
    ours = Scorer(
        model=Recommender(CONFIG.model, features.shapes, seed=1, temperature=0.1),
        features=features,
        collaborative=None,
        settings=CollaborativeSettings(scoring=ScoringSettings(weight=0.0)),
        model_settings=CONFIG.model,
    )
    history = Histories.of([[0, 1], []])
    notes = OwnContent.of(
        [np.zeros((0, encoders["text"].width), np.float32), encoders["text"].encode([SPACE[2]]).values]
    )
    scores = ours.scores(history, notes)
    top = top_k(without_seen(scores, history), 2, order=id_order(features.ids))
    assert {features.ids[place] for place in top[0]} == {"sea2", "sea3"}
    assert {features.ids[place] for place in top[1]} <= {"space0", "space1", "space2", "space3"}
    (told,) = explain(ours, UserBatch(Histories.of([[0, 1]])), top[0, :1])
    assert told.nearest in (0, 1) and told.reason.startswith("Because you liked sea ")
