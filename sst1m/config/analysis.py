"""Configuration of everything after DL1: coincidences, selection, forests, cuts and responses."""

import ast
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .columns import WeightColumn
from .fields import (
    AtLeastOne,
    AtLeastTwo,
    Count,
    DataTelescopes,
    Fraction,
    FractionRange,
    McTelescopes,
    NonNegative,
    NonNegativeRange,
    Number,
    PerTelescope,
    PixelId,
    Positive,
    Section,
    WholeNumber,
)

__all__ = [
    "Analysis",
    "DataAnalysis",
    "EventSelection",
    "ForestClassifierArguments",
    "ForestRegressorArguments",
    "McAnalysis",
    "ShowerProcessor",
    "Stereo",
]


class OffsetSearch(Section):
    """Offsets between the clocks of the telescopes that are tried."""

    time_start: Number = Field(description="first offset [s]")
    time_stop: Number = Field(description="end of the offsets [s]")
    time_step: Positive = Field(description="step [s]")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        span = self.time_stop - self.time_start
        if span <= 0:
            raise ValueError(f"time_start {self.time_start:g} is not before time_stop {self.time_stop:g}")
        if not 1 <= span / self.time_step <= 1e6:
            raise ValueError(
                f"time_step {self.time_step:g} gives {span / self.time_step:g} offsets; allowed: 1 to 1e6"
            )
        return self


class SlidingWindow(Section):
    """Coincidence by a searched clock offset, for data without White Rabbit."""

    window_half_width: Positive = Field(description="half width of the coincidence window [s]")
    offset_search: OffsetSearch


class WhiteRabbitClosest(Section):
    """Coincidence by the White Rabbit times."""

    max_time_diff_ns: Positive = Field(description="largest time difference of a pair [ns]")


class SwatEventIds(Section):
    """Coincidence by the event numbers of the array trigger; nothing to set."""


class Stereo(Section):
    """Which events of the two telescopes are one shower."""

    event_matching_method: Literal["SlidingWindow", "WhiteRabbitClosest", "SWATEventIDs"] = Field(
        description="matching in use"
    )
    SlidingWindow: SlidingWindow
    WhiteRabbitClosest: WhiteRabbitClosest
    SWATEventIDs: SwatEventIds = SwatEventIds()
    correct_light_travel: bool | None = Field(
        default=None,
        description="take off the time that light needs from one telescope to the other for the direction of "
        "the pointing; null: for all methods but SlidingWindow, whose clocks run by themselves",
    )


def _sorted_pixels(pixels: tuple[int, ...]) -> tuple[int, ...]:
    """Sort, since the order carries no meaning, and refuse a pixel named twice."""
    if len(set(pixels)) != len(pixels):
        raise ValueError(f"pixel {next(p for p in pixels if pixels.count(p) > 1)} is listed twice")
    return tuple(sorted(pixels))


BadPixels = Annotated[
    tuple[PixelId, ...],
    AfterValidator(_sorted_pixels),
    Field(description="pixels that are always interpolated"),
]


class Analysis(Section):
    """Cuts, bins and sample sizes that data and simulations share."""

    global_theta_cut: Annotated[float, Field(gt=0, le=10)] = Field(
        description="on-region of the sensitivity [deg]"
    )
    global_gammaness_cut: Fraction = Field(
        description="events above are gamma-like; names the responses (gc..)"
    )
    gamma_efficiency: Annotated[float, Field(gt=0, le=1)] = Field(
        description="fraction of gammas that energy-dependent cuts keep"
    )
    stereo_delta_disp_cut_deg: Positive | None = Field(
        default=None, description="largest distance of the two telescopes' positions [deg]; null: no cut"
    )
    stereo_relative_std_reco_energy_cut: Positive | None = Field(
        default=None, description="largest relative deviation of the two energies; null: no cut"
    )
    stereo_std_gammaness_cut: Positive | None = Field(
        default=None, description="largest deviation of the two gammanesses; null: no cut"
    )
    log_energy_min_tev: Annotated[float, Field(ge=-6, le=6)] = Field(
        description="lowest energy edge, log10(E/TeV)"
    )
    log_energy_max_tev: Annotated[float, Field(ge=-6, le=6)] = Field(
        description="highest energy edge, log10(E/TeV)"
    )
    n_energy_bins: AtLeastTwo = Field(description="number of energy edges (bins + 1)")
    gamma_min_simulated_energy_tev: NonNegative = Field(
        description="simulated gammas below are dropped [TeV]"
    )
    proton_min_simulated_energy_tev: NonNegative = Field(
        description="simulated protons below are dropped [TeV]"
    )
    n_training_events: AtLeastOne = Field(description="size of the training sample")
    gamma_to_proton_training_ratio: Positive = Field(description="gammas per proton in the training sample")
    stereo_reco_weights: WeightColumn | None = Field(description="weight of a telescope; null: equal weights")
    observation_time_h: Positive = Field(description="exposure of the sensitivity [h]")
    off_regions: AtLeastOne = Field(description="background regions of the sensitivity")
    bad_pixels: PerTelescope

    @model_validator(mode="after")
    def _rising_energies(self) -> Self:
        if self.log_energy_min_tev >= self.log_energy_max_tev:
            raise ValueError(
                f"log_energy_min_tev {self.log_energy_min_tev:g} is not below "
                f"log_energy_max_tev {self.log_energy_max_tev:g}"
            )
        return self


