"""The run manifest: what the publisher signed for a run, and so what a device holds every request to.

It says the whole settings, which catalogue, roster and code, the budget, how many people there are, and a seed that
nobody chose. Its digest is the run's name: whoever wants another run, or this one anew, needs another manifest, and its
counter must be higher than that of every one before.

In a file it is two lines of text: the manifest as canonical JSON, and the publisher's Ed25519 signature of that line in
hex. The publisher is who signs the roster, with the same key. A server reads the manifest too, but its word is never
asked for: each device has a file of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from fedrec.code_hash import code_hash
from fedrec.config import Config, from_tree, with_protocol
from fedrec.config.base import Settings
from fedrec.errors import ConfigError, ProtocolError, ReleaseError
from fedrec.randomness import derived_key
from fedrec.release import canonical
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity, verify
from fedrec.secagg.roster import LARGEST, Roster

FORMAT: Final = "fedrec run manifest 1"
SEED_BYTES: Final = 32
LARGEST_FILE: Final = 1 << 20
LARGEST_COUNTER: Final = 2**53 - 1  # every reader of JSON has it exactly
_LABEL: Final = b"run manifest"
_NAMED: Final = "The run manifest"
_RENEW: Final = "Take a fresh copy from the publisher; do not use this one"
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SignedRoster(Settings):
    """Which roster a run is for: `Roster.digest` in hex, its version, and how many devices it lists."""

    digest: _Hex
    version: int = Field(ge=0, lt=1 << 64)
    devices: int = Field(ge=1, le=LARGEST)


class SignedCode(Settings):
    """Which fedrec devices run: version, and `fedrec.code_hash.code_hash`."""

    version: str = Field(min_length=1, max_length=64)
    sha256: _Hex


class SignedBudget(Settings):
    """What the settings promise, once more and in full: what a person looks for first. Nulls: no noise, no promise."""

    unit: Literal["user", "example"]
    epsilon: float | None
    delta: float | None


class RunManifest(Settings):
    """What a publisher signs for a run.

    ``name``: of the run.  ``counter``: 1 to 2^53 - 1; rises from one manifest of a publisher to the next.
    ``settings``: all of them, none left to a default.  ``catalogue``: digest of its features.  ``encoders``: file name
    -> SHA-256 in hex of what encodes a user's own notes and photos, saved beside the features.  ``users``: how many
    people stand behind the roster's devices, all together.  ``seed``: 32 public bytes in hex from the operating system,
    drawn when the manifest was made and so after the roster: who is asked and who neighbours whom follow from it.

    Raises:
        ValidationError: a field is out of range, or budget and settings say different things.
    """

    format: Literal["fedrec run manifest 1"] = FORMAT
    name: str = Field(min_length=1, max_length=255)
    counter: int = Field(ge=1, le=LARGEST_COUNTER)
    settings: dict[str, Any]
    catalogue: _Hex
    encoders: dict[str, _Hex]
    roster: SignedRoster
    code: SignedCode
    budget: SignedBudget
    users: int = Field(ge=1, le=2**40)
    seed: _Hex

    @model_validator(mode="after")
    def _fits(self) -> RunManifest:
        privacy = self.config.privacy
        if self.budget != SignedBudget(unit=privacy.unit, epsilon=privacy.epsilon, delta=self.budget.delta):
            raise ValueError("budget and settings.privacy say different things")
        if privacy.delta != self.budget.delta and privacy.epsilon is not None:
            raise ValueError("budget.delta is not settings.privacy.delta")
        if self.config != with_protocol(self.config, "flower"):
            raise ValueError(
                "settings are not settled: who adds the noise, or how sums are opened, is left to the engine"
            )
        if self.users < self.roster.devices:
            raise ValueError("there are fewer users than devices")
        if self.name != self.config.run.name:
            raise ValueError("name is not settings.run.name")
        return self

    @cached_property
    def config(self) -> Config:
        """The settings. Raises ConfigError where this fedrec reads them as others than are written there."""
        config = from_tree(self.settings)
        if config.model_dump(mode="json") != self.settings:
            signed = f"{self.code.version}, {self.code.sha256[:16]}"
            raise ConfigError(
                f"the manifest's settings are not whole: it was signed with another fedrec ({signed})",
                action="Install that one, or have the manifest signed with this one",
            )
        return config

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of what is signed: the run's name on devices, in their ledgers and in every masked sum."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed."""
        return canonical.encode(self.model_dump(mode="json"), what=_NAMED)

    @classmethod
    def from_bytes(cls, data: bytes) -> RunManifest:
        """The inverse of `to_bytes`.

        Raises:
            ProtocolError: too large, another format, a field missing, unknown or out of range.
        """
        if len(data) > LARGEST_FILE:
            raise ProtocolError("a run manifest is at most 1 MiB", value=len(data), action=_RENEW)
        try:
            tree = canonical.decode(data, what=_NAMED)
            if tree.get("format") != FORMAT:
                raise ProtocolError("this is no run manifest that this fedrec reads", value=tree.get("format"))
            made = cls.model_validate(tree)
        except ReleaseError as error:
            raise ProtocolError(error.what, action=_RENEW) from None
        except ValidationError as error:
            raise ProtocolError(f"a run manifest cannot be used: {what_is_wrong(error)}", action=_RENEW) from None
        except ConfigError as error:
            raise ProtocolError(f"a run manifest's settings cannot be used: {error.what}", action=_RENEW) from None
        if made.to_bytes() != data:
            raise ProtocolError("a run manifest is not in the form that is signed", action=_RENEW)
        return made

    def sign(self, publisher: DeviceIdentity) -> bytes:
        """The file's content. ``publisher``: the key that signs the roster, too."""
        body = self.to_bytes()
        return body + b"\n" + publisher.sign(_LABEL, body).hex().encode() + b"\n"

    @classmethod
    def verify(cls, data: bytes, public: bytes) -> RunManifest:
        """Read what `sign` gave, if the publisher signed it.

        Args:
            data: the file's content.
            public: the publisher's key, 32 bytes.

        Raises:
            RefusedError: the signature does not hold. ProtocolError: it is none, or what it signs is no manifest.
        """
        body, signature = _split(data)
        verify(public, _LABEL, body, signature)
        return cls.from_bytes(body)

    @classmethod
    def read_unverified(cls, data: bytes) -> RunManifest:
        """Read what `sign` gave without asking who signed it: for a server, on whose word no device acts.

        Raises:
            ProtocolError: it is no manifest.
        """
        return cls.from_bytes(_split(data)[0])

    @property
    def cohort_key(self) -> bytes:
        """What decides who is asked in which round, 32 bytes, public (`fedrec.queries.cohorts`)."""
        return derived_key(bytes.fromhex(self.seed), "cohorts")

    def check_code(self) -> None:
        """Raise ConfigError where this process runs another fedrec than the publisher signed."""
        installed = installed_code()
        if self.code.sha256 != installed.sha256:
            raise ConfigError(
                f"the manifest is for fedrec {self.code.version} with the code {self.code.sha256[:16]}",
                value=f"{installed.version}, {installed.sha256[:16]}",
                action="Install the version that the publisher signed, from where they say",
            )

    def check_catalogue(self, digest: str) -> None:
        """Raise ConfigError where a catalogue is not the one that was signed. ``digest``: of its features."""
        if digest != self.catalogue:
            action = "Fetch the run's catalogue from the publisher"
            raise ConfigError("the catalogue is not the one that the manifest names", value=digest[:16], action=action)

    def check_encoders(self, hashes: Mapping[str, str]) -> None:
        """Raise ConfigError where the encoders of a catalogue, which read private notes and photos, were not signed."""
        if dict(hashes) != self.encoders:
            differ = sorted(name for name in {*hashes, *self.encoders} if hashes.get(name) != self.encoders.get(name))
            action = "Fetch the run's catalogue from the publisher, with its encoders"
            raise ConfigError(
                "the catalogue's encoders are not those that the manifest names", value=differ, action=action
            )

    def check_roster(self, roster: Roster) -> None:
        """Raise ConfigError where a roster is not the one that was signed."""
        if roster.digest.hex() != self.roster.digest:
            raise ConfigError(
                f"the roster is not the one that the manifest names, version {self.roster.version}",
                value=roster.version,
                action="Fetch the run's roster from the publisher",
            )


