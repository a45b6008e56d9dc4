"""What one DL1 file says about its run: rates, night sky, pointing, images and pedestals; it is read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tables
from numpy.typing import NDArray

from ..calib.pedestals import DEAD_PIXEL_STD
from ..calib.vdrop import nsb_rate
from ..io.damage import explained_damage
from ..io.dl1 import extras_table
from ..io.dl1_tables import parameters_table, pointing_table
from ..reduction.monitoring import pedestal_monitoring_table
from ..times import ns_to_utc_unix
from .image_facts import COLUMNS, cog_map, histograms

__all__ = ["PixelSums", "camera_facts", "read_dl1_facts"]

Facts = dict[str, Any]

#: Length of a bin of the rates [s].
_BIN_S = 10.0
#: So many levels of the night sky and pointings of a run show how they change.
_POINTS_PER_RUN = 12
#: A pixel is noisy where it fluctuates more than the median pixel by this factor.
_NOISY = 2.0
_INTENSITY = "camera_frame_hillas_intensity"


@dataclass(frozen=True, eq=False)
class PixelSums:
    """
    Pedestals of the runs of one telescope, added up; whole numbers, so that the order does not matter.

    Parameters
    ----------
    n_rows : int
        Rows of the tables of pedestals.
    mean, std : ndarray of int64, shape=(n_pixels,)
        Sums of the rows [1/1000 ADC]; empty without rows.
    x_mm, y_mm : list of int
        Positions of the pixels.
    """

    n_rows: int
    mean: NDArray[np.int64]
    std: NDArray[np.int64]
    x_mm: list[int]
    y_mm: list[int]

    def plus(self, other: Self) -> Self:
        """Return the sums of both."""
        if not other.n_rows:
            return self
        if not self.n_rows:
            return other
        sums = self.mean + other.mean, self.std + other.std
        return type(self)(self.n_rows + other.n_rows, *sums, self.x_mm, self.y_mm)

    @classmethod
    def nothing(cls) -> Self:
        """Return the sums of no run."""
        return cls(0, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), [], [])

    def to_dict(self) -> Facts:
        """Return them as JSON values."""
        return {
            "n_rows": self.n_rows,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "x_mm": self.x_mm,
            "y_mm": self.y_mm,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        sums = (np.array(values[name], dtype=np.int64) for name in ("mean", "std"))
        return cls(int(values["n_rows"]), *sums, list(values["x_mm"]), list(values["y_mm"]))


def read_dl1_facts(path: Path, tel_id: int) -> tuple[Facts, PixelSums]:
    """
    Read a DL1 file.

    Parameters
    ----------
    path : Path
        The file.
    tel_id : int
        21 or 22.

    Returns
    -------
    facts : dict
        ``rates``, ``night_sky``, ``pointing``, ``images``, ``cog``, as JSON values.
    pixels : PixelSums
        Its pedestals.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with explained_damage(path, "DL1 file"), tables.open_file(str(path), "r") as h5file:
        time_ns = h5file.get_node(extras_table(tel_id)).read(field="time_ns")
        rows = h5file.get_node(parameters_table(tel_id)).read()
        pedestals = h5file.get_node(pedestal_monitoring_table(tel_id)).read()
        pointing = h5file.get_node(pointing_table(tel_id)).read()
        geometry = h5file.get_node("/configuration/instrument/telescope/camera/geometry_0").read()
    cleaned = np.isfinite(rows[_INTENSITY])
    images = {name: rows[name][cleaned] for name in COLUMNS}
    facts = {
        "rates": _rates(time_ns, cleaned),
        "night_sky": _night_sky(pedestals, tel_id),
        "pointing": _pointing(pointing),
        "images": {name: [int(n) for n in counts] for name, counts in histograms(images).items()},
        "cog": cog_map(images),
    }
    return facts, _pixels(pedestals, geometry)


