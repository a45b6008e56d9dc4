"""The Luigi graph: which file is made from which, in the standard directory layout."""

from tasks.console import explain_errors
from tasks.luigi_cfg import set_truthful_defaults
from tasks.night import NightManifest, RunNight
from tasks.nights import RunNights
from tasks.production import (
    CheckInterpolation,
    MakeCuts,
    MakeIrfs,
    MakeProduction,
    MeasurePerformance,
    ProductionReport,
    ReconstructSample,
    TrainForests,
)
from tasks.production_samples import MergeSample, SimulateBatch, SimulateShard
from tasks.reduction import CalibrateRun
from tasks.report import Calendar, NightReport
from tasks.science import ExportPhotonLists, MatchTelescopes, ReconstructRuns

__all__ = [
    "Calendar",
    "CalibrateRun",
    "CheckInterpolation",
    "ExportPhotonLists",
    "MakeCuts",
    "MakeIrfs",
    "MakeProduction",
    "MatchTelescopes",
    "MeasurePerformance",
    "MergeSample",
    "NightManifest",
    "NightReport",
    "ProductionReport",
    "ReconstructRuns",
    "ReconstructSample",
    "RunNight",
    "RunNights",
    "SimulateBatch",
    "SimulateShard",
    "TrainForests",
]

explain_errors()
set_truthful_defaults()
