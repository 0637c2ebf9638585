"""Every preset runs on data that lacks content, up to data that has nothing but ids, or is told what to do instead.

What the data lacks is left out, with a word.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedrec.config import Config, from_tree
from fedrec.config.presets import PRESETS
from fedrec.console import SilentReporter
from fedrec.content.fit import fit_to_content, ranks_without_content
from fedrec.errors import ConfigError, ContentError, ModelError
from fedrec.privacy.ledger import Ledger
from fedrec.queries.plan import budget_of
from fedrec.queries.sizing import sized_by_noise
from fedrec.server.run import FederatedRun, RunResult
from fedrec.server.state import ServerState
from fedrec.simulation.engines.cohort import CohortDevices
from fedrec.simulation.run import settled, simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import Study, prepare
from simulations.benchmarks.presets import missing

USERS, ITEMS = 20, 140
SMALL: dict[str, Any] = {
    "run": {"seed": 2},
    "content": {"text": {"dimension": 8, "vocabulary": 128, "length": 4}, "image": {"size": 16, "dimension": 8}},
    "model": {"dimension": 4, "history": 4},
    "training": {"rounds": 1, "positives": 2, "negatives": 8},
    "evaluation": {"every": 0},
    "speed": {"threads": 1},
}
MODALITIES = {"text", "image", "attributes"}
LACKS = {
    "no pictures": {"image"},
    "no attributes": {"attributes"},
    "text only": {"image", "attributes"},
    "attributes only": {"text", "image"},
    "nothing but ids": MODALITIES,
    "ready-made features": {"attributes"},
}
# What a preset is named after cannot be left out of it; nor can all that it ranks by.
CONTENT_ONLY = {"content-only", "text-only", "image-only", "attributes-only", "audio-only"}
CONTENT_ONLY |= {"weighted-fusion", "concat-ctr", "attention-multitask", "mmulcoonn", "mmfnet"}
NOTHING_LEFT = {
    "no pictures": {"image-only"},
    "no attributes": {"attributes-only"},
    "text only": {"image-only", "attributes-only", "audio-only"},
    "attributes only": {"text-only", "image-only", "audio-only"}
    | {"weighted-fusion", "concat-ctr", "mtmf", "attention-multitask"},
    "nothing but ids": CONTENT_ONLY,
    "ready-made features": {"attributes-only", "audio-only"},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("whole") / "shop"
    write_shop(directory, users=USERS, items=ITEMS, seed=1, private_users=4)
    return directory


@pytest.fixture(scope="module")
def data(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The shop without something."""
    place = tmp_path_factory.mktemp("without")
    pictures = place / "no pictures"
    shutil.copytree(whole, pictures)
    shutil.rmtree(pictures / "images")
    attributes = place / "no attributes"
    shutil.copytree(whole, attributes)
    write_items(attributes, whole, "title", "text")
    for name, kept in (("text only", "title text"), ("attributes only", "genres category brand price")):
        bare(place / name, whole, *kept.split())
    bare(place / "nothing but ids", whole)
    ready_made(place / "ready-made features", whole)
    return lambda name: place / name


def items_of(shop: Path) -> list[dict[str, str]]:
    with (shop / "items.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_items(directory: Path, shop: Path, *kept: str) -> None:
    """The items with these columns filled; a title there must be, which may be empty."""
    with (directory / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("item", *dict.fromkeys(("title", *kept))), extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, **({} if "title" in kept else {"title": ""})} for row in items_of(shop))


def bare(directory: Path, shop: Path, *kept: str) -> None:
    """Interactions, and items with these columns; nobody's notes and photos."""
    directory.mkdir()
    shutil.copy(shop / "interactions.csv", directory)
    write_items(directory, shop, *kept)


