"""Hostile releases: rolled back, or of another signer.

Each attack is tried with its defence, and again with the defence switched off, where it must succeed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hostile_release_cases import KEY, Place, off, tiny

from fedrec.client.feedback import record_clicks
from fedrec.client.personalise import personalise_store
from fedrec.client.ranker import recommend
from fedrec.client.release_memory import StoredMemory
from fedrec.errors import FedrecError, ReleaseError
from fedrec.release.bundle import read_release, write_release
from fedrec.release.keys import SigningKey
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, Manifest

# Rollback.


def test_an_older_release_is_refused_by_every_reader_with_a_store(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.first(place.old) == "i1"
    assert place.first(place.new) == "i2"
    versions = [read_release(one).version for one in (place.old, place.new)]
    assert versions[0] < versions[1]
    for pinned in (None, place.key):
        with pytest.raises(ReleaseError, match=rf"{versions[0]}.*{versions[1]}"):
            place.first(place.old, trusted_key=pinned)
    with pytest.raises(ReleaseError, match="has ranked with version"):
        record_clicks(place.old, place.store, "anna", ["i1"], ["i1"])
    with pytest.raises(ReleaseError, match="has ranked with version"):
        personalise_store(place.old, place.store, steps=1)
    off(monkeypatch, StoredMemory, "check_version")
    assert place.first(place.old) == "i1"


def test_a_person_may_allow_an_older_release_which_forgets_nothing(place: Place) -> None:
    place.first(place.new)
    assert place.first(place.old, allow_older=True) == "i1"
    with pytest.raises(ReleaseError, match="has ranked with version"):
        place.first(place.old)
    assert place.first(place.new) == "i2"


def test_an_old_release_of_another_name_is_no_way_back(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path / "beta", tiny("beta", favourite=3), key=KEY, created_at="2026-10-01T00:00:00Z")
    write_release(tmp_path / "next", tiny("next", favourite=4), key=KEY, created_at="2026-11-03T00:00:00Z")
    place.first(place.new)
    with pytest.raises(ReleaseError, match="has ranked with version"):
        place.first(tmp_path / "beta")
    assert place.first(tmp_path / "next") == "i4"
    assert place.first(place.new) == "i2"  # each name has a version of its own
    off(monkeypatch, StoredMemory, "check_version")
    assert place.first(tmp_path / "beta") == "i3"


def test_two_releases_of_one_version_are_not_both_used(place: Place, tmp_path: Path) -> None:
    write_release(tmp_path / "twin", tiny(favourite=5), key=KEY, created_at="2026-11-02T00:00:00Z")
    assert place.first(place.new) == place.first(place.new) == "i2"
    with pytest.raises(ReleaseError, match="same version"):
        place.first(tmp_path / "twin")


def test_a_release_without_a_version_is_older_than_any(place: Place, tmp_path: Path) -> None:
    data = (place.old / MANIFEST).read_bytes()
    bare = dataclasses.replace(Manifest.from_bytes(data), version=0).to_bytes()
    (place.old / MANIFEST).write_bytes(bare)
    (place.old / SIGNATURE).write_bytes(KEY.public + KEY.sign(CONTEXT, bare))
    assert read_release(place.old).version == 0
    assert place.first(place.old) == "i1"
    assert place.first(place.new) == "i2"
    with pytest.raises(ReleaseError, match="version 0"):
        place.first(place.old)


def test_a_release_that_failed_to_rank_is_not_remembered(place: Place) -> None:
    with pytest.raises(FedrecError):
        recommend(place.new, place.store, "nobody", 1)
    assert place.first(place.old) == "i1"


# The signer.


def test_the_publisher_of_the_first_release_is_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SigningKey.fresh()
    write_release(tmp_path / "forged", tiny(favourite=3), key=other)
    place.first(place.new)
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(tmp_path / "forged")
    (tmp_path / "other.pub").write_text(other.public.hex())
    with pytest.raises(ReleaseError, match="another key than the trusted"):
        place.first(place.new, trusted_key=tmp_path / "other.pub")
    with monkeypatch.context() as patch:
        patch.setattr(StoredMemory, "publisher", None)
        patch.setattr(StoredMemory, "keep", lambda *_: None)
        assert place.first(tmp_path / "forged") == "i3"
    # A person who gives the new key means it.
    assert place.first(tmp_path / "forged", trusted_key=tmp_path / "other.pub") == "i3"
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(place.new)
    assert place.first(place.new, trusted_key=place.key) == "i2"


def test_releases_of_simulations_make_nobody_a_publisher_and_pass_for_nobody(place: Place, tmp_path: Path) -> None:
    config = {**tiny().config, "run": {"engine": "grid"}}
    for name, favourite in (("one", 3), ("two", 4)):
        write_release(tmp_path / name, tiny(favourite=favourite, config=config), key=SigningKey.fresh())
        assert place.first(tmp_path / name) == f"i{favourite}"
    place.first(place.new)
    with pytest.raises(ReleaseError, match="remembers"):
        place.first(tmp_path / "one")


def test_a_simulation_whose_signer_a_person_named_is_remembered(place: Place, tmp_path: Path) -> None:
    config = {**tiny().config, "run": {"engine": "cohort"}}
    write_release(tmp_path / "named", tiny(favourite=3, config=config), key=KEY, created_at="2026-11-03T00:00:00Z")
    assert place.first(tmp_path / "named", trusted_key=place.key) == "i3"
    with pytest.raises(ReleaseError, match="version"):
        place.first(place.new)
