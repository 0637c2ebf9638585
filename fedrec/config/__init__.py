"""The sections of a run's settings: frozen, and validated where they are born.

Privacy knobs (`PrivacySettings`, `SecureAggregationSettings`) stand apart from quality knobs and from speed knobs
(`SpeedSettings`): changing a speed knob never changes a result beyond rounding, nor any claim.
"""

from fedrec.config.audit import AuditSettings
from fedrec.config.base import Named, Settings, named_parts
from fedrec.config.collaborative import (
    CollaborativeSettings,
    CooccurrenceSettings,
    PowerIterationSettings,
    PriorSettings,
    RatingSettings,
    ScoringSettings,
    SolverSettings,
)
from fedrec.config.content import (
    AudioSettings,
    ContentSettings,
    ImageSettings,
    Modality,
    TextSettings,
    VideoSettings,
)
from fedrec.config.data import DataSettings
from fedrec.config.fold_in import FoldInSettings
from fedrec.config.load import from_run_config, from_tree, load
from fedrec.config.model import ModelSettings
from fedrec.config.overrides import with_overrides
from fedrec.config.privacy import AdaptiveClipSettings, LocalSettings, PrivacySettings, Unit
from fedrec.config.protocol import with_protocol
from fedrec.config.root import Config
from fedrec.config.run import ComputeDevice, Engine, EvaluationSettings, GradSample, RunSettings, SpeedSettings
from fedrec.config.secure_aggregation import Protocol, SecureAggregationSettings
from fedrec.config.selection import SelectionSettings
from fedrec.config.training import Loss, Pool, Sampling, StoppingSettings, TrainingSettings

__all__ = [
    "ComputeDevice",
    "Config",
    "from_run_config",
    "from_tree",
    "load",
    "with_overrides",
    "with_protocol",
    "AdaptiveClipSettings",
    "AudioSettings",
    "AuditSettings",
    "CollaborativeSettings",
    "CooccurrenceSettings",
    "PowerIterationSettings",
    "PriorSettings",
    "RatingSettings",
    "ScoringSettings",
    "SolverSettings",
    "ContentSettings",
    "DataSettings",
    "Engine",
    "EvaluationSettings",
    "FoldInSettings",
    "GradSample",
    "ImageSettings",
    "LocalSettings",
    "Loss",
    "Modality",
    "ModelSettings",
    "Named",
    "PrivacySettings",
    "Pool",
    "Protocol",
    "RunSettings",
    "Sampling",
    "SecureAggregationSettings",
    "SelectionSettings",
    "Settings",
    "SpeedSettings",
    "StoppingSettings",
    "TextSettings",
    "TrainingSettings",
    "Unit",
    "VideoSettings",
    "named_parts",
]
