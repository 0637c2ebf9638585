"""What is the same for all devices of a process: the settings that it accepted, the manifest, and the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedrec.client.budget import agreement_key
from fedrec.config import Config
from fedrec.content.feature_table import Features, encoder_hashes, load_table
from fedrec.content.fit import fit_to_content
from fedrec.errors import ProtocolError
from fedrec.queries.cohorts import cohort_key
from fedrec.queries.run_manifest import RunManifest

if TYPE_CHECKING:
    from fedrec.client.load_population import LoadedPopulation
    from fedrec.client.query_handler import QueryHandler
    from fedrec.content.own_content import StoredContentEncoder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DeviceContext:
    """What is the same for all devices of a process: the settings it accepted, and the catalogue. Nobody's data.

    Each part is read when it is first needed, and so is the code for it: of the six messages of a secure sum only one
    needs a model.

    Args:
        accepted: the settings, as the publisher signed them and the device's owner accepted them.
        directory: the catalogue's, made by `save_features`.
        manifest: what the publisher signed; None in simulations only.
        sliced: each store is a slice of a simulated population, whose users are computed in one vectorised pass.

    The properties raise ContentError where the catalogue cannot be read, ConfigError where it is not the manifest's.
    """

    accepted: Config
    directory: Path
    manifest: RunManifest | None = None
    sliced: bool = False

    def run_name(self, run_id: int) -> str:
        """What names the run on this device: the manifest's digest, and Flower's run id in simulations only.

        The server makes up run ids, so nothing may hang on one.
        """
        return str(run_id) if self.manifest is None else self.manifest.digest

    @cached_property
    def config(self) -> Config:
        """The settings without what the catalogue has nothing of, as the server of a run over it has them.

        Raises:
            ConfigError: the settings cannot be fitted to the catalogue.
        """
        config, left_out = fit_to_content(self.accepted, self.features)
        for sentence in left_out:
            _log.info("settings fitted to the content: %s", sentence)
        return config

    @cached_property
    def features(self) -> Features:
        """Of the catalogue's items."""
        features = load_table(self.directory)
        if self.manifest is not None:
            self.manifest.check_catalogue(features.digest())
        return features

    @cached_property
    def catalogue(self) -> str:
        """The digest of its features."""
        return self.features.digest()

    @property
    def agreement(self) -> str:
        """Names what the device accepted in its ledger: the manifest's digest, which no server can make up."""
        return agreement_key(self.config, self.catalogue) if self.manifest is None else self.manifest.digest

    @property
    def cohort_key(self) -> bytes:
        """What decides who is asked in which round, 32 bytes, public."""
        return cohort_key(self.accepted, self.manifest)

    @property
    def index(self) -> Mapping[str, int]:
        """Item id -> place."""
        return self.features.index

    @cached_property
    def handler(self) -> QueryHandler:
        """What answers requests, row by row: how sums over a batch are rounded depends on the rows that are in it, and
        where a row's terms cancel, on nothing else."""
        from fedrec.client.query_handler import QueryHandler

        if self.sliced:
            return QueryHandler(self.config, self.features)
        speed = self.config.speed.model_copy(update={"batch_rows": 1})
        return QueryHandler(self.config.model_copy(update={"speed": speed}), self.features)

    @cached_property
    def slices(self) -> dict[Path, LoadedPopulation]:
        """Slices of a simulated population that this process has read, by the path of their store."""
        return {}

    @cached_property
    def own_encoders(self) -> tuple[StoredContentEncoder | None, StoredContentEncoder | None]:
        """What encodes notes, and what encodes photos; None where the model does not read them.

        They read what is private, so the publisher must have signed them, as all else that a device runs.
        """
        notes, photos = self.config.model.notes, self.config.model.photos
        if not (notes or photos):
            return None, None
        if self.manifest is not None:
            self.manifest.check_encoders(encoder_hashes(self.directory))
        from fedrec.content.features import load_features
        from fedrec.content.own_content import StoredContentEncoder

        encoders = load_features(self.directory)[1]
        return (
            StoredContentEncoder.of(encoders.get("text")) if notes else None,
            StoredContentEncoder.of(encoders.get("image")) if photos else None,
        )

    def check_catalogue(self, digest: str) -> None:
        """Raise ProtocolError where a request is about another catalogue than the device's."""
        if digest != self.catalogue:
            raise ProtocolError(
                "the request is about another catalogue than this device has",
                value=digest,
                action="Give the device the run's catalogue",
            )
