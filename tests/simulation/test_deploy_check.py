"""The real thing on loopback: TLS, authenticated nodes, secure aggregation, and devices that rank by the release."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from fedrec.client.node_key import write_node_key
from fedrec.simulation.engines.flower import processes_of
from server.deploy.check import check
from server.deploy.credentials import write_certificates
from server.deploy.deployment import DEVICES


def test_certificates_are_for_loopback_and_signed_by_the_authority(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    ca, leaf = (x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("ca.pem", "server.pem"))
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    secret = load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    assert secret.public_key() == leaf.public_key()
    assert (tmp_path / "server.key").stat().st_mode & 0o077 == 0


def test_a_node_key_is_what_flower_reads(tmp_path: Path) -> None:
    public = write_node_key(tmp_path / "node")
    secret = load_ssh_private_key((tmp_path / "node").read_bytes(), None)
    assert public.read_bytes().startswith(b"ecdsa-sha2-nistp384 ")
    assert secret.public_key() is not None
    assert (tmp_path / "node").stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.flower
def test_authenticated_devices_train_with_masks_and_noise_of_their_own_rank_and_refuse(tmp_path: Path) -> None:
    checked = check(tmp_path)
    assert processes_of(tmp_path / "network") == []
    assert checked.record["secure_aggregation"]["protocol"] == "secagg+"
    assert checked.record["privacy"]["noise_place"] == "distributed"
    assert checked.record["privacy"]["epsilon_server"] == pytest.approx(8.0, rel=1e-3)
    assert checked.record["privacy"]["epsilon_released"] == pytest.approx(8.0, rel=1e-3)
    assert [line["devices"] for line in checked.record["rounds"]] == [DEVICES]
    assert len(checked.ranked) == DEVICES
    assert all(len(set(items)) == 5 for items in checked.ranked.values())
    assert len(checked.outcomes) == 6
    assert [outcome for outcome in checked.outcomes if not outcome.held] == []
