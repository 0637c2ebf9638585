"""kill -9 at any instant: no release that the ledger lacks, the run goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import resource
import secrets
import shutil
import signal
import sqlite3
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
import torch

from fedrec.api.load_run import load_run
from fedrec.client.device import Device
from fedrec.errors import FedrecError
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.queries.request import Request
from fedrec.queries.wire import Envelope
from fedrec.release.bundle import read_release
from fedrec.server.federate import ServerCatalogue, federate, load_server_catalogue
from fedrec.server.results import AggregateResult
from fedrec.simulation.study import Study

KILLS, MOST_A_RUN, DEVICES = 200, 12, 3
CONFIG = cases.settings(
    run={"name": "killed"},
    model={"dimension": 4, "notes": False, "photos": False, "warm_start": None},
    training={"rounds": 3, "negatives": 8},
    privacy={"epsilon": 6.0, "delta": 0.01},
    # A kill may come while the same round is asked, and devices answer a round so often, over all restarts.
    secure_aggregation={"attempts": 32},
)
BUDGET = Budget(6.0, 0.01, "user")


class StoreDevices:
    """Real devices with stores of their own, called without a network; a new session each time the server starts."""

    def __init__(self, study: Study, catalogue: Path, stores: Path) -> None:
        paths = sorted(stores.glob("*.sqlite"))
        self.devices: list[Device] = [cases.device(CONFIG, catalogue, path) for path in paths]
        self.session, self.digest = secrets.token_hex(8), study.features.digest()
        self.tally: Counter[str] = Counter()

    @property
    def users(self) -> int:
        return len(self.devices)

    @property
    def size(self) -> int:
        return len(self.devices)

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        total = None
        for place in cohort:
            share = self.devices[place].answer(Envelope(request, self.session, self.digest), "run")
            total = request.sum.add(total, share)
        return AggregateResult(request.sum.open(total), len(cohort), request.sum.bytes_up * len(cohort))


class Lab:
    """Runs in child processes, which inherit everything that takes long to import or to read."""

    def __init__(self, study: Study, directory: Path) -> None:
        self.study, self.directory = study, directory
        self.catalogue, stores = cases.place(study, directory / "placed")
        self.stores = directory / "stores"
        self.stores.mkdir()
        for path in sorted(stores.glob("*.sqlite"))[:DEVICES]:
            shutil.copy(path, self.stores / path.name)
        self.server_catalogue: ServerCatalogue = load_server_catalogue(self.catalogue)

    def new(self, name: str) -> Path:
        out = self.directory / name
        shutil.copytree(self.stores, out / "stores")
        return out

    def run(self, out: Path) -> None:
        federate(CONFIG, self.server_catalogue, StoreDevices(self.study, self.catalogue, out / "stores"), out)

    def start(self, out: Path) -> int:
        child = os.fork()
        if child == 0:
            try:
                self.run(out)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)  # the child must never go on as a test run
        return child

    def start_with_room(self, out: Path, room: int) -> int:
        """The same, where no file can grow beyond so many bytes; exit code 7 where a FedrecError ended it."""
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
                self.run(out)
                os._exit(0)
            except FedrecError:
                os._exit(7)
            except BaseException:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                traceback.print_exc()
            finally:
                os._exit(1)
        return child


def released(out: Path) -> dict[str, np.ndarray]:
    contents = read_release(out / "model").contents
    assert contents.model is not None
    assert contents.collaborative is not None
    return {**contents.model.parameters, **contents.collaborative.arrays()}


def check_after_a_kill(out: Path) -> None:
    """Whatever is used, or released, has its row."""
    path = out / "ledger.sqlite"
    if not path.exists() or not path.stat().st_size:
        assert not (out / "model").exists()
        return
    with Ledger.open(path, BUDGET) as ledger:  # checks the chain; a kill may have left a file with nothing in it yet
        if (out / "server.sqlite").exists():
            with sqlite3.connect(out / "server.sqlite") as state:
                tables = state.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                used = {name for (name,) in state.execute("SELECT name FROM state")} if tables else set()
            for name in used:
                kind, *asked = name.split("/")
                assert kind != "answer" or ledger.count(asked[0], int(asked[1])), name
                assert kind != "checkpoint" or ledger.has(asked[0], 1), name
        lines = (out / "events.jsonl").read_text() if (out / "events.jsonl").exists() else ""
        assert lines.count("\n") <= len(ledger)
        if (out / "model").exists():
            try:
                kept = read_release(out / "model").contents.privacy["ledger"]
            except FedrecError:
                return  # the release was being renamed into place: there is none
            ledger.verify(kept["head"])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: what a process wrote survives its kill there too, without slow disks."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as directory:
        yield Path(directory)


def run_once(lab: Lab, name: str, capfd: pytest.CaptureFixture[str]) -> float:
    """Seconds of a run that nobody kills."""
    begun = time.monotonic()
    _, status = os.waitpid(lab.start(lab.new(name)), 0)
    assert status == 0, capfd.readouterr().err
    return time.monotonic() - begun


@pytest.mark.slow
def test_two_hundred_kills_leave_nothing_unrecorded(
    federation_study: Study, memory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    lab, generator = Lab(federation_study, memory), random.Random(3)
    whole = lab.new("whole")
    lab.run(whole)  # also warms what children inherit
    usual = min(run_once(lab, f"again{number}", capfd) for number in range(3))  # the first is slower than all others
    kills = runs = 0
    while kills < KILLS:
        assert runs <= max(kills, 10), "runs end before they are killed"  # so the kills come to an end, however slow
        out, here = lab.new(f"run{runs}"), 0
        while True:
            child = lab.start(out)
            if kills < KILLS and here < MOST_A_RUN:
                time.sleep(generator.uniform(0, usual))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            # A machine has more and less to do beside this: what is usual follows what is seen.
            usual *= 0.8 if status == 0 else 1.02
            if status == 0:
                break
            assert os.WIFSIGNALED(status), capfd.readouterr().err
            kills, here = kills + 1, here + 1
            check_after_a_kill(out)
        problems = [problem for check in load_run(out) for problem in check.problems]
        assert not problems
        for name, array in released(whole).items():
            np.testing.assert_array_equal(released(out)[name], array, err_msg=name)
        runs += 1
    print(f"{kills} kills in {runs} runs, {usual:.2f} s a run")
    assert runs > KILLS // MOST_A_RUN


@pytest.mark.slow
def test_a_full_disk_is_an_error_by_name_and_the_run_goes_on_once_there_is_room(
    federation_study: Study, memory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    lab = Lab(federation_study, memory)
    whole = lab.new("whole")
    lab.run(whole)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    ended = 0
    for number, share in enumerate((0.0, 0.05, 0.2, 0.5, 0.9)):
        out = lab.new(f"full{number}")
        _, status = os.waitpid(lab.start_with_room(out, round(largest * share)), 0)
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 7), capfd.readouterr().err
        ended += os.WEXITSTATUS(status) == 7
        check_after_a_kill(out)
        _, status = os.waitpid(lab.start(out), 0)
        assert status == 0, capfd.readouterr().err
        for name, array in released(whole).items():
            np.testing.assert_array_equal(released(out)[name], array, err_msg=f"{name} at {share}")
    assert ended >= 3