def _rounded(values: NDArray[Any], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def _rates(time_ns: NDArray[np.int64], cleaned: NDArray[np.bool_]) -> Facts:
    """Count events and images in equal bins between the first and the last event."""
    if len(time_ns) < 2 or time_ns.max() == time_ns.min():
        return {"missing": f"{len(time_ns)} events give no rate"}
    start, stop = int(time_ns.min()), int(time_ns.max())
    number = max(1, round((stop - start) / 1e9 / _BIN_S))
    edges = start + (stop - start) * np.arange(number + 1) / number
    edges[-1] = stop + 1
    width_s = (stop - start) / 1e9 / number
    middle = ns_to_utc_unix((start + (np.arange(number) + 0.5) * width_s * 1e9).astype(np.int64))
    return {
        "time_utc_s": _rounded(middle, 3),
        "width_s": round(width_s, 6),
        "triggers": np.histogram(time_ns, bins=edges)[0].tolist(),
        "images": np.histogram(time_ns[cleaned], bins=edges)[0].tolist(),
    }


def _night_sky(pedestals: NDArray[Any], tel_id: int) -> Facts:
    """Return the level of the night sky against time, from the median pixel of each row of pedestals."""
    if not len(pedestals):
        return {"missing": "no pedestals"}
    groups = np.array_split(np.arange(len(pedestals)), min(_POINTS_PER_RUN, len(pedestals)))
    std = np.array([pedestals["charge_std"][group].mean(axis=0) for group in groups])
    std = np.where(std > DEAD_PIXEL_STD, std, np.nan)
    seen = np.isfinite(std).any(axis=1)
    times = np.array([pedestals["sample_time_ns"][group].mean() for group in groups])[seen]
    variance = np.nanmedian(std[seen], axis=1) ** 2
    return {
        "time_utc_s": _rounded(ns_to_utc_unix(times.astype(np.int64)), 3),
        "mhz": _rounded(nsb_rate(variance, tel_id), 2),
        "baseline_std_adc": _rounded(np.sqrt(variance), 3),
    }


def _pointing(rows: NDArray[Any]) -> Facts:
    """Return azimuth and altitude [deg] at some times."""
    if not len(rows):
        return {"missing": "the file does not say where the telescope pointed"}
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, _POINTS_PER_RUN).astype(int))]
    seconds = chosen["time"].astype(np.int64)
    time_ns = seconds[:, 0] * 1_000_000_000 + seconds[:, 1] // 4
    return {
        "time_utc_s": _rounded(ns_to_utc_unix(time_ns), 3),
        "az_deg": _rounded(np.rad2deg(chosen["azimuth"]), 4),
        "alt_deg": _rounded(np.rad2deg(chosen["altitude"]), 4),
    }


def _pixels(pedestals: NDArray[Any], geometry: NDArray[Any]) -> PixelSums:
    if not len(pedestals):
        return PixelSums.nothing()
    return PixelSums(
        n_rows=len(pedestals),
        mean=_thousandths(pedestals["charge_mean"]),
        std=_thousandths(pedestals["charge_std"]),
        x_mm=[round(1e3 * float(x)) for x in geometry["pix_x"]],
        y_mm=[round(1e3 * float(y)) for y in geometry["pix_y"]],
    )


def _thousandths(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    total = rows.sum(axis=0, dtype=float)
    return np.rint(1e3 * np.where(np.isfinite(total), total, 0.0)).astype(np.int64)


def camera_facts(sums: PixelSums) -> Facts:
    """Return means of the pedestals, and which pixels stand out, as JSON values."""
    if not sums.n_rows:
        return {"missing": "no pedestals were recorded"}
    mean, std = sums.mean / sums.n_rows / 1e3, sums.std / sums.n_rows / 1e3
    quiet = ~(std >= DEAD_PIXEL_STD)
    middle = float(np.median(std[~quiet])) if not quiet.all() else 0.0
    noisy = ~quiet & (std > _NOISY * middle)
    return {
        "n_rows": sums.n_rows,
        "x_mm": sums.x_mm,
        "y_mm": sums.y_mm,
        "pedestal_adc": _rounded(mean, 2),
        "std_adc": _rounded(std, 3),
        "median_std_adc": round(middle, 3),
        "quiet": np.flatnonzero(quiet).tolist(),
        "noisy": np.flatnonzero(noisy).tolist(),
        "quiet_below_adc": DEAD_PIXEL_STD,
        "noisy_above_adc": round(_NOISY * middle, 3),
    }
