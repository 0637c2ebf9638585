"""A package that is installed beside fedrec adds parts by entry points, and engines use them; without it, its release
cannot be opened and says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedrec.config import ModelSettings, from_tree
from fedrec.errors import ConfigError, ReleaseError
from fedrec.release.bundle import read_release

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = """
[fedrec.text_encoders]
words-of-a-test = outside_parts:Words
[fedrec.fusions]
plain-mean = outside_parts:PlainMean
[fedrec.mechanisms]
laplace-from-outside = outside_parts:Laplace
[fedrec.presets]
words-only = outside_presets:WORDS
"""
PRESET = """
from fedrec.config.presets import Preset
WORDS = Preset("text by its words, plain mean", {
    "content": {"modalities": ["text", "attributes"], "text": {"encoder": "words-of-a-test", "dimension": 64}},
    "model": {"fusion": "plain-mean", "dimension": 8},
})
"""
SCRIPT = """
import json, sys
from pathlib import Path
from fedrec.config import from_tree
from fedrec.console import open_reporter
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

out = Path(sys.argv[1])
write_shop(out / "shop", users=24, items=140, seed=1)
found = {}
for engine in ("cohort", "grid"):
    config = from_tree({
        "run": {"name": "outside", "engine": engine}, "model": {"preset": "words-only"},
        "training": {"rounds": 1, "negatives": 16},
        "privacy": {"epsilon": 8.0, "noise": "laplace-from-outside", "noise_place": "server"},
        "secure_aggregation": {"minimum_cohort": 8, "minimum_survivors": 6}, "speed": {"threads": 1},
    })
    with open_reporter(silent=True) as reporter:
        found[engine] = simulate(config, out / "shop", out / engine, reporter=reporter)["privacy"]
print(json.dumps(found))
"""


def _install(site: Path) -> None:
    """What an installer leaves behind: the modules, and the distribution's names of its parts."""
    about = site / "outside_words-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-words\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "outside_parts.py").write_text((Path(__file__).parent / "outside_parts.py").read_text())
    (site / "outside_presets.py").write_text(PRESET)


@pytest.mark.slow
def test_an_installed_package_adds_parts_that_engines_use(tmp_path: Path) -> None:
    _install(tmp_path / "site")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)]),
        "FEDREC_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    assert "laplace-from-outside" in found["grid"]["mechanism"]
    assert found["cohort"]["epsilon_released"] == found["grid"]["epsilon_released"] <= 8.0

    # This process has no such package: it says which one it lacks, before it looks at anything else.
    said = r"text encoder 'words-of-a-test' of outside-words 1\.2; fusion 'plain-mean' of outside-words 1\.2"
    for engine in ("cohort", "grid"):
        with pytest.raises(ReleaseError, match=said):
            read_release(tmp_path / engine / "model")


@pytest.mark.parametrize(
    ("section", "key", "slip", "meant"),
    [
        ("content", "text", {"encoder": "isa"}, "lsa"),
        ("model", "fusion", "wieghted", "weighted"),
        ("model", "user_tower", "recent", "recency"),
        ("model", "text_encoder", "textcn", "textcnn"),
        ("model", "preset", "text-onl", "text-only"),
        ("privacy", "noise", "independant", "independent"),
    ],
)
def test_a_slip_in_a_name_is_refused_with_what_was_meant(section: str, key: str, slip: Any, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.*Did you mean '{meant}'\?"):
        from_tree({section: {key: slip}})


def test_a_module_named_in_the_environment_registers_its_parts(tmp_path: Path) -> None:
    (tmp_path / "plugin_of_a_test.py").write_text(
        "from fedrec.extend import register_preset\nfrom fedrec.config.presets import Preset\n\n"
        "@register_preset('from-a-module')\ndef made():\n    return Preset('a module', {'model': {'dimension': 7}})\n"
    )
    script = (
        "from fedrec.config import from_tree; from fedrec.config.presets import PRESETS, with_preset; "
        "print(with_preset(from_tree({'model': {'preset': 'from-a-module'}})).model.dimension, "
        "PRESETS.origin('from-a-module'))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "FEDREC_PLUGINS": "plugin_of_a_test",
    }
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.split()[0] == "7", done.stderr[-2000:]


def test_settings_are_checked_without_importing_what_they_name() -> None:
    script = (
        "import sys; from fedrec.config import from_tree; "
        "from_tree({'model': {'fusion': 'gated', 'text_encoder': 'gru'}, 'content': {'text': {'encoder': 'lsa'}}}); "
        "print('torch' in sys.modules, 'dp_accounting' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout.split() == ["False", "False"], done.stderr[-2000:]
    assert ModelSettings(fusion="gated").fusion == "gated"
