"""A whole run on the server's side: what it leaves, and that one which is cut off ends as if it had not been."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import federation_cases as cases
import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fedrec.config import Config
from fedrec.console import open_reporter
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ContentError, FedrecError, StoreError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger import Ledger
from fedrec.privacy.ledger_entry import LedgerEntry
from fedrec.privacy.simulated import about
from fedrec.queries.request import Request
from fedrec.release.bundle import read_release
from fedrec.server import app as server_app
from fedrec.server.app import wait_for
from fedrec.server.federate import ServerCatalogue, federate, load_server_catalogue
from fedrec.server.results import AggregateResult
from fedrec.server.state import ServerState
from fedrec.simulation.engines.grid import InProcessGrid
from fedrec.simulation.engines.grid_devices import GridDevices, grid_devices
from fedrec.simulation.study import Study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = cases.settings()


class Cut(BaseException):
    """Stands for the server being killed: nothing in the project catches it."""


@pytest.fixture(scope="module")
def server_catalogue(federation_study: Study, tmp_path_factory: pytest.TempPathFactory) -> ServerCatalogue:
    return load_server_catalogue(cases.place(federation_study, tmp_path_factory.mktemp("placed"))[0])


@contextmanager
def devices(study: Study, out: Path) -> Iterator[GridDevices]:
    """The devices of a study; those that were there before keep their stores."""
    with open_reporter(silent=True) as reporter, grid_devices(CONFIG, study, out, reporter) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(federation_study: Study, server_catalogue: ServerCatalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing cut off."""
    out = tmp_path_factory.mktemp("whole")
    with devices(federation_study, out / "all") as opened:
        federate(CONFIG, server_catalogue, opened, out)
    return out


def released(out: Path) -> dict[str, np.ndarray]:
    contents = read_release(out / "model").contents
    assert contents.model is not None
    assert contents.collaborative is not None
    return {**contents.model.parameters, **contents.collaborative.arrays()}


def test_a_run_leaves_a_release_a_record_and_a_ledger(whole: Path, federation_study: Study) -> None:
    record = json.loads((whole / "server.json").read_text())
    assert record["config"] == CONFIG.model_dump(mode="json")
    facts = {"name": "small", "users": 24, "items": 150, "devices": 24, "left_out_of_settings": []}
    assert record["data"] == facts
    assert record["privacy"]["epsilon_released"] == pytest.approx(cases.EPSILON, rel=1e-3)
    assert record["privacy"]["epsilon_server"] is None
    assert record["stopped"] is None
    assert [cost["query"] for cost in record["costs"]] == ["popularity", "cooccurrence", "training", "metrics"]
    assert record["rounds"] == [json.loads(line) for line in (whole / "events.jsonl").read_text().splitlines()]
    assert [line["round"] for line in record["rounds"]] == [0, 0, 1, 2, 3, 4]
    assert all(line["asked"] == line["devices"] == cases.USERS for line in record["rounds"])
    with Ledger.open(whole / "ledger.sqlite") as ledger:
        assert len(ledger.entries()) == 6
    contents = read_release(whole / "model").contents
    assert contents.items.ids == federation_study.features.ids
    assert set(contents.encoders) == {"text", "image", "attributes"}
    assert contents.privacy == {**about(True), **record["privacy"]}


def test_nothing_that_the_server_leaves_names_a_user(whole: Path, federation_study: Study) -> None:
    left = [path for path in whole.rglob("*") if path.is_file() and "all" not in path.relative_to(whole).parts]
    assert {"server.json", "ledger.sqlite", "server.sqlite", "events.jsonl"} <= {path.name for path in left}
    everything = b"".join(path.read_bytes() for path in left)
    assert not [user for user in federation_study.dataset.users if user.encode() in everything]


