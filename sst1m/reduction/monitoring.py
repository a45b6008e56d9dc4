"""Pedestal monitoring: how the night sky and the electronics behave during a run."""

import numpy as np

from ..calib.pedestals import MonitoringRow
from ..instrument import N_PIXELS
from ..io.dl1 import Dl1Writer

__all__ = ["pedestal_monitoring_table", "write_pedestal_monitoring"]

_COLUMNS = {
    "n_events": ("", "pedestal events described, the last 100 at most"),
    "sample_time_ns": ("ns", "their mean time, TAI since 1970"),
    "sample_time_min_ns": ("ns", "time of the first, TAI since 1970"),
    "sample_time_max_ns": ("ns", "time of the last, TAI since 1970"),
    "charge_mean": ("", "mean raw sample of each pixel, ADC"),
    "charge_median": ("", "median over the events of the mean raw sample of each pixel, ADC"),
    "charge_std": ("", "mean over the events of the fluctuation of the raw samples of each pixel, ADC"),
}

_PER_PIXEL = ("charge_mean", "charge_median", "charge_std")


def pedestal_monitoring_table(tel_id: int) -> str:
    """Return the path of the table, one row per 20 pedestal events."""
    return f"/sst1m/monitoring/telescope/pedestal/tel_{tel_id:03d}"


def write_pedestal_monitoring(writer: Dl1Writer, tel_id: int, monitoring: list[MonitoringRow]) -> None:
    """Write the monitoring rows of a run; a run with too few pedestals gets an empty table."""
    dtype = np.dtype(
        [(name, np.float32, (N_PIXELS,)) if name in _PER_PIXEL else (name, np.int64) for name in _COLUMNS]
    )
    rows = np.zeros(len(monitoring), dtype=dtype)
    for row, measured in zip(rows, monitoring, strict=True):
        for name in _COLUMNS:
            row[name] = getattr(measured, name)
    writer.write_table(pedestal_monitoring_table(tel_id), rows, _COLUMNS)
