"""Synthetic runs of which everything is known, and what it takes to reduce them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tables

from sst1m.calib import channel_of_pixel, load_pixel_calibration, load_window_transmission, voltage_drop
from sst1m.config import DataConfig, config_from_dict
from sst1m.instrument import camera_geometry
from sst1m.io.rawfile import EventIndex
from sst1m.pointing import Pointing
from sst1m.reduction import ReductionSummary, reduce_raw_run
from sst1m.simulation.raw_writer import STYLE_2018, STYLE_2023, RawWriter

N_PIXELS, N_SAMPLES = 1296, 50
#: 2025-01-15T20:00:00.123456789 UTC: White Rabbit, no modules exchanged.
START_NS = 1_736_971_237_123_456_789
STEP_NS = 1_000_000_007
#: What the integration window holds of the reference pulse.
WINDOW_SHARE = {21: 1 / 1.0183252880, 22: 1 / 1.0209461516}
#: A pulse that fills the window exactly, its peak on the fourth sample.
PULSE = np.array([0.02, 0.1, 0.22, 0.3, 0.2, 0.11, 0.05])
BAD_PIXELS = (100, 700)


@pytest.fixture(scope="session")
def config_document(project_root: Path) -> Callable[..., dict]:
    """Return a function: the document of the data configuration with changes by dotted key."""
    text = (project_root / "config" / "sst1m_data_config.json").read_text()

    def document(changes: dict[str, Any] | None = None) -> dict:
        values = json.loads(text)
        for key, value in (changes or {}).items():
            *sections, name = key.split(".")
            section = values
            for part in sections:
                section = section[part]
            section[name] = value
        return values

    return document


@pytest.fixture(scope="session")
def make_config(config_document: Callable[..., dict]) -> Callable[..., DataConfig]:
    """Return a function: the data configuration with changes by dotted key."""

    def make(changes: dict[str, Any] | None = None) -> DataConfig:
        return config_from_dict(config_document(changes))

    return make


@pytest.fixture(scope="session")
def calibration_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return calibration files in which every channel can be told apart, two of them bad."""
    directory = tmp_path_factory.mktemp("calibration")
    flag = np.ones(N_PIXELS, dtype=int)
    flag[list(BAD_PIXELS)] = 0
    for number, window in ((1, "corr_factor_1st_wdw.txt"), (2, "corr_factor_2nd_wdw.txt")):
        frame = pd.DataFrame({"dc_to_pe": 20 + number + np.arange(N_PIXELS) / 500, "calib_flag": flag})
        frame.to_hdf(directory / f"averaged_calib_param_v2_2023_2024_tel{number}.h5", key="param")
        factors = (f"{i}\t{1.05 - 0.0001 * i}" for i in range(N_PIXELS))
        (directory / window).write_text("\n".join(["pixel_id\tcorrection_factor", *factors]))
    return directory


@dataclass(frozen=True)
class SyntheticRun:
    """A raw file and the truth about it; pixels in the order of the camera."""

    path: Path
    tel_id: int
    index: EventIndex
    photoelectrons: np.ndarray
    present: np.ndarray
    pedestal: np.ndarray
    drop: np.ndarray


def _showers(n_events: int, rng: np.random.Generator) -> np.ndarray:
    """Return the light of elliptic images, in p.e. per pixel."""
    geometry = camera_geometry()
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    light = np.zeros((n_events, N_PIXELS))
    for event in light:
        (cog_x, cog_y), psi = rng.uniform(-0.3, 0.3, 2), rng.uniform(0, np.pi)
        along = (x - cog_x) * np.cos(psi) + (y - cog_y) * np.sin(psi)
        across = (y - cog_y) * np.cos(psi) - (x - cog_x) * np.sin(psi)
        image = rng.uniform(30, 300) * np.exp(-0.5 * ((along / 0.06) ** 2 + (across / 0.02) ** 2))
        event[:] = np.where(image > 5, np.round(image, 1), 0)
    return light


def _add_pulses(waveforms: np.ndarray, adc: np.ndarray) -> None:
    """Add pulses whose window holds the given charge [ADC]; light runs along the x axis."""
    x = camera_geometry().pix_x.to_value("m")
    peak = np.rint(22 + 20 * x).astype(int)
    event, pixel = np.nonzero(adc)
    for offset, share in enumerate(PULSE):
        waveforms[event, pixel, peak[pixel] - 3 + offset] += adc[event, pixel] * share


def _saturate(waveforms: np.ndarray, event: int, pixel: int) -> None:
    """Put a flat top of 12 samples at 3200 ADC above 400 into a waveform."""
    waveforms[event, pixel, 18:20] += [400, 1800]
    waveforms[event, pixel, 20:32] = 3600
    waveforms[event, pixel, 32:34] += [900, 300]


