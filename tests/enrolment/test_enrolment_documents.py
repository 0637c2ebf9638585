"""Invites and requests, which people carry and anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.client.node_key import write_node_key
from fedrec.enrolment.documents import LARGEST_DOCUMENT, parse_document
from fedrec.enrolment.invite import Invite, parse_address, read_invite
from fedrec.enrolment.public_paths import PREFIX, public_name
from fedrec.enrolment.request import EnrolmentRequest, read_request
from fedrec.errors import ConfigError, FedrecError, ProtocolError
from fedrec.secagg.identity import DeviceIdentity

PUBLISHER = DeviceIdentity.fresh().public


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> EnrolmentRequest:
    key = write_node_key(tmp_path_factory.mktemp("key") / "node.key").read_text(encoding="ascii")
    return EnrolmentRequest.signed("phone-1", DeviceIdentity.fresh(), key, PUBLISHER)


def test_a_request_comes_back_from_its_file_and_holds_no_secret(request_of: EnrolmentRequest, tmp_path: Path) -> None:
    request_of.write(tmp_path / "request.json")
    assert read_request(tmp_path / "request.json", PUBLISHER) == request_of
    assert "PRIVATE" not in (tmp_path / "request.json").read_text(encoding="utf-8")


def test_a_node_key_cannot_be_put_under_another_identity(request_of: EnrolmentRequest, tmp_path: Path) -> None:
    other = write_node_key(tmp_path / "node.key").read_text(encoding="ascii").strip()
    for changed in ({"node_key": other}, {"identity": DeviceIdentity.fresh().public.hex()}, {"name": "phone-2"}):
        with pytest.raises(ProtocolError, match="signature"):
            request_of.model_copy(update=changed).check(PUBLISHER)


def test_a_request_for_another_publisher_is_refused(request_of: EnrolmentRequest) -> None:
    with pytest.raises(ProtocolError, match="another publisher"):
        request_of.check(DeviceIdentity.fresh().public)


@given(st.dictionaries(st.sampled_from(["name", "identity", "node_key", "publisher", "proof", "x"]), st.text()))
def test_whatever_a_request_holds_it_is_refused_in_words(fields: dict[str, str]) -> None:
    with pytest.raises(FedrecError):
        parse_document(json.dumps(fields).encode(), EnrolmentRequest, "enrolment request").check(PUBLISHER)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_invite_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="no invite"):
        parse_document(data, Invite, "invite")


def test_a_document_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "invite.json").write_bytes(b" " * (LARGEST_DOCUMENT + 1))
    with pytest.raises(ProtocolError, match="at most"):
        read_invite(tmp_path / "invite.json")
    with pytest.raises(ConfigError, match="no invite"):
        read_invite(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["h:1", "127.0.0.1:9443", "[::1]:65535", "fedrec.example.org:443"])
def test_an_address_is_read(text: str) -> None:
    host, port = parse_address(text)
    assert text.endswith(f":{port}") and host.strip("[]") in text


@pytest.mark.parametrize("text", ["", "h", ":1", "h:0", "h:65536", "h:x", "h h:1", "h:1:2", "user@h:1", "h/p:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        parse_address(text)


@given(st.text(alphabet="ab./\\%-_\x00 manifestcatalogueroster", max_size=40))
def test_a_public_path_never_leads_out_of_its_directory(text: str) -> None:
    name = public_name(PREFIX + text)
    if name is not None:
        assert len(name) <= 2
        assert all(part and not part.startswith(".") and not set(part) & set("/\\\x00%") for part in name)


def test_what_is_public_is_named() -> None:
    assert public_name("/fedrec/manifest") == ("manifest",)
    assert public_name("/fedrec/release/model.safetensors") == ("release", "model.safetensors")
    for path in ("/fedrec/", "/fedrec/manifest/x", "/fedrec/release", "/fedrec/runs/x", "/fedrec/catalogue/../x"):
        assert public_name(path) is None