class DataAnalysis(Analysis):
    """Cuts and bins of observed data."""

    reco_energy_scaling_factor: Positive = Field(description="factor on reconstructed energies")
    ped_time_window: Positive = Field(description="length of a block of pedestal charges [s]")
    bad_pixels: DataTelescopes[BadPixels]


class McAnalysis(Analysis):
    """Cuts and bins of simulations, and the bins of the responses."""

    theta2_efficiency: Annotated[float, Field(gt=0, le=1)] = Field(
        description="containment of energy-dependent theta cuts"
    )
    significance_fit: bool = Field(description="smooth the significance before its maximum is taken")
    n_bins_migration: AtLeastTwo = Field(description="edges in migration and in true energy (dispersion)")
    fov_offset_max_deg: Annotated[float, Field(gt=0, le=90)] = Field(description="last offset edge [deg]")
    nbins_fov_offset: AtLeastTwo = Field(description="offset edges: effective area, dispersion, PSF")
    fov_offset_bg_max_deg: Annotated[float, Field(gt=0, le=90)] = Field(
        description="last background edge [deg]"
    )
    nbins_fov_offset_bg: AtLeastTwo = Field(description="offset edges of the background")
    source_offset_max_deg: Annotated[float, Field(gt=0, le=90)] = Field(
        description="last PSF radius edge [deg]"
    )
    nbins_source_offset: AtLeastTwo = Field(description="edges of the PSF radius")
    true_energy_scaling_factor: Positive = Field(description="factor on simulated energies")
    bad_pixels: McTelescopes[BadPixels]


class EventSelection(Section):
    """Closed intervals that an event must lie in; in stereo both telescopes must."""

    camera_frame_hillas_intensity: NonNegativeRange = Field(description="charge of the cleaned image [p.e.]")
    camera_frame_hillas_width: NonNegativeRange = Field(description="width [m]")
    camera_frame_hillas_length: NonNegativeRange = Field(description="length [m]")
    leakage_intensity_width_2: FractionRange = Field(
        description="fraction of charge in the two outer pixel rings"
    )


_EXPRESSION_NODES = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.BinOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    *(ast.Attribute, ast.Load),
)


def _plain_criterion(text: str) -> str:
    """Refuse what is more than arithmetic and comparison: ctapipe evaluates the text as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"'{text}' is not an expression ({error})") from None
    for node in nodes:
        known = isinstance(node, _EXPRESSION_NODES)
        known |= isinstance(node, ast.Name) and node.id == "parameters"
        known |= isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        if not known or (isinstance(node, ast.Attribute) and node.attr.startswith("_")):
            raise ValueError(f"'{text}' may only compare numbers with values below 'parameters.'")
    return text


Criterion = tuple[str, Annotated[str, AfterValidator(_plain_criterion)]]


class StereoQualityQuery(Section):
    """Images that take part in the geometric reconstruction."""

    quality_criteria: tuple[Criterion, ...] = Field(description="list of [name, condition on parameters.*]")


class HillasReconstructor(Section):
    """Geometric reconstruction of impact point and height."""

    StereoQualityQuery: StereoQualityQuery


class ShowerProcessor(Section):
    """Geometric reconstruction from the images of both telescopes."""

    reconstructor_types: Annotated[
        tuple[Literal["HillasReconstructor"]], Field(description="reconstruction in use")
    ]
    HillasReconstructor: HillasReconstructor


class ForestArguments(Section):
    """What a random forest of scikit-learn is built with."""

    max_depth: AtLeastOne | None = Field(description="deepest level of a tree; null: unlimited")
    min_samples_leaf: AtLeastOne = Field(description="fewest events in a leaf")
    n_jobs: Annotated[WholeNumber, Field(ge=-1)] = Field(description="cores; -1: all; changes no result")
    n_estimators: AtLeastOne = Field(description="number of trees")
    bootstrap: bool = Field(description="draw the events of a tree with replacement")
    max_leaf_nodes: AtLeastTwo | None = Field(description="most leaves of a tree; null: unlimited")
    min_impurity_decrease: NonNegative = Field(description="least gain of a split")
    min_samples_split: AtLeastTwo = Field(description="fewest events that are split")
    min_weight_fraction_leaf: Annotated[float, Field(ge=0, le=0.5)] = Field(
        description="least weight in a leaf"
    )
    oob_score: bool = Field(description="score with the events a tree has not seen")
    random_state: Annotated[WholeNumber, Field(ge=0, le=2**32 - 1)] = Field(description="seed")
    verbose: Count = Field(description="talkativeness of scikit-learn")
    warm_start: Literal[False] = Field(description="a forest is always trained anew")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_jobs == 0:
            raise ValueError("n_jobs is 0; give -1 (all cores) or a number from 1")
        if self.oob_score and not self.bootstrap:
            raise ValueError("oob_score needs bootstrap")
        return self


class ForestRegressorArguments(ForestArguments):
    """Forests for energy, disp and misdirection."""

    criterion: Literal["squared_error", "absolute_error", "friedman_mse", "poisson"] = Field(
        description="quality of a split"
    )


class ForestClassifierArguments(ForestArguments):
    """Forests for the particle and the sign of disp."""

    criterion: Literal["gini", "entropy", "log_loss"] = Field(description="quality of a split")
    class_weight: Literal["balanced", "balanced_subsample"] | None = Field(
        description="weights of the classes"
    )