def ready_made(directory: Path, shop: Path) -> None:
    """Files of RecBole and MMRec: interactions, and a vector an item for text and for pictures."""
    directory.mkdir()
    places = {row["item"]: place for place, row in enumerate(items_of(shop))}
    with (shop / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = [f"{row['user']}\t{places[row['item']]}\t{row['timestamp']}" for row in csv.DictReader(file)]
    head = "userID:token\titemID:token\ttimestamp:float"
    (directory / f"{directory.name}.inter").write_text("\n".join([head, *rows]) + "\n")
    rng = np.random.default_rng(0)
    for name, width in (("text", 12), ("image", 16)):
        np.save(directory / f"{name}_feat.npy", rng.normal(size=(len(places), width)).astype(np.float32))


STUDIES: dict[tuple[str, str], Study] = {}


def study_of(config: Config, lacking: str, directory: Path) -> Study:
    settings = f"{config.content.model_dump_json()} {config.model.tower} {config.model.notes} {config.model.photos}"
    known = (lacking, f"{settings} {ranks_without_content(config)}")
    if known not in STUDIES:
        STUDIES[known] = prepare(config, directory, SilentReporter())
    return STUDIES[known]


def run(config: Config, study: Study, place: Path) -> RunResult:
    devices = CohortDevices(config, study.features, study.population)
    with (
        Ledger.open(place / "ledger.sqlite", budget_of(config, USERS)) as ledger,
        ServerState(None, "without") as state,
    ):
        return FederatedRun(config, study.features, devices, ledger, state, lambda step: None).run()


def preset(name: str, **sections: dict[str, Any]) -> Config:
    tree = {key: dict(section) for key, section in SMALL.items()}
    for key, section in sections.items():
        tree[key] = {**tree.get(key, {}), **section}
    tree["model"]["preset"] = name
    return settled(from_tree(tree))


@pytest.mark.parametrize("lacking", list(LACKS))
@pytest.mark.parametrize("name", PRESETS.names())
def test_every_preset_runs_on_data_that_lacks_something(
    name: str, lacking: str, data: Callable[[str], Path], tmp_path: Path
) -> None:
    config = preset(name)
    if reason := missing(config):
        pytest.skip(reason)
    if name in NOTHING_LEFT[lacking]:
        with pytest.raises((ContentError, ConfigError), match="Name one that the data set has, or"):
            fit_to_content(config, study_of(config, lacking, data(lacking)).features)
        return
    study = study_of(config, lacking, data(lacking))
    fitted, said = fit_to_content(config, study.features)
    absent = LACKS[lacking]
    named = [config.content.modalities, config.model.reads, config.collaborative.prior.modalities]
    changed = any(absent & set(names) for names in named)
    if lacking != "ready-made features":
        assert bool(said) == changed
    assert not ("image" in absent and fitted.model.photos) and not ("text" in absent and fitted.model.notes)
    left = [fitted.content.modalities, fitted.model.reads, fitted.collaborative.prior.modalities]
    assert not any(absent & set(names) for names in left)
    assert fit_to_content(fitted, study.features) == (fitted, [])
    outcome = run(sized_by_noise(fitted, len(study.population), len(study.features)), study, tmp_path)
    assert outcome.stopped is None
    if set(config.content.modalities) - absent:
        assert fitted.model.tower == config.model.tower
    assert (outcome.model is not None) == fitted.model.tower
    if config.collaborative.popularity:
        assert outcome.collaborative.popularity.sum() > 0


def test_without_content_the_tower_is_left_out_and_private_sums_rank(data: Callable[[str], Path]) -> None:
    config = preset("fedrec")
    fitted, said = fit_to_content(config, study_of(config, "nothing but ids", data("nothing but ids")).features)
    assert not fitted.model.tower and fitted.collaborative.scoring.weight == 1.0
    assert fitted.collaborative.cooccurrence.enabled
    assert said[-1].startswith("model.tower is false")


def test_a_graph_without_content_has_edges_of_cooccurrence_only(data: Callable[[str], Path]) -> None:
    config = preset("gcn")
    study = study_of(config, "nothing but ids", data("nothing but ids"))
    fitted, said = fit_to_content(config, study.features)
    assert fitted.model.graph == "cooccurrence" and fitted.model.tower, "the tower reads behaviour"
    assert any(sentence.startswith("model.graph is cooccurrence") for sentence in said)


def test_ready_made_features_are_read_by_a_head_and_a_slip_in_the_settings_is_still_an_error(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    config = preset("from-scratch")
    directory = data("ready-made features")
    fitted, said = fit_to_content(config, study_of(config, "ready-made features", directory).features)
    assert (fitted.model.text_encoder, fitted.model.image_encoder) == ("head", "head")
    assert sum("ready-made features" in sentence for sentence in said) == 2
    config = preset("defaults", model={"image_encoder": "cnn"})
    study = study_of(config, "no attributes", data("no attributes"))
    with pytest.raises(ModelError, match="reads pixels"):
        run(fit_to_content(config, study.features)[0], study, tmp_path)


def test_of_data_that_has_everything_nothing_changes(whole: Path) -> None:
    for name in ("defaults", "fedrec", "mtmf", "personal"):
        config = preset(name)
        study = study_of(config, "nothing", whole)
        fitted, said = fit_to_content(config, study.features)
        assert fitted is config and said == []


def test_a_run_says_what_it_left_out(data: Callable[[str], Path], tmp_path: Path) -> None:
    lines: list[str] = []

    class Told(SilentReporter):
        def stage(self, text: str) -> None:
            lines.append(text)

    config = preset("fedrec", privacy={"epsilon": 8.0})
    record = simulate(config, data("no pictures"), tmp_path / "out", reporter=Told())
    [sentence] = record["data"]["left_out_of_settings"]
    assert sentence.startswith("image: no item of the catalogue has it")
    assert "collaborative.prior.modalities" in sentence
    assert [line for line in lines if sentence in line] != []
    assert "image" not in record["config"]["collaborative"]["prior"]["modalities"]
    assert record["config_asked"] == config.model_dump(mode="json")
    assert record["model"]["modalities"] == ["text", "attributes", "behaviour"]


def test_a_run_that_leaves_nothing_out_says_nothing(whole: Path, tmp_path: Path) -> None:
    record = simulate(preset("popularity-only"), whole, tmp_path / "out", reporter=SilentReporter())
    assert record["data"]["left_out_of_settings"] == []
    assert record["config_asked"] is None


ONLY_IMAGE: dict[str, Any] = {"prior": {"modalities": {"image": 1.0}}}


@pytest.mark.parametrize("epsilon", [None, 8.0])
def test_power_iteration_without_content_falls_back_to_cooccurrence(
    epsilon: float | None, data: Callable[[str], Path], tmp_path: Path
) -> None:
    config = preset("factors", collaborative=ONLY_IMAGE, privacy={"epsilon": epsilon})
    study = study_of(config, "no pictures", data("no pictures"))
    fitted, said = fit_to_content(config, study.features)
    assert fitted.collaborative.cooccurrence.enabled and not fitted.collaborative.power_iteration.enabled
    assert fitted.collaborative.prior.weight == 0
    assert any("co-occurrence is asked for in place of power iteration" in sentence for sentence in said)
    outcome = run(fitted, study, tmp_path)
    assert {cost.query for cost in outcome.costs} == (set() if epsilon is None else {"popularity", "cooccurrence"})
    assert outcome.collaborative.popularity.sum() > 0


@pytest.mark.parametrize(
    ("privacy", "cooccurrence", "told"),
    [
        ({"epsilon": 8.0, "shares": {"popularity": 0.2, "directions": 0.3, "factors": 0.5}}, {}, "privacy.shares"),
        ({"epsilon": 8.0}, {"enabled": False, "normalise": 0.5}, "normalise=1"),
    ],
)
def test_where_cooccurrence_cannot_take_its_place_it_is_said_what_to_do(
    privacy: dict[str, Any], cooccurrence: dict[str, Any], told: str, data: Callable[[str], Path]
) -> None:
    config = preset("factors", collaborative={**ONLY_IMAGE, "cooccurrence": cooccurrence}, privacy=privacy)
    study = study_of(config, "no pictures", data("no pictures"))
    with pytest.raises(ConfigError, match=told):
        fit_to_content(config, study.features)


def test_a_prior_of_cooccurrence_that_is_gone_weighs_nothing(data: Callable[[str], Path], tmp_path: Path) -> None:
    config = preset("behaviour-only", collaborative={"prior": {"weight": 0.5, "modalities": {"image": 1.0}}})
    study = study_of(config, "no pictures", data("no pictures"))
    fitted, said = fit_to_content(config, study.features)
    assert fitted.collaborative.prior.weight == 0
    assert any("nothing is left of the prior" in sentence for sentence in said)
    assert run(fitted, study, tmp_path).collaborative.rank > 0


def test_a_tower_that_reads_nothing_that_there_is_is_refused(data: Callable[[str], Path]) -> None:
    config = preset("defaults", model={"reads": ["image"]})
    study = study_of(config, "no pictures", data("no pictures"))
    with pytest.raises(ConfigError, match=r"model\.reads"):
        fit_to_content(config, study.features)


def test_attributes_that_are_not_there_are_not_predicted(data: Callable[[str], Path]) -> None:
    config = preset("mmfnet")
    fitted, said = fit_to_content(config, study_of(config, "no attributes", data("no attributes")).features)
    assert fitted.training.auxiliary == 0
    assert any("training.auxiliary" in sentence for sentence in said)


def test_a_modality_that_no_content_could_have_is_still_an_error(data: Callable[[str], Path], tmp_path: Path) -> None:
    config = preset("behaviour-only", collaborative={"prior": {"weight": 0.5, "modalities": {"smell": 1.0}}})
    study = study_of(config, "no pictures", data("no pictures"))
    assert "smell" in fit_to_content(config, study.features)[0].collaborative.prior.modalities
    with pytest.raises(ConfigError, match=r"prior\.modalities"):
        run(config, study, tmp_path)
