from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundle_cases import KEY, resign, sign
from release_cases import CREATED, contents

from fedrec.errors import ReleaseError
from fedrec.release import manifest as manifests
from fedrec.release.bundle import read_release, write_release
from fedrec.release.contents import ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, FileEntry


def assert_same(a: ReleaseContents, b: ReleaseContents) -> None:
    assert (a.name, a.card, dict(a.config), dict(a.privacy)) == (b.name, b.card, dict(b.config), dict(b.privacy))
    assert dict(a.encoders) == dict(b.encoders)
    assert (a.items.ids, a.items.titles, list(a.items.values)) == (b.items.ids, b.items.titles, list(b.items.values))
    pairs = [(a.items.values, b.items.values), (a.items.present, b.items.present)]
    assert (a.model is None, a.collaborative is None) == (b.model is None, b.collaborative is None)
    if a.model is not None and b.model is not None:
        facts = ("settings", "temperature", "vocabulary", "offset")
        assert all(getattr(a.model, name) == getattr(b.model, name) for name in facts)
        assert list(a.model.shapes.items()) == list(b.model.shapes.items())
        assert list(a.model.parameters) == list(b.model.parameters)
        pairs.append((a.model.parameters, b.model.parameters))
    if a.collaborative is not None and b.collaborative is not None:
        pairs.append((a.collaborative.arrays(), b.collaborative.arrays()))
    for one, other in pairs:
        for name, array in one.items():
            assert array.dtype == other[name].dtype
            np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize(("collaborative", "model"), [(True, True), (False, True), (True, False)])
def test_what_is_written_is_read(tmp_path: Path, collaborative: bool, model: bool) -> None:
    given = contents(collaborative=collaborative, model=model)
    write_release(tmp_path / "r", given, key=KEY, created_at=CREATED)
    read = read_release(tmp_path / "r", trusted_key=KEY.public)
    assert_same(given, read.contents)
    assert read.trusted and read.signer == KEY.public and read.created_at == CREATED
    assert read.fingerprint == KEY.fingerprint


def test_equal_contents_give_equal_files(tmp_path: Path, release: Path) -> None:
    write_release(tmp_path / "again", contents(), key=KEY, created_at=CREATED)
    for path in release.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_without_a_trusted_key_it_is_read_but_not_trusted(release: Path) -> None:
    assert not read_release(release).trusted


def test_only_the_asked_for_files_are_there(release: Path) -> None:
    assert {path.name for path in release.iterdir()} == {
        *("manifest.json", "manifest.sig", "catalogue.json", "features.safetensors", "model.json", "config.json"),
        *("model.safetensors", "behaviour.safetensors", "encoder-text.safetensors", "encoder-image.safetensors"),
        *("privacy.json", "MODEL_CARD.md"),
    }
    assert not list(release.parent.glob(".*"))


