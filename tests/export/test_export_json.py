"""The JSON export: its JavaScript ranks as the device does under Node and in Chromium, and names its source."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from export_cases import KINDS, write_case
from typer.testing import CliRunner

from fedrec.api.release import open_release
from fedrec.cli.main import build
from fedrec.errors import ReleaseError
from fedrec.export.json_export import quantised
from fedrec.export.write import WrittenExport, write_export
from fedrec.release.bundle import read_release
from fedrec.release.manifest import Manifest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WrittenExport]:
    directory = tmp_path_factory.mktemp("exported")
    source = write_case(directory / "model", "closed")
    return source, write_export(source, directory / "out", "json")


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_ranks_as_the_device_does_under_node(kind: str, tmp_path: Path) -> None:
    found = write_export(write_case(tmp_path / "model", kind), tmp_path / "out", "json")
    assert found.parity is not None
    assert found.parity.holds, found.parity
    assert found.milliseconds is not None


@needs_node
def test_int8_is_smaller_and_says_how_far_off_it_is(exported: tuple[Path, WrittenExport], tmp_path: Path) -> None:
    source, whole = exported
    found = write_export(source, tmp_path / "small", "json", precision="int8")
    assert found.bytes < whole.bytes
    assert found.parity is not None
    assert 1e-4 < found.parity.difference < 0.5
    assert found.parity.shared > 0.8


def test_quantised_rows_are_within_half_a_step() -> None:
    values = np.random.default_rng(0).normal(size=(5, 30)) * np.array([[1e-6], [1.0], [50.0], [0.0], [3.0]])
    table = quantised(values)
    whole = np.frombuffer(base64.b64decode(table["data"]), dtype=np.int8).reshape(table["shape"])
    scales = np.frombuffer(base64.b64decode(table["scales"]), dtype="<f4")
    assert (np.abs(whole * scales[:, None] - values) <= 0.5001 * scales[:, None]).all()


def test_an_export_names_and_carries_its_source(exported: tuple[Path, WrittenExport]) -> None:
    source, found = exported
    record = json.loads((found.directory / "export.json").read_text())
    release = read_release(source)
    assert record["source"]["id"] == release.id
    assert record["source"]["signer"] == release.fingerprint
    carried = (found.directory / "source" / "manifest.json").read_bytes()
    assert hashlib.sha256(carried).hexdigest() == release.id
    assert (found.directory / "source" / "manifest.sig").read_bytes() == (source / "manifest.sig").read_bytes()
    card = Manifest.from_bytes(carried).files["MODEL_CARD.md"].sha256
    assert hashlib.sha256((found.directory / "source" / "MODEL_CARD.md").read_bytes()).hexdigest() == card
    for name, entry in record["files"].items():
        data = (found.directory / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}, name


def test_a_place_that_is_taken_is_left_alone(exported: tuple[Path, WrittenExport], tmp_path: Path) -> None:
    source, _ = exported
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ReleaseError, match="is taken"):
        write_export(source, tmp_path, "json")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ReleaseError, match="only a JSON export"):
        write_export(source, tmp_path / "other", "onnx", precision="int8")


def test_the_command_prints_size_parity_and_time(exported: tuple[Path, WrittenExport], tmp_path: Path) -> None:
    source, _ = exported
    run = partial(CliRunner().invoke, build())
    said = run(["export", str(source), "--to", "json", "--out", str(tmp_path / "one"), "--json"])
    assert said.exit_code == 0, said.output
    facts = json.loads(said.output)
    assert facts["items"] == len(read_release(source).contents.items.ids)
    assert facts["bytes"] == (tmp_path / "one" / "release.json").stat().st_size
    again = run(["export", str(source), "--to", "json", "--out", str(tmp_path / "one")])
    assert again.exit_code == ReleaseError.exit_code


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(exported: tuple[Path, WrittenExport]) -> Iterator[str]:
    handler = partial(Quiet, directory=str(exported[1].directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
def test_chromium_ranks_a_picked_history_as_the_device_does(exported: tuple[Path, WrittenExport], served: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    source, _ = exported
    device = open_release(source)
    picked = list(device.items)[5:9]
    problems: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda one: problems.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda one: problems.append(str(one)))
        page.goto(served)
        page.wait_for_selector("#check[data-same=true]")
        for item in picked:
            page.fill("#find", item)
            page.get_by_role("button", name=f"Add {device.items[item]}", exact=True).press("Enter")
        shown = page.locator("#list li")
        assert [one.get_attribute("data-item") for one in shown.all()] == [
            one.item for one in device.recommend(picked, top=10)
        ]
        assert page.locator("b").count() == 0  # no title became markup
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert problems == []


def test_no_script_of_the_page_is_longer_than_a_file_may_be() -> None:
    for script in files("fedrec.export").joinpath("browser").iterdir():
        assert len(script.read_text().splitlines()) <= 300, script.name