@lru_cache(maxsize=1)
def installed_code() -> SignedCode:
    """The fedrec that this process imported. Raises ReleaseError where its files cannot be read."""
    try:
        number = version("fedrec")
    except PackageNotFoundError:
        number = "unknown"
    return SignedCode(version=number, sha256=code_hash())


def read_manifest(path: Path, public: bytes | None = None) -> RunManifest:
    """The manifest in a file.

    ``public``: the publisher's key; None only for a server, see `RunManifest.read_unverified`.

    Raises:
        ConfigError: the file cannot be read. ProtocolError: it holds no manifest, or one that the key did not sign.
    """
    data = manifest_bytes(path)
    return RunManifest.read_unverified(data) if public is None else RunManifest.verify(data, public)


def manifest_bytes(path: Path) -> bytes:
    """The content of a manifest's file, at most 1 MiB and a signature of it. Raises ConfigError, ProtocolError."""
    most = LARGEST_FILE + 2 * SIGNATURE_BYTES + 2
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        action = "Fetch the publisher's manifest, or make one with fedrec manifest sign"
        raise ConfigError(f"no run manifest: {error.strerror}", value=path.name, action=action) from None
    if len(data) > most:
        raise ProtocolError("a run manifest is at most 1 MiB", value=path.name, action=_RENEW)
    return data


def _split(data: bytes) -> tuple[bytes, bytes]:
    lines = data.split(b"\n")
    try:
        if len(lines) != 3 or lines[2]:
            raise ValueError
        signature = bytes.fromhex(lines[1].decode("ascii"))
    except ValueError:
        raise ProtocolError("this is no signed run manifest", action=_RENEW) from None
    return lines[0], signature


def what_is_wrong(error: ValidationError) -> str:
    """The first few complaints about fields, as one line."""
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()[:3])
