"""The sections of a run's settings: frozen, and validated where they are born.

Privacy knobs (`PrivacySettings`, `SecureAggregationSettings`) stand apart from quality knobs and from speed knobs
(`SpeedSettings`): changing a speed knob never changes a result beyond rounding, nor any claim.
"""

from fedrec.settings.audit import AuditSettings
from fedrec.settings.base import Settings
from fedrec.settings.behaviour import BehaviourSettings
from fedrec.settings.content import (
    AudioSettings,
    ContentSettings,
    ImageSettings,
    Modality,
    TextSettings,
    VideoSettings,
)
from fedrec.settings.fold_in import FoldInSettings
from fedrec.settings.model import Fusion, ModelSettings, UserTowerKind
from fedrec.settings.privacy import AdaptiveClipSettings, LocalSettings, PrivacySettings, QueryName, Unit
from fedrec.settings.run import Engine, EvaluationSettings, GradSample, RunSettings, SpeedSettings
from fedrec.settings.secure_aggregation import Protocol, SecureAggregationSettings
from fedrec.settings.training import Loss, Pool, Sampling, StoppingSettings, TrainingSettings

__all__ = [
    "AdaptiveClipSettings",
    "AudioSettings",
    "AuditSettings",
    "BehaviourSettings",
    "ContentSettings",
    "Engine",
    "EvaluationSettings",
    "FoldInSettings",
    "Fusion",
    "GradSample",
    "ImageSettings",
    "LocalSettings",
    "Loss",
    "Modality",
    "ModelSettings",
    "PrivacySettings",
    "Pool",
    "Protocol",
    "QueryName",
    "RunSettings",
    "Sampling",
    "SecureAggregationSettings",
    "Settings",
    "SpeedSettings",
    "StoppingSettings",
    "TextSettings",
    "TrainingSettings",
    "Unit",
    "UserTowerKind",
    "VideoSettings",
]
