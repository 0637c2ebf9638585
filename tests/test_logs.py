"""No secret, no behaviour and no opaque object gets into a log line, however it is handed over."""

import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from fedrec.logs import REDACTED, redact, set_up_logging

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def redacted(**event: object) -> dict[str, object]:
    return dict(redact(None, "info", dict(event)))


@pytest.mark.parametrize(
    "name",
    ["key", "secret", "private_key", "mask_seed", "maskSeed", "api-token", "password", "noise", "shares", "SECRET_KEY"],
)
@given(value=st.one_of(st.text(min_size=1), st.integers(), st.lists(st.integers())))
def test_whatever_is_called_secret_is_redacted(name: str, value: object) -> None:
    assert redacted(**{name: value}) == {name: REDACTED}
    assert redacted(outer={"inner": [{name: value}]}) == {"outer": {"inner": [{name: REDACTED}]}}


@pytest.mark.parametrize("name", ["user", "item", "history", "titles", "note_text", "photo"])
def test_what_a_person_did_is_redacted_but_counts_are_not(name: str) -> None:
    assert redacted(**{name: "Blue shirt"})[name] == REDACTED
    assert redacted(**{name: 12})[name] == 12


def test_names_that_only_sound_secret_stay() -> None:
    event = {"public_key": "ab" * 32, "key_count": 3, "model_hash": "cd" * 32, "round": 4, "monkey": "x"}
    assert redacted(**event) == event


def test_bytes_arrays_and_objects_show_their_form_only() -> None:
    class Holder:
        def __repr__(self) -> str:
            return SECRET

    event = redacted(a=b"12345", b=np.full((2, 3), 7.5, dtype=np.float32), c=Holder(), d=[bytearray(2)])
    assert event == {"a": "<5 bytes>", "b": "<ndarray float32 [2, 3]>", "c": "<Holder>", "d": ["<2 bytes>"]}


@given(st.binary(min_size=32, max_size=64))
def test_keys_inside_sentences_are_redacted(key: bytes) -> None:
    assert key.hex() not in json.dumps(redacted(event=f"made {key.hex()} today"))


def test_pem_keys_inside_sentences_and_errors_are_redacted() -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"
    for value in (f"read {pem} ok", ValueError(pem), f"cut off {pem[:45]}"):
        assert SECRET not in str(redacted(event=value))


def test_verbose_lines_are_redacted_json_and_foreign_loggers_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=True)
    set_up_logging(verbose=True)
    structlog.get_logger("fedrec.test").info("asked", key=SECRET, devices=3)
    logging.getLogger("somebody.else").info("made %s", "ab" * 32)
    try:
        raise ValueError("ef" * 32)
    except ValueError:
        structlog.get_logger("fedrec.test").exception("failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["asked", f"made {REDACTED}", "failed"]
    assert lines[0]["devices"] == 3
    assert lines[0]["key"] == REDACTED
    assert "ValueError" in lines[2]["exception"]
    assert "efefef" not in json.dumps(lines)


def test_quiet_shows_our_warnings_and_nobody_elses(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False)
    structlog.get_logger("fedrec.test").info("unseen")
    structlog.get_logger("fedrec.test").warning("seen")
    logging.getLogger("somebody.else").warning("unseen")
    logging.getLogger("somebody.else").error("seen")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["seen", "seen"]