def test_every_flipped_bit_is_found(release: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(release.iterdir()):
        good = path.read_bytes()
        tries = 150 if path.name in (MANIFEST, SIGNATURE) else 12
        places = {0, len(good) - 1, *rng.integers(0, len(good), tries).tolist()}
        for place in places:
            bad = bytearray(good)
            bad[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(bad)
            with pytest.raises(ReleaseError):
                read_release(release)
        path.write_bytes(good)
    read_release(release)


def test_a_missing_truncated_or_longer_file_is_found(release: Path) -> None:
    for path in sorted(release.iterdir()):
        good = path.read_bytes()
        for bad in (b"", good[:-1], good[: len(good) // 2], good + b"\0"):
            path.write_bytes(bad)
            with pytest.raises(ReleaseError):
                read_release(release)
        path.unlink()
        with pytest.raises(ReleaseError, match=path.name):
            read_release(release)
        path.write_bytes(good)


def test_a_file_that_nobody_signed_is_refused(release: Path) -> None:
    (release / "extra.json").write_text("{}")
    with pytest.raises(ReleaseError, match="nobody signed"):
        read_release(release)


def test_another_key_is_refused(release: Path) -> None:
    other = SigningKey.fresh()
    with pytest.raises(ReleaseError, match="another key"):
        read_release(release, trusted_key=other.public)
    resign(release, key=other)
    assert read_release(release, trusted_key=other.public).fingerprint == other.fingerprint
    with pytest.raises(ReleaseError, match="another key"):
        read_release(release, trusted_key=KEY.public)


def test_a_signature_by_another_key_under_the_trusted_name_is_refused(release: Path) -> None:
    data = (release / MANIFEST).read_bytes()
    (release / SIGNATURE).write_bytes(KEY.public + SigningKey.fresh().sign(CONTEXT, data))
    with pytest.raises(ReleaseError, match="does not hold"):
        read_release(release, trusted_key=KEY.public)


def test_a_signature_made_for_another_purpose_is_refused(release: Path) -> None:
    data = (release / MANIFEST).read_bytes()
    (release / SIGNATURE).write_bytes(KEY.public + KEY.sign(b"roster", data))
    with pytest.raises(ReleaseError, match="does not hold"):
        read_release(release)


def test_a_manifest_of_another_release_is_refused(release: Path, tmp_path: Path) -> None:
    write_release(tmp_path / "other", contents(name="other", collaborative=False), key=KEY)
    for name in (MANIFEST, SIGNATURE):
        (release / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ReleaseError):
        read_release(release)


def test_a_newer_version_says_so(release: Path) -> None:
    value = json.loads((release / MANIFEST).read_bytes())
    value["schema"] = manifests.SCHEMA + 1
    sign(release, json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    with pytest.raises(ReleaseError, match="Update fedrec"):
        read_release(release)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.json",
        "a/b.json",
        "/etc/passwd.json",
        "..",
        ".hidden.json",
        "a\\b.json",
        "manifest.json",
        "x\0.json",
        "",
    ],
)
def test_a_file_name_that_leads_elsewhere_is_refused(release: Path, name: str) -> None:
    (release.parent / "outside.json").write_text("{}")
    resign(release, {name: FileEntry.of(b"{}")})
    with pytest.raises(ReleaseError, match="no release may hold"):
        read_release(release)


def test_a_link_is_not_followed(release: Path) -> None:
    target = release.parent / "elsewhere"
    (release / "config.json").rename(target)
    (release / "config.json").symlink_to(target)
    with pytest.raises(ReleaseError, match="plain file"):
        read_release(release)


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b'{"schema":1}',
        b'{"schema":true}',
        b'{"a":1,"a":2}',
        b"[" * 100_000,
        b'{"schema":NaN}',
    ],
)
def test_a_signed_manifest_that_is_none_is_refused(release: Path, manifest: bytes) -> None:
    sign(release, manifest)
    with pytest.raises(ReleaseError):
        read_release(release)


@pytest.mark.parametrize(
    "entry", [[], {"bytes": -1, "sha256": "0" * 64}, {"bytes": True, "sha256": "0" * 64}, {"bytes": 1}]
)
def test_a_damaged_entry_is_refused(release: Path, entry: object) -> None:
    value = json.loads((release / MANIFEST).read_bytes())
    value["files"]["config.json"] = entry
    sign(release, json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    with pytest.raises(ReleaseError, match="entry"):
        read_release(release)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("features.safetensors", b"not arrays"),
        ("model.safetensors", b"\xff" * 64),
        ("catalogue.json", b'{"ids":[],"modalities":["text"],"titles":[]}'),
        ("catalogue.json", b"{}"),
        ("model.json", b"{}"),
        ("config.json", b"[1]"),
        ("config.json", b'{"a" : 1}'),
        ("MODEL_CARD.md", b"\xff\xfe"),
    ],
)
def test_signed_nonsense_is_refused_with_an_error_of_ours(release: Path, file: str, data: bytes) -> None:
    (release / file).write_bytes(data)
    resign(release)
    with pytest.raises(ReleaseError):
        read_release(release)


def test_a_signed_release_without_a_part_is_refused(release: Path) -> None:
    (release / "model.json").unlink()
    resign(release)
    with pytest.raises(ReleaseError, match="lacks a file"):
        read_release(release)


def test_a_signed_file_of_an_unknown_kind_is_refused(release: Path) -> None:
    (release / "model.pkl").write_bytes(b"x")
    resign(release)
    with pytest.raises(ReleaseError, match="unknown kind"):
        read_release(release)


def test_a_release_in_the_place_of_another_has_a_higher_version(release: Path) -> None:
    before = read_release(release).version
    write_release(release, contents(), key=KEY, created_at=CREATED, replace=True)
    assert read_release(release).version == before + 1


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", 2**53, None])
def test_a_version_that_is_none_is_refused(release: Path, version: object) -> None:
    value = json.loads((release / MANIFEST).read_bytes())
    value["version"] = version
    sign(release, json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    with pytest.raises(ReleaseError, match="version"):
        read_release(release)