@pytest.fixture(scope="session")
def make_run(calibration_dir: Path) -> Callable[..., SyntheticRun]:
    """Return a function that writes a raw file of known light."""

    def make(
        path: Path,
        n_events: int = 60,
        *,
        tel_id: int = 21,
        pedestal_every: int = 5,
        start_ns: int = START_NS,
        swat: bool = True,
        noise: float = 5.0,
        dead: tuple[int, ...] = (),
        absent: tuple[tuple[int, int], ...] = (),
        saturated: tuple[tuple[int, int], ...] = (),
        drop_mode: str = "global",
        seed: int = 1,
        index: EventIndex | None = None,
    ) -> SyntheticRun:
        rng = np.random.default_rng(seed)
        number = np.arange(n_events)
        pedestal = np.zeros(n_events, dtype=bool)
        if pedestal_every:
            pedestal = number % pedestal_every == min(2, pedestal_every - 1)
        light = np.where(pedestal[:, np.newaxis], 0, _showers(n_events, rng))
        light[:, list(dead)] = 0
        present = np.ones(light.shape, dtype=bool)
        for event, pixel in absent:
            present[event, pixel], light[event, pixel] = False, 0
        for event, pixel in saturated:
            light[event, pixel] = 0
        level = 400 + (np.arange(N_PIXELS) % 16) / 16
        waveforms = np.tile(level[:, np.newaxis], (n_events, 1, N_SAMPLES))
        fluctuating = np.full(N_PIXELS, noise)
        fluctuating[list(dead)] = 0.4
        waveforms[pedestal] += rng.normal(0, fluctuating[:, None], (int(pedestal.sum()), N_PIXELS, N_SAMPLES))
        channel = channel_of_pixel(tel_id, start_ns)
        calibration = load_pixel_calibration(
            calibration_dir / f"averaged_calib_param_v2_2023_2024_tel{tel_id - 20}.h5"
        )
        window = load_window_transmission(calibration_dir / "corr_factor_1st_wdw.txt")
        good = calibration.good[channel]
        drop = np.ones(1)
        if pedestal.any():
            std = np.rint(waveforms[pedestal]).std(axis=2).mean(axis=0, keepdims=True)
            drop = voltage_drop(std, tel_id, drop_mode, ~good).factor[0]
        _add_pulses(
            waveforms, light * calibration.dc_to_pe[channel] * window[channel] * drop * WINDOW_SHARE[tel_id]
        )
        for event, pixel in saturated:
            _saturate(waveforms, event, pixel)
        index = index or EventIndex(
            event_number=1000 + number,
            array_event_number=(29_901_023 if swat else 0) + number * swat,
            event_type=np.where(pedestal, 8, 1),
            time_ns=start_ns + number * STEP_NS,
        )
        samples = np.empty(waveforms.shape, dtype=np.int16)
        samples[:, channel] = np.rint(waveforms)
        baseline, there = np.empty(light.shape), np.empty_like(present)
        baseline[:, channel], there[:, channel] = level, present
        samples[~there] = 0
        style = STYLE_2023 if swat else STYLE_2018
        with RawWriter(
            path, tel_id=tel_id, style=style, target="Crab_W1_84.386_21.956" if swat else None
        ) as raw:
            raw.append(samples, index, baseline=baseline, present=there)
        return SyntheticRun(path, tel_id, index, light, present, pedestal, drop)

    return make


@dataclass(frozen=True)
class Product:
    """A DL1 file in memory."""

    path: Path
    summary: ReductionSummary
    parameters: np.ndarray
    extras: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    peak_time: np.ndarray

    @property
    def info(self) -> dict[str, Any]:
        return self.summary.info


@pytest.fixture(scope="session")
def reduce_run(make_config: Callable[..., DataConfig], calibration_dir: Path) -> Callable[..., Product]:
    """Return a function that reduces a raw file and reads the product back."""

    def reduce(raw_path: Path, output: Path, *, changes: dict | None = None, **options) -> Product:
        given = {
            "config": make_config(changes),
            "calibration_dir": calibration_dir,
            "tel_id": 21,
            "date": 20250115,
            "run": 12,
            "pointing": Pointing(84.386, 21.956, "header"),
        } | options
        summary = reduce_raw_run(raw_path, output, **given)
        name = f"tel_{given['tel_id']:03d}"
        with tables.open_file(str(output)) as h5:
            event = h5.root.dl1.event.telescope
            images = event.images[name].read() if "images" in event else None
            return Product(
                path=output,
                summary=summary,
                parameters=event.parameters[name].read(),
                extras=h5.root.sst1m.dl1.event.telescope.parameters[name].read(),
                image=None if images is None else images["image"] / 100,
                mask=None if images is None else images["image_mask"],
                peak_time=None if images is None else images["peak_time"] / 100,
            )

    return reduce


@pytest.fixture(scope="session")
def run_21(make_run: Callable[..., SyntheticRun], tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """Return a run of telescope 21: 60 events, 12 of them pedestals."""
    directory = tmp_path_factory.mktemp("raw21")
    return make_run(directory / "SST1M1_20250115_0012.fits.fz")


@pytest.fixture(scope="session")
def product_21(
    run_21: SyntheticRun, reduce_run: Callable[..., Product], tmp_path_factory: pytest.TempPathFactory
) -> Product:
    """Return the run of telescope 21, reduced with the configuration in use."""
    return reduce_run(run_21.path, tmp_path_factory.mktemp("dl1") / "SST1M1_20250115_0012_W1_dl1.h5")
