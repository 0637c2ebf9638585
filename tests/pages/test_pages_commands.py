"""The commands that serve pages: a link on the first line, an answer behind it, and an end without a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pages_cases import line, record, write_run
from typer.testing import CliRunner

from fedrec.cli.main import build
from fedrec.errors import MissingExtraError
from fedrec.pages import process
from fedrec.simulation import demo


def test_a_process_says_its_link_answers_and_ends(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [line(1)], record())
    environment = {**os.environ, "FEDREC_PAGES_TOKEN": "a-token-drawn-by-chance", "DISPLAY": ""}
    words = [sys.executable, "-m", "fedrec.cli.main", "server", "pages", str(tmp_path), "--json", "--no-browser"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            said = ""
            while not said.endswith("}\n"):
                said += started.stdout.readline()
            link = json.loads(said)["operator"]
            assert link.startswith("http://127.0.0.1:") and "/open?key=" in link
            with httpx.Client(trust_env=False, follow_redirects=True) as client:
                assert "<h1>Runs" in client.get(link).text
                assert client.get(link).status_code == 401
                start = link.partition("/open")[0]
                headers = {"Authorization": "Bearer a-token-drawn-by-chance"}
                assert httpx.get(start, headers=headers, trust_env=False).status_code == 200
        finally:
            started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out, err) == (0, "", "")


def test_the_demo_shows_both_pages_of_its_shop(made_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[list[str], bool]] = []

    def serve(listeners: list[process.PageListener], *, browser: bool) -> None:
        served.append(([one.name for one in listeners], browser))
        for one in listeners:
            one.socket.close()

    monkeypatch.setattr(process, "serve", serve)
    result = {"run": json.loads((made_demo / "run.json").read_text()), "user": "u", "history": [], "report": None}
    monkeypatch.setattr(demo, "run_demo", lambda *_, **__: {**result, "recommendations": []})
    run = CliRunner().invoke(build(), ["demo", "--out", str(made_demo), "--ui", "--no-browser"])
    assert run.exit_code == 0, run.output
    assert served == [(["operator", "device"], False)]
    assert run.output.count("/open?key=") == 2


def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    with pytest.raises(MissingExtraError, match="pages in a browser"):
        process.operator_listener(tmp_path, 0)
