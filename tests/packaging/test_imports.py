"""What is imported, and when: asking for help loads nothing heavy, and production never loads the simulation."""

import json
from pathlib import Path

import pytest
from packaging_cases import command, loaded_by, run_python
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.config import load
from fedrec.config.presets import with_preset
from fedrec.console import SilentReporter
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop
from fedrec.simulation.study import prepare

HEAVY = frozenset(
    {"torch", "torchvision", "opacus", "flwr", "scipy", "dp_accounting", "plotly", "jinja2", "ray", "numpy", "pydantic"}
)
TRIES = 3


def tops(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_importing_fedrec_and_its_command_line_loads_nothing_heavy() -> None:
    loaded = loaded_by("import fedrec, fedrec.cli.main")
    assert "fedrec.cli.main" in loaded
    assert not tops(loaded) & HEAVY


@pytest.mark.parametrize(
    "arguments", [["--help"], ["simulate", "--help"], ["privacy", "plan", "--help"], ["recommend", "--help"]]
)
def test_help_loads_nothing_heavy_and_no_simulation(arguments: list[str]) -> None:
    loaded = loaded_by(
        "import click, fedrec.cli.main\n"
        f"try: fedrec.cli.main.build()({arguments!r}, standalone_mode=False)\n"
        "except (SystemExit, click.exceptions.Exit) as leaves: assert not getattr(leaves, 'exit_code', 0)"
    )
    assert "fedrec.cli.privacy_plan" in loaded
    assert "fedrec.simulation" not in loaded
    assert not tops(loaded) & HEAVY


# The CPU seconds of an import in a process of its own, the interpreter's start left out.
CLOCK = """
import sys, time
began = time.process_time()
{code}
print(time.process_time() - began, file=sys.stderr)
"""


def seconds(code: str) -> float:
    """The least CPU time that some code takes in a new process, of several tries."""
    tries = (run_python("-c", CLOCK.format(code=code)).stderr for _ in range(TRIES))
    return min(float(text.splitlines()[-1]) for text in tries)


HELP = """
import fedrec.cli.main
try: fedrec.cli.main.build()(["--help"])
except SystemExit: pass
"""


@pytest.mark.slow
def test_importing_takes_little_and_help_a_few_times_what_numpy_takes() -> None:
    # On a quiet machine importing numpy takes about 0.1 s, and the limits are 0.3 s and 1 s.
    numpy = seconds("import numpy")
    assert seconds("import fedrec") <= 3 * numpy
    assert seconds(HELP) <= 10 * numpy


SETTINGS = """
[content]
modalities = ["text"]
text = { dimension = 8, vocabulary = 256 }
[model]
dimension = 4
[training]
rounds = 1
negatives = 16
[privacy]
epsilon = 8.0
"""
# What an operator or a device calls in production, in the folder that the fixture makes.
PRODUCTION = (
    "data inspect shop",
    "data stores shop --out stores",
    "data catalogue shop --config run.toml --out catalogue",
    "privacy plan run.toml --population 24",
    "privacy plan --population 10000 --rounds 10 --epsilon 4",
    "privacy statement out",
    "privacy verify out",
    "release verify out/model",
    "recommend out/model --store stores/00000.sqlite --user u000001",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shop, settings, and what a run of them left."""
    found = tmp_path_factory.mktemp("production")
    write_shop(found / "shop", users=24, items=150, seed=1)
    (found / "run.toml").write_text(SETTINGS)
    simulate(load(found / "run.toml"), found / "shop", found / "out", reporter=SilentReporter())
    return found


@pytest.mark.slow
def test_what_production_calls_does_not_load_the_simulation(place: Path) -> None:
    code = f"import os, sys\nos.chdir({str(place)!r})\n"
    for arguments in PRODUCTION:
        code += command(*arguments.split()) + f"assert 'fedrec.simulation' not in sys.modules, {arguments!r}\n"
    assert {"fedrec.privacy.verify", "fedrec.content.encode_catalogue", "fedrec.client.ranker"} <= loaded_by(code)


@pytest.mark.slow
def test_the_catalogue_of_the_command_is_the_one_of_a_study(place: Path) -> None:
    arguments = [
        "data",
        "catalogue",
        place / "shop",
        "--config",
        place / "run.toml",
        "--out",
        place / "again",
        "--json",
    ]
    result = CliRunner().invoke(build(), [str(one) for one in arguments])
    study = prepare(with_preset(load(place / "run.toml")), place / "shop", SilentReporter())
    assert json.loads(result.stdout)["digest"] == study.features.digest()
