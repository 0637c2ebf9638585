"""``fedrec privacy audit`` and ``audit.canaries`` in a simulation: what they print, keep and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fedrec.cli.main
import fedrec.cli.privacy
from fedrec.config import Config, from_tree
from fedrec.console import SilentReporter
from fedrec.errors import ConfigError, PrivacyError, StoreError
from fedrec.privacy.mechanism import GaussianMechanism
from fedrec.server.run import FederatedRun
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "model": {"dimension": 8},
    "training": {"rounds": 2, "negatives": 20},
    "privacy": {"epsilon": 8.0, "delta": 1e-5},
    "audit": {"canaries": 100},
}
KEYS = {"one_run", "f_dp", "claim", "estimate", "confidence", "canaries", "included", "sums", "violated", "note"}


def settings(**sections: Any) -> Config:
    return from_tree(SETTINGS | sections)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("audit") / "shop"
    write_shop(directory, users=24, items=140, seed=3, private_users=0)
    return directory


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audited")
    simulate(settings(), shop, out, reporter=SilentReporter())
    return out


def called(*arguments: str) -> tuple[int, str]:
    """Exit code and standard output of a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fedrec.cli.main, "find_groups", lambda: ([fedrec.cli.privacy.register], []))
        patch.setattr(fedrec.cli.main, "set_up_logging", lambda *, verbose: None)
        result = CliRunner().invoke(fedrec.cli.main.build(), list(arguments))
    return result.exit_code, result.stdout


