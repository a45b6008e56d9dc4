"""Picture of the time differences of pairs."""

import io

import numpy as np

from .pairs import Coincidences

__all__ = ["time_difference_picture"]


def time_difference_picture(coincidences: Coincidences) -> bytes:
    """Return the histogram of the time differences beyond light travel and clock offset, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    info = coincidences.info
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    histogram = info["histogram"]
    edges = np.asarray(histogram["edges_ns"]) / 1e3
    axes.stairs(histogram["counts"], edges, fill=True)
    if info["half_width_ns"]:
        for side in (-1, 1):
            axes.axvline(side * info["half_width_ns"] / 1e3, color="black", linestyle=":")
    axes.set_xlabel("time difference beyond light travel and clock offset [µs]")
    axes.set_ylabel("pairs")
    offset = coincidences.offset_ns
    shown = "none" if offset is None else f"{offset / 1e3:.2f} µs"
    axes.set_title(
        f"{info['method']}: {len(coincidences)} pairs, {100 * coincidences.matched_fraction:.1f} % matched, "
        f"{info['n_accidental']:.2g} by chance, clock offset {shown}",
        fontsize="small",
    )
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()
