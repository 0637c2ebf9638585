"""The device's half of query ``training``: clipped gradient sums, or a device's own noisy steps."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative import item_tables
from fedrec.content.feature_table import Features
from fedrec.errors import PrivacyError, ProtocolError
from fedrec.privacy.run_plan import is_local
from fedrec.queries import adaptive_clip
from fedrec.queries.device.encoder import EncoderContext, Floats, QueryEncoder
from fedrec.queries.device.public_check import check_array, check_item_vectors
from fedrec.queries.model_update import bound_of, log_inclusion
from fedrec.queries.query import vector_of
from fedrec.queries.request import Request
from fedrec.training.local_noise import LocalNoise
from fedrec.users import UserBatch

if TYPE_CHECKING:
    from fedrec.model.recommender import Recommender
    from fedrec.training.learner import Learner
    from fedrec.training.local import LocalLearner
    from fedrec.training.update import Update


class ModelUpdateEncoder(QueryEncoder):
    """Clips rows' gradients by Opacus; keeps the model between calls, no user's data."""

    def __init__(self, context: EncoderContext) -> None:
        super().__init__(context)
        self._learner: Learner | None = None
        self._local: LocalLearner | None = None
        self._read: tuple[bytes, Features] | None = None
        self._last: Update | None = None
        self._checked: bytes | None = None

    def check(self, request: Request) -> None:
        """Hold parameters, frozen parts and tables to `public_check`, and the model to the whole catalogue.

        The catalogue is encoded once a broadcast.

        Raises:
            ProtocolError, ModelError: as `QueryEncoder.check`.
        """
        self._asked(request)
        inclusion = self._inclusion(request)
        if inclusion is not None:
            check_array("chances of negatives", inclusion)
        learner = self.local_learner() if self.adds_own_noise else self.learner()
        self._become(learner.model, request)

    def rows(self, request: Request, population: UserBatch) -> int:
        """Users, or their groups of interactions; 1 where a device adds all noise itself."""
        if self.adds_own_noise:
            return 1
        groups = self.config.training.examples if self.config.privacy.unit == "example" else 1
        return max(1, len(population)) * groups

    @property
    def adds_own_noise(self) -> bool:
        """With ``privacy.noise_place`` ``local``."""
        return is_local(self.config)

    @property
    def last_update(self) -> Update | None:
        """Loss and clipped rows of the last contribution."""
        return self._last

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """The sum of clipped gradients; with an adaptive clip, one element more says how many rows were within it.

        Raises:
            PrivacyError: the device's settings have it add all noise itself.
            ProtocolError, ModelError: as `QueryEncoder.encode`.
        """
        if self.adds_own_noise:
            raise PrivacyError("a device that adds all noise itself encodes one device at a time", value=request.round)
        values, pool, clip = self._asked(request)
        learner = self.learner()
        self._become(learner.model, request)
        update = learner.update(population, values, pool, request.round, clip, self._inclusion(request))
        self._last = update
        adaptive = self.config.privacy.adaptive_clip
        if adaptive is None:
            return update.gradient
        bit = adaptive_clip.bits(update.rows - update.clipped, update.clipped, clip, adaptive)
        return np.append(update.gradient, bit)

    def encode_private(self, request: Request, device: UserBatch, noise: LocalNoise) -> Floats:
        """How far a device's own noisy steps went, as one row within its bound.

        A device without interactions contributes noise alone, so that nobody can tell.
        """
        values, pool, _ = self._asked(request)
        learner = self.local_learner()
        self._become(learner.model, request)
        update = learner.update(device, values, pool, request.round, noise, self._inclusion(request))
        self._last = update
        return update.gradient

    def learner(self) -> Learner:
        """What clips rows of model updates; built when it is first needed."""
        if self._learner is None:
            # Here, since torch takes seconds to import, and counts are asked for more often than models are trained.
            from fedrec.training.learner import Learner

            self._learner = Learner(self.config, self.read)
        return self._learner

    def local_learner(self) -> LocalLearner:
        """What takes a device's own noisy steps; built when it is first needed."""
        if self._local is None:
            from fedrec.training.local import LocalLearner

            self._local = LocalLearner(self.config, self.read)
        return self._local

    @property
    def read(self) -> Features:
        """The features as the model of the last request reads them."""
        return self.features if self._read is None else self._read[1]

    def _asked(self, request: Request) -> tuple[NDArray[np.float32], NDArray[np.int32], float]:
        """The parameters, the pool and the clip of a round, held to what was agreed."""
        clip = adaptive_clip.agreed_clip(request.settings.get(adaptive_clip.CLIP), request.round, self.config.privacy)
        if request.sum.bound != bound_of(self.config, clip):
            raise ProtocolError(
                "a model update is asked with another bound than this device agreed to", value=request.sum.bound
            )
        self._extend(request)
        pool = vector_of(request, "pool").astype(np.int32)
        if not (pool.min() >= 0 and pool.max() < len(self.features)):
            raise ProtocolError("the pool of negatives is not of this catalogue", value=pool.shape)
        return vector_of(request, "parameters").astype(np.float32), pool, clip

    def _inclusion(self, request: Request) -> NDArray[np.float32] | None:
        return log_inclusion(self.config, request, len(self.features))

    def _extend(self, request: Request) -> None:
        """Read features as the request's tables extend them; what was built to read other ones is dropped."""
        tables = item_tables.agreed(self.config, request.arrays, len(self.features))
        joined = b"".join(name.encode() + tables[name].tobytes() for name in sorted(tables))
        digest = hashlib.sha256(joined).digest()
        if self._read is None or self._read[0] != digest:
            self._read = (digest, item_tables.extended(self.config, self.features, tables))
            self._learner = self._local = self._checked = None

    def _become(self, model: Recommender, request: Request) -> None:
        """Set the model to what was broadcast, after holding it to `public_check`, once a broadcast.

        Raises ProtocolError where it leads beyond all numbers for an item, ModelError where it is of another model.
        """
        from fedrec.model import parameters
        from fedrec.ranking.item_vectors import ItemVectors

        told = [request.arrays[name] for name in ("parameters", "frozen") if name in request.arrays]
        digest = hashlib.sha256(b"".join(len(values).to_bytes(8, "little") + values.tobytes() for values in told))
        if digest.digest() != self._checked:
            for name in ("parameters", "frozen", item_tables.FACTORS):
                check_array(name, request.arrays.get(name, np.zeros(0)))
        parameters.receive(model, request.arrays)
        if digest.digest() != self._checked:
            check_item_vectors(ItemVectors(model, self.read).vectors().numpy())
            self._checked = digest.digest()
