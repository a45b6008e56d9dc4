"""The columns of a table of image parameters: names, types, units and meanings."""

from typing import NamedTuple

__all__ = ["PARAMETER_COLUMNS", "ParameterColumn"]


class ParameterColumn(NamedTuple):
    """
    One column: its type, its unit as astropy writes it ("" for a pure number), and its meaning.

    Events without parameters hold `missing`.
    """

    dtype: str
    unit: str
    description: str

    @property
    def missing(self) -> float | int:
        """NaN for real numbers; -1 for counts, as in ctapipe."""
        return -1 if self.dtype.startswith("int") else float("nan")


def _statistics(prefix: str, quantity: str) -> dict[str, ParameterColumn]:
    # the unit of charge and time statistics is left out, as in ctapipe's own tables
    described = {
        "max": ("float32", f"largest {quantity}"),
        "min": ("float32", f"smallest {quantity}"),
        "mean": ("float32", f"mean {quantity}"),
        "std": ("float32", f"standard deviation of the {quantity}"),
        "skewness": ("float64", f"skewness of the {quantity}"),
        "kurtosis": ("float64", f"excess kurtosis of the {quantity}"),
    }
    return {f"{prefix}_{name}": ParameterColumn(dtype, "", text) for name, (dtype, text) in described.items()}


_HILLAS = {
    "intensity": ("", "total charge of the image, in photo-electrons"),
    "skewness": ("", "third moment of the charge along the main axis"),
    "kurtosis": ("", "fourth moment of the charge along the main axis"),
    "x": ("m", "centre of gravity, x in the camera frame"),
    "y": ("m", "centre of gravity, y in the camera frame"),
    "r": ("m", "distance of the centre of gravity from the camera centre"),
    "phi": ("deg", "polar angle of the centre of gravity"),
    "length": ("m", "standard deviation along the main axis"),
    "length_uncertainty": ("m", "uncertainty of the length"),
    "width": ("m", "standard deviation across the main axis"),
    "width_uncertainty": ("m", "uncertainty of the width"),
    "psi": ("deg", "angle of the main axis to the x axis"),
    "psi_uncertainty": ("deg", "uncertainty of psi"),
    "transverse_cog_uncertainty": ("m", "uncertainty of the centre of gravity across the main axis"),
}
_TIMING = {
    "intercept": ("", "time at the centre of gravity, of a straight line in arrival time, in ns"),
    "deviation": ("", "root mean square distance of the arrival times from that line, in ns"),
    "slope": ("1/m", "slope of that line along the main axis, in ns per metre"),
}
_LEAKAGE = {
    "pixels_width_1": ("float64", "fraction of the pixels in the outermost ring of the camera"),
    "pixels_width_2": ("float64", "fraction of the pixels in the two outermost rings of the camera"),
    "intensity_width_1": ("float32", "fraction of the charge in the outermost ring of the camera"),
    "intensity_width_2": ("float32", "fraction of the charge in the two outermost rings of the camera"),
}
_CONCENTRATION = {
    "cog": "fraction of the charge within one pixel diameter of the centre of gravity",
    "core": "fraction of the charge inside the Hillas ellipse",
    "pixel": "fraction of the charge in the brightest pixel",
}
_MORPHOLOGY = {
    "n_pixels": "number of pixels that survived cleaning",
    "n_islands": "number of separate groups of pixels",
    "n_small_islands": "number of islands of at most 2 pixels",
    "n_medium_islands": "number of islands of 3 to 50 pixels",
    "n_large_islands": "number of islands of more than 50 pixels",
}
_ARRIVAL_TIMES = {
    "t_rms": ("ns", "standard deviation of the arrival times"),
    "t_rms_w": ("ns", "spread of the arrival times about their plain mean, weighted by charge"),
    "t_lac": ("ns", "difference of the last and the first arrival time"),
    "len_st": ("", "correlation coefficient of arrival time and charge"),
}

#: All columns in the order in which ctapipe writes them, followed by those of SST-1M.
PARAMETER_COLUMNS: dict[str, ParameterColumn] = {
    **{f"camera_frame_hillas_{k}": ParameterColumn("float64", *v) for k, v in _HILLAS.items()},
    **{f"camera_frame_timing_{k}": ParameterColumn("float64", *v) for k, v in _TIMING.items()},
    **{f"leakage_{k}": ParameterColumn(dtype, "", text) for k, (dtype, text) in _LEAKAGE.items()},
    **{f"concentration_{k}": ParameterColumn("float64", "", v) for k, v in _CONCENTRATION.items()},
    **{f"morphology_{k}": ParameterColumn("int64", "", v) for k, v in _MORPHOLOGY.items()},
    **_statistics("intensity", "charge of a pixel, in photo-electrons"),
    **_statistics("peak_time", "arrival time of a pixel, in ns"),
    "core_psi": ParameterColumn(
        "float64", "deg", "image direction on the ground, known after stereo reconstruction"
    ),
    **{k: ParameterColumn("float64", *v) for k, v in _ARRIVAL_TIMES.items()},
}