def test_a_simulation_that_is_asked_to_audits_itself(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    audit = run["audit"]
    assert set(audit) >= KEYS
    assert audit["canaries"] == 100
    assert audit["sums"] == 4
    assert audit["claim"] == {"epsilon": pytest.approx(run["privacy"]["epsilon_released"]), "delta": 1e-5}
    assert 0 < audit["epsilon_lower_bound"] < 8
    assert not audit["violated"]
    assert "not a bound" in audit["estimate"]["note"]
    assert run["data"]["users"] == 24
    assert run["secure_aggregation"]["cohort"] == 124
    assert "canar" not in (finished / "model" / "MODEL_CARD.md").read_text()


def test_a_simulation_that_is_not_asked_says_null(shop: Path, tmp_path: Path) -> None:
    run = simulate(settings(audit={}), shop, tmp_path, reporter=SilentReporter())
    assert run["audit"] is None
    assert not (tmp_path / "audit.json").exists()


def test_an_audited_run_that_is_cut_off_goes_on(finished: Path, shop: Path, tmp_path: Path) -> None:
    whole = json.loads((finished / "run.json").read_text())["audit"]

    class Cut(BaseException):
        pass

    def cut(self: FederatedRun, aggregate: Any) -> None:
        shown(self, aggregate)
        if aggregate.request.query == "training":
            raise Cut

    shown = FederatedRun._show
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(FederatedRun, "_show", cut)
        simulate(settings(), shop, tmp_path, reporter=SilentReporter())
    again = simulate(settings(), shop, tmp_path, reporter=SilentReporter())
    assert again["audit"] == whole


def test_scores_that_are_not_ours_are_refused(finished: Path, shop: Path, tmp_path: Path) -> None:
    for text in ("{", '{"scores": [1, 2], "sums": 1}'):
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(StoreError, match="audit's scores"):
            simulate(settings(), shop, tmp_path, reporter=SilentReporter())


def test_canaries_need_a_claim_the_cohort_engine_and_enough_of_them() -> None:
    with pytest.raises(ConfigError, match=r"needs privacy\.epsilon"):
        settings(privacy={})
    with pytest.raises(ConfigError, match="below 16"):
        settings(audit={"canaries": 5})


def test_the_grid_has_no_canaries(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine 'cohort' only"):
        simulate(settings(run={"engine": "grid"}), shop, tmp_path, reporter=SilentReporter())


def test_the_command_audits_a_config_and_a_run(finished: Path, shop: Path, tmp_path: Path) -> None:
    config = tmp_path / "audit.toml"
    config.write_text("[training]\nrounds = 2\nnegatives = 20\n[privacy]\nepsilon = 4.0\ndelta = 1e-5\n")
    base = ("privacy", "audit", str(config), "--data", str(shop), "--canaries", "100")
    code, text = called(*base, "--epsilon", "2", "--epsilon", "8", "--seeds", "2", "--json")
    found = json.loads(text)
    assert code == 0
    assert [round(one["claim"]["epsilon"], 3) for one in found["audits"]] == [2, 8]
    assert [run["seed"] for run in found["audits"][0]["runs"]] == [0, 1]
    assert found["audits"][0]["f_dp"]["guesses"] == 2 * found["audits"][0]["runs"][0]["f_dp"]["guesses"]
    assert found["violated"] is False
    code, text = called("privacy", "audit", str(finished), "--data", str(shop))
    assert code == 0
    assert "Claim epsilon 8.00 at delta 1.0e-05: not refuted" in text
    assert "100 canary users" in text
    assert "not a bound" in text


def test_canaries_are_in_directions_and_factors_too(shop: Path, tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "model": {"tower": False},
        "collaborative": {
            "cooccurrence": {"enabled": False},
            "power_iteration": {"enabled": True, "steps": 2, "rank": 8},
            "prior": {"weight": 1.0, "modalities": {"text": 1.0}},
        },
    }
    run = simulate(settings(**sections), shop, tmp_path / "run", reporter=SilentReporter())
    assert run["audit"]["sums"] == 4
    assert 0 < run["audit"]["epsilon_lower_bound"] < 8
    config = tmp_path / "factors.toml"
    config.write_text('[model]\npreset = "factors"\n')
    words = ["privacy", "audit", str(config), "--data", str(shop), "--set", "privacy.delta=1e-5", "--json"]
    code, text = called(*words, "--canaries", "140", "--epsilon", "4", "--seeds", "4")
    (found,) = json.loads(text)["audits"]
    assert code == 0
    assert found["runs"][0]["sums"] == 3
    estimates = [one["estimate"]["epsilon"] for one in found["runs"]]
    assert sum(estimates) / 4 == pytest.approx(4.0, rel=0.3)


def test_where_short_histories_count_less_interactions_are_audited(shop: Path, tmp_path: Path) -> None:
    privacy = {"unit": "example", "epsilon": 8.0, "delta": 1e-5}
    ramped = settings(collaborative={"short_history_weighting": 12}, privacy=privacy, model={"tower": False})
    run = simulate(ramped, shop, tmp_path / "run", reporter=SilentReporter())
    assert run["audit"]["sums"] == 2
    assert 0 < run["audit"]["epsilon_lower_bound"] < 8
    with pytest.raises(PrivacyError, match="short_history_weighting is above"):
        simulate(
            settings(collaborative={"short_history_weighting": 500}), shop, tmp_path / "long", reporter=SilentReporter()
        )


def test_the_command_fails_where_a_claim_is_refuted(
    finished: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = GaussianMechanism.noise
    monkeypatch.setattr(GaussianMechanism, "noise", lambda self, secret, length: right(self, secret, length) / 8)
    arguments = ("privacy", "audit", str(finished), "--data", str(shop), "--epsilon", "2", "--seeds", "2")
    code, text = called(*arguments)
    assert code == PrivacyError.exit_code
    assert "REFUTED" in text


def test_the_command_says_what_it_needs(shop: Path, tmp_path: Path) -> None:
    assert called("privacy", "audit", str(tmp_path), "--data", str(shop))[0] == ConfigError.exit_code
    (tmp_path / "plain.toml").write_text("[training]\nrounds = 2\n")
    plain = str(tmp_path / "plain.toml")
    assert called("privacy", "audit", plain, "--data", str(shop))[0] == ConfigError.exit_code
