"""What the command line prints: nothing that a title could use against a terminal, and JSON that is JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.console import (
    DASH,
    PlainReporter,
    SilentReporter,
    figure,
    jsonable,
    open_reporter,
    plain,
    print_json,
    round_line,
    say,
    show_table,
    size,
)


@given(st.text())
def test_plain_text_holds_no_control_character(text: str) -> None:
    shown = plain(text)
    assert all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert plain(shown) == shown
    shown.encode("utf-8")


def test_plain_leaves_words_alone() -> None:
    assert plain("Café 東京 👟\tA") == "Café 東京 👟 A"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_is_strict_whatever_comes(value: object) -> None:
    text = json.dumps(jsonable(value), allow_nan=False)
    assert json.loads(text) == jsonable(value)


def test_json_takes_numpy_scalars_and_turns_nan_to_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": np.float32(0.5), "b": math.nan, "c": np.float64("inf"), "d": (np.int64(3),)})
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": None, "c": None, "d": [3]}


def test_json_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(TypeError, match="object"):
        jsonable({"a": object()})


def test_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("[bold]x[/bold] \x1b[31m")
    show_table("[t]", ("[c]",), [("[link=http://x]y[/link]",), ("[/]",)])
    out = capsys.readouterr().out
    for part in ("[bold]x[/bold]", "[t]", "[c]", "[link=http://x]y[/link]", "[/]"):
        assert part in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("value", "shown"), [(None, DASH), (math.nan, DASH), (0.12345, "0.123"), (12345, "12,345"), (1234.5, "1,234.500")]
)
def test_figures(value: float | None, shown: str) -> None:
    assert figure(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, DASH), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e12, "3,000.0 GB")],
)
def test_sizes(count: float | None, shown: str) -> None:
    assert size(count) == shown


def test_a_round_in_one_line_leaves_out_what_is_missing() -> None:
    assert round_line({"round": 3, "quality": None, "loss": None, "epsilon_spent": None}) == "round 3"
    full = {"round": 3, "quality": {"loo-99neg": {"hr@10": 0.5, "ndcg@10": 0.25}}, "loss": 2.0, "epsilon_spent": 1.5}
    assert round_line(full) == "round 3  [simulator's view: HR@10 0.500  NDCG@10 0.250  loss 2.000]  epsilon 1.50"


def test_reporters_write_to_stderr_only_and_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter() as reporter:
        assert isinstance(reporter, PlainReporter)
        reporter.stage("Reading \x1b[2J")
        for done in range(1000):
            reporter.progress(done, 1000, "rows")
        reporter.round({"round": 1, "quality": None})
        reporter.round({"round": 2, "quality": {"loo-99neg": {"hr@10": 0.5, "ndcg@10": 0.2}}})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 2
    assert "\x1b" not in printed.err


def test_the_silent_reporter_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter(silent=True) as reporter:
        assert isinstance(reporter, SilentReporter)
        reporter.stage("x")
        reporter.progress(1, 2, "x")
        reporter.round({"round": 1, "quality": {"loo-99neg": {}}})
    assert capsys.readouterr() == ("", "")
