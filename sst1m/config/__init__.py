"""The configuration of an analysis: strict, immutable, with a fingerprint."""

from .describe import KeyDescription, describe_config, key_table
from .diff import ABSENT, ConfigDifference, diff_configs
from .load import config_from_dict, load_config
from .models import AnalysisConfig, DataConfig, McConfig

__all__ = [
    "ABSENT",
    "AnalysisConfig",
    "ConfigDifference",
    "DataConfig",
    "KeyDescription",
    "McConfig",
    "config_from_dict",
    "describe_config",
    "diff_configs",
    "key_table",
    "load_config",
]
