"""Who is left out of a run: by proof at once, on suspicion when it comes again, and after a restart as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.secagg.blame import FALSE_DEALING, FALSE_SHARE
from fedrec.server.exclusions import STRIKES, SUSPECTED, Exclusions
from fedrec.server.state import ServerState

A, B, C = (bytes([number]) * 32 for number in range(3))


def test_what_is_proved_counts_at_once_and_for_good() -> None:
    exclusions = Exclusions()
    exclusions.begin()
    assert A not in exclusions
    exclusions.proved({A: FALSE_SHARE})
    exclusions.begin()
    assert A in exclusions and B not in exclusions
    exclusions.proved({A: "malformed", B: "malformed"})
    assert exclusions.counts == {FALSE_SHARE: 1, "malformed": 1}


def test_suspects_are_out_of_this_sum_and_after_the_second_of_all() -> None:
    exclusions = Exclusions()
    for number in range(STRIKES):
        exclusions.begin()
        assert A not in exclusions, number
        # However many attempts at one sum name it, that is one strike.
        exclusions.suspected([A])
        exclusions.suspected([A])
        assert A in exclusions
    exclusions.begin()
    assert A in exclusions and exclusions.counts == {SUSPECTED: 1}


def test_for_want_of_others_all_are_asked_again_but_those_whose_lie_cannot_be_corrected() -> None:
    exclusions = Exclusions()
    exclusions.proved({B: FALSE_DEALING, C: FALSE_SHARE})
    for _ in range(STRIKES):
        exclusions.begin()
        exclusions.suspected([A, B])
    exclusions.forgive()
    assert A not in exclusions and B in exclusions and C not in exclusions
    assert exclusions.counts == {FALSE_DEALING: 1}


def test_a_restart_remembers(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    with ServerState(path, "run") as state:
        exclusions = Exclusions()
        exclusions.keep_in(state)
        exclusions.proved({A: "malformed"})
        exclusions.begin()
        exclusions.suspected([B])
        assert not state.begun, "nothing was learned yet"
    with ServerState(path, "run") as state:
        again = Exclusions()
        again.keep_in(state)
        assert A in again and B not in again and C not in again
        again.begin()
        again.suspected([B])
        assert B in again
        again.begin()
        assert B in again
        assert again.counts == {"malformed": 1, SUSPECTED: 1}


@pytest.mark.parametrize("nothing", [{}, []])
def test_nothing_found_changes_nothing(nothing: object) -> None:
    exclusions = Exclusions()
    exclusions.proved(dict(nothing))  # type: ignore[call-overload]
    exclusions.suspected(list(nothing))  # type: ignore[call-overload]
    assert not exclusions.counts and A not in exclusions
