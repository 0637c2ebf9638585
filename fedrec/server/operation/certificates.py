"""An authority of one's own for TLS, and the server's certificate under it, as files."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedrec.errors import ConfigError
from fedrec.whole_files import PUBLIC, write_whole

AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 397
LOCAL_NAMES: Final = ("localhost", "127.0.0.1")
"""Operators on the server's own machine call it by these, so every server's certificate has them."""
_PEM: Final = serialization.Encoding.PEM
_PLAIN: Final = serialization.NoEncryption()


@dataclass(frozen=True)
class Authority:
    """``certificates``: PEM.  ``certificate``: the one that signs.  ``key``: its secret."""

    certificates: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def fresh(cls, name: str, days: int = AUTHORITY_DAYS) -> Authority:
        """A new authority, in memory only."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        made = (
            _certificate(subject, subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(made.public_bytes(_PEM), made, key)

    @classmethod
    def read(cls, certificates: Path, key: Path) -> Authority:
        """One's own, from files in PEM. Raises ConfigError where they cannot be used together."""
        try:
            data = certificates.read_bytes()
            certificate = x509.load_pem_x509_certificate(data)
            secret = serialization.load_pem_private_key(key.read_bytes(), None)
        except OSError as error:
            action = "Give --ca CERTIFICATE,KEY"
            raise ConfigError(f"no authority: {error.strerror}", value=str(error.filename), action=action) from None
        except (ValueError, TypeError):
            action = "Give both in PEM, and the key without a passphrase"
            raise ConfigError("the authority cannot be read", value=certificates.name, action=action) from None
        if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != certificate.public_key():
            action = "Give an authority's certificate and its own key, of an elliptic curve"
            raise ConfigError("the authority's key is not its certificate's", value=key.name, action=action)
        return cls(data, certificate, secret)

    def write(self, certificates: Path, key: Path) -> None:
        """Write it to two files, the secret one for its owner alone. Raises StoreError."""
        write_whole(certificates, self.certificates, mode=PUBLIC)
        write_whole(key, self.key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _PLAIN))

    def write_server(self, certificate: Path, key: Path, names: Sequence[str], days: int = SERVER_DAYS) -> None:
        """Certify a server with a fresh key.

        Args:
            certificate: where the certificate goes.
            key: where its secret key goes, for its owner alone.
            names: host names and addresses that devices call; those of its own machine are added.
            days: for which it holds.

        Raises:
            ConfigError: a name is none. StoreError: a file cannot be written.
        """
        secret = ec.generate_private_key(ec.SECP256R1())
        known = list(dict.fromkeys([*names, *LOCAL_NAMES]))
        leaf = (
            _certificate(_name(known[0]), self.certificate.subject, secret.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(one) for one in known]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        write_whole(certificate, leaf.public_bytes(_PEM), mode=PUBLIC)
        write_whole(key, secret.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _PLAIN))


def expiry_of(certificate: Path) -> datetime:
    """When a certificate in a file ends. Raises ConfigError where there is none."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        action = "Restore it from a backup, or run fedrec server certify"
        raise ConfigError("the server's certificate cannot be read", value=certificate.name, action=action) from None


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise ConfigError("this is no host's name", value=name, action="Write it in ASCII") from None


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])
