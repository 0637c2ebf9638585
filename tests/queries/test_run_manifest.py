"""A run manifest: one form, signed, whole, and bounded before anything of it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import query_cases

from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries import run_manifest
from fedrec.queries.run_manifest import RunManifest, SignedCode, read_manifest
from fedrec.queries.run_manifest_draft import make_manifest, settled_for_devices
from fedrec.queries.run_manifest_words import described, trusted
from fedrec.release import canonical
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster

PUBLISHER = DeviceIdentity.fresh()
CATALOGUE = query_cases.catalogue(40)
ROSTER = Roster.of([DeviceIdentity.fresh().public for _ in range(30)], version=3)
CONFIG = from_tree({"run": {"name": "shop"}, "privacy": {"epsilon": 3.0}, "model": {"preset": "text-only"}})


def made(config: Config = CONFIG, **more: int) -> RunManifest:
    return make_manifest(config, CATALOGUE, ROSTER, counter=more.pop("counter", 1), **more)


def signed(tree: dict[str, object]) -> bytes:
    body = canonical.encode(tree, what="it")
    return body + b"\n" + PUBLISHER.sign(b"run manifest", body).hex().encode() + b"\n"


def test_what_was_signed_is_read_back_with_all_that_is_agreed() -> None:
    manifest = made(users=50)
    found = RunManifest.verify(manifest.sign(PUBLISHER), PUBLISHER.public)
    assert found.to_bytes() == manifest.to_bytes()
    assert found.digest == manifest.digest
    assert found.config == settled_for_devices(CONFIG, CATALOGUE, 50)
    assert found.config.secure_aggregation.protocol == "secagg+"
    assert found.config.privacy.delta == found.budget.delta == pytest.approx(50**-1.1)
    assert (found.users, found.roster.devices, found.roster.version) == (50, 30, 3)
    found.check_code()
    found.check_catalogue(CATALOGUE.digest())
    found.check_roster(ROSTER)
    with pytest.raises(ConfigError, match="catalogue"):
        found.check_catalogue("0" * 64)
    with pytest.raises(ConfigError, match="roster"):
        found.check_roster(Roster.of(ROSTER.devices, version=4))


def test_the_seed_is_drawn_each_time_and_decides_the_name() -> None:
    one, other = made(), made()
    assert one.seed != other.seed
    assert one.digest != other.digest
    assert one.cohort_key != other.cohort_key


def test_another_key_another_line_or_a_changed_byte_is_refused() -> None:
    data = made().sign(PUBLISHER)
    with pytest.raises(ProtocolError, match="signature"):
        RunManifest.verify(data, DeviceIdentity.fresh().public)
    body, signature, _ = data.split(b"\n")
    for wrong in (body, data + b"\n", body + b"\n" + signature, body + b"\nnothex\n", b"", b"\n\n"):
        with pytest.raises(ProtocolError):
            RunManifest.verify(wrong, PUBLISHER.public)
    for place in range(0, len(body), 101):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(ProtocolError):
            RunManifest.verify(bytes(changed), PUBLISHER.public)
    roster = ROSTER.to_bytes()
    with pytest.raises(ProtocolError):  # a signature for one purpose stands for no other
        RunManifest.verify(roster + b"\n" + PUBLISHER.sign(b"roster", roster).hex().encode() + b"\n", PUBLISHER.public)


@pytest.mark.parametrize(
    "change",
    [
        {"counter": 0},
        {"counter": 2**53},
        {"counter": True},
        {"counter": "1"},
        {"name": ""},
        {"name": "another"},
        {"seed": "00"},
        {"seed": "g" * 64},
        {"catalogue": "A" * 64},
        {"users": 29},
        {"format": "fedrec run manifest 2"},
        {"settings": {}},
        {"settings": {"run": {"colour": 1}}},
        {"budget": {"unit": "user", "epsilon": 8.0, "delta": 0.01}},
        {"budget": {"unit": "user", "epsilon": 3.0, "delta": 1e-9}},
        {"roster": {"digest": "0" * 64, "version": 1, "devices": 0}},
        {"more": 1},
    ],
)
def test_a_field_out_of_range_is_refused_though_it_is_signed(change: dict[str, object]) -> None:
    tree = {**json.loads(made().to_bytes()), **change}
    with pytest.raises(ProtocolError):
        RunManifest.verify(signed(tree), PUBLISHER.public)


def test_settings_that_another_fedrec_would_read_otherwise_are_refused() -> None:
    tree = json.loads(made().to_bytes())
    del tree["settings"]["run"]["seed"]  # a default here, and perhaps another one there
    with pytest.raises(ProtocolError, match="not whole"):
        RunManifest.verify(signed(tree), PUBLISHER.public)
    for section, key in (("secure_aggregation", "protocol"), ("privacy", "noise_place")):
        tree = json.loads(made().to_bytes())
        tree["settings"][section][key] = "auto"
        with pytest.raises(ProtocolError, match="not settled"):
            RunManifest.verify(signed(tree), PUBLISHER.public)


def test_what_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_parsing(*_: object, **__: object) -> object:
        raise AssertionError("parsed")

    monkeypatch.setattr(run_manifest.canonical, "decode", no_parsing)
    (tmp_path / "big").write_bytes(b" " * (1 << 21))
    with pytest.raises(ProtocolError, match="1 MiB"):
        read_manifest(tmp_path / "big")
    body = b" " * ((1 << 20) + 1)
    with pytest.raises(ProtocolError, match="1 MiB"):
        RunManifest.verify(
            body + b"\n" + PUBLISHER.sign(b"run manifest", body).hex().encode() + b"\n", PUBLISHER.public
        )


def test_another_fedrec_than_the_signed_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = made()
    monkeypatch.setattr(run_manifest, "installed_code", lambda: SignedCode(version="9", sha256="0" * 64))
    with pytest.raises(ConfigError, match="manifest is for fedrec"):
        manifest.check_code()


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"privacy": {"epsilon": 3.0, "noise_place": "server"}}, "trusted with exact sums, and to add"),
        ({"privacy": {"epsilon": 3.0, "noise_place": "distributed"}}, "trusted with nothing"),
        ({"secure_aggregation": {"protocol": "none"}}, "contribution of every single device"),
        ({"privacy": {"noise_place": "server"}}, "exact sums, and so is whoever sees the release"),
    ],
)
def test_the_first_words_say_who_is_trusted_with_what(sections: dict[str, dict[str, object]], says: str) -> None:
    manifest = made(from_tree(sections))
    assert says in trusted(manifest.config)
    words = dict(described(manifest))
    assert {"run", "promise", "devices", "roster", "catalogue", "code", "seed", "digest"} <= set(words)


def test_a_manifest_that_cannot_be_is_not_made() -> None:
    with pytest.raises(ConfigError, match="users"):
        made(users=29)
    with pytest.raises(ConfigError, match="counter"):
        made(counter=0)