def before_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = GridDevices.aggregate

    def cut(self: GridDevices, request: Request, cohort: Sequence[int]) -> AggregateResult:
        if request.round == 2:
            raise Cut
        return ask(self, request, cohort)

    monkeypatch.setattr(GridDevices, "aggregate", cut)


def after_the_devices_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = GridDevices.aggregate

    def cut(self: GridDevices, request: Request, cohort: Sequence[int]) -> AggregateResult:
        opened = ask(self, request, cohort)
        if request.query == "cooccurrence":
            raise Cut
        return opened

    monkeypatch.setattr(GridDevices, "aggregate", cut)


def after_the_round_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    save = ServerState.save_checkpoint

    def cut(self: ServerState, query: str, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        save(self, query, number, arrays)
        if (query, number) == ("training", 2):
            raise Cut

    monkeypatch.setattr(ServerState, "save_checkpoint", cut)


def after_the_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid for is kept: the run goes on with the same noisy sum and pays no second time."""

    def cut(self: ServerState, query: str, *rest: object) -> None:
        if query == "training":
            raise Cut

    monkeypatch.setattr(ServerState, "save_checkpoint", cut)


def between_keeping_and_charging(monkeypatch: pytest.MonkeyPatch) -> None:
    charge = Ledger.charge

    def cut(self: Ledger, cost: QueryCost, *, round: int, **detail: object) -> LedgerEntry:
        if (cost.query, round) == ("training", 1):
            raise Cut
        return charge(self, cost, round=round, **detail)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "charge", cut)


def before_the_release_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object, **__: object) -> None:
        raise Cut

    monkeypatch.setattr("fedrec.server.run_directory.write_release", cut)


@pytest.mark.parametrize(
    "where",
    [
        before_asking,
        after_the_devices_answered,
        between_keeping_and_charging,
        after_the_charge,
        after_the_round_was_kept,
        before_the_release_is_written,
    ],
)
def test_a_run_that_is_cut_off_goes_on_and_releases_the_same(
    where: object, whole: Path, federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched, devices(federation_study, tmp_path / "all") as opened:
        where(patched)  # type: ignore[operator]
        with pytest.raises(Cut):
            federate(CONFIG, server_catalogue, opened, tmp_path)
    assert not (tmp_path / "server.json").exists()
    with devices(federation_study, tmp_path / "all") as opened:
        record = federate(CONFIG, server_catalogue, opened, tmp_path)
    assert record["stopped"] is None
    for name, array in released(whole).items():
        np.testing.assert_array_equal(released(tmp_path)[name], array, err_msg=name)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.entries()) == 6
        assert (ledger.spent() or 99) <= cases.EPSILON
    # Each sum was opened once, but the one that was lost before it was charged.
    assert [line["query"] for line in record["rounds"]].count("popularity") == 1


def test_a_round_that_was_charged_and_lost_is_never_paid_with_more_than_the_budget(
    federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    def lose(self: ServerState, query: str, *rest: object) -> None:
        if query == "training":
            raise Cut

    with pytest.MonkeyPatch.context() as patched, devices(federation_study, tmp_path / "all") as opened:
        patched.setattr(ServerState, "save_checkpoint", lose)
        patched.setattr(ServerState, "save_pending", lambda self, name, pending: None)
        with pytest.raises(Cut):
            federate(CONFIG, server_catalogue, opened, tmp_path)
    with devices(federation_study, tmp_path / "all") as opened:
        record = federate(CONFIG, server_catalogue, opened, tmp_path)
    assert record["stopped"] is not None
    assert record["privacy"]["epsilon_released"] <= cases.EPSILON


def test_devices_that_answered_refuse_to_answer_the_same_session_again(federation_study: Study, tmp_path: Path) -> None:
    request = cases.popularity_question(CONFIG, federation_study)
    with devices(federation_study, tmp_path) as opened:
        first = opened.aggregate(request, range(opened.size))
        again = opened.aggregate(request, range(3))
        assert (first.devices, again.devices) == (cases.USERS, 0)
        assert opened.tally == {"refused": 3}


def test_a_run_with_other_settings_does_not_go_on_in_its_directory(
    whole: Path, federation_study: Study, server_catalogue: ServerCatalogue, tmp_path: Path
) -> None:
    shutil.copy(whole / "server.sqlite", tmp_path / "server.sqlite")
    other: Config = cases.settings(training={"learning_rate": 0.5})
    with devices(federation_study, tmp_path / "all") as opened, pytest.raises(StoreError):
        federate(other, server_catalogue, opened, tmp_path)


def test_a_shelf_is_read_whole_or_not_at_all(federation_study: Study, tmp_path: Path) -> None:
    catalogue, _ = cases.place(federation_study, tmp_path)
    assert load_server_catalogue(catalogue).features.digest() == federation_study.features.digest()
    encoder = next(catalogue.glob("encoder-*"))
    encoder.write_bytes(encoder.read_bytes()[:-1] + b"x")
    with pytest.raises(ContentError):
        load_server_catalogue(catalogue)
    encoder.unlink()
    with pytest.raises(ContentError):
        load_server_catalogue(catalogue)
    with pytest.raises(ContentError):
        load_server_catalogue(tmp_path / "nowhere")


# The app.


def echo(message: Message, context: Context) -> Message:
    return Message(RecordDict(), reply_to=message)


def run_config(**changes: object) -> dict[str, object]:
    """What Flower hands an app: the keys that are declared, some of them changed, none added."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert set(changes) <= set(declared)
    return {**declared, "wait": 0, **changes}


def run_app(grid: InProcessGrid, settings: dict[str, object]) -> None:
    server_app.app(grid, Context(1, 1, {}, RecordDict(), settings))  # type: ignore[arg-type]


def test_the_app_conducts_a_run(
    whole: Path, federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDREC_SIMULATION", "1")
    catalogue, _ = cases.place(federation_study, tmp_path / "devices")
    with devices(federation_study, tmp_path / "devices") as opened:
        settings = run_config(
            config=CONFIG.model_dump_json(), catalogue=str(catalogue), out=str(tmp_path / "out"), devices=cases.USERS
        )
        assert isinstance(opened.grid, InProcessGrid)
        run_app(opened.grid, settings)
    for name, array in released(whole).items():
        np.testing.assert_array_equal(released(tmp_path / "out")[name], array, err_msg=name)


@pytest.mark.parametrize("missing", ["catalogue", "out"])
def test_the_app_says_which_directory_it_needs(
    missing: str, federation_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDREC_SIMULATION", "1")
    catalogue, _ = cases.place(federation_study, tmp_path)
    settings = run_config(**{"catalogue": str(catalogue), "out": str(tmp_path / "out"), missing: ""})
    grid = InProcessGrid(echo, {0: Context(1, 0, {}, RecordDict(), {})}, run_id=1)
    with grid, pytest.raises(FedrecError, match=missing):
        run_app(grid, settings)


def test_a_server_waits_for_devices_but_not_for_ever() -> None:
    contexts: dict[int, Context] = {}

    class Filling(InProcessGrid):
        def get_node_ids(self) -> list[int]:
            contexts[len(contexts)] = Context(1, len(contexts), {}, RecordDict(), {})
            return super().get_node_ids()

    grid = Filling(echo, contexts, run_id=1)
    assert wait_for(grid, 3, 60, pause=0.01) == [0, 1, 2]
    for count in (0, 1):
        with pytest.raises(ConfigError):
            wait_for(InProcessGrid(echo, {}, run_id=1), count, 0.05, pause=0.01)


def test_users_of_a_placed_device_are_those_of_the_study(federation_study: Study, tmp_path: Path) -> None:
    _, stores = cases.place(federation_study, tmp_path)
    with EventStore.open(stores / "00023.sqlite") as store:
        assert store.users() == [federation_study.dataset.users[23]]
