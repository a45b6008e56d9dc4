"""Images of all kinds, and ctapipe's answers about them."""

from functools import partial
from typing import NamedTuple

import astropy.units as u
import ctapipe.fitting
import ctapipe.image.timing
import numpy as np
import pytest
from ctapipe.fitting import lts_linear_regression
from ctapipe.image import ImageProcessor
from protozfits import File

from sst1m.image import CameraTables
from sst1m.image.timing import start_pairs
from sst1m.instrument import camera_geometry, sst1m_subarray

TEL_ID = 21


class ImageBlock(NamedTuple):
    image: np.ndarray
    peak_time: np.ndarray
    mask: np.ndarray


@pytest.fixture(scope="session")
def geometry():
    return camera_geometry()


@pytest.fixture(scope="session")
def subarray():
    return sst1m_subarray()


@pytest.fixture(scope="session")
def tables(geometry):
    return CameraTables.from_geometry(geometry)


def _shower(rng, x, y, *, size, reach=0.35):
    """Return the expected charge of an elliptic image and the arrival times along it."""
    cog_x, cog_y = rng.uniform(-reach, reach, 2)
    psi, length = rng.uniform(-np.pi / 2, np.pi / 2), rng.uniform(0.015, 0.08)
    width = length * rng.uniform(0.15, 0.7)
    along = (x - cog_x) * np.cos(psi) + (y - cog_y) * np.sin(psi)
    across = (y - cog_y) * np.cos(psi) - (x - cog_x) * np.sin(psi)
    profile = np.exp(-0.5 * ((along / length) ** 2 + (across / width) ** 2))
    return size * profile / max(profile.sum(), 1e-9), 100 + rng.normal(0, 60) * along


def _showers(rng, geometry, n_events, log_size, n_islands=1, reach=0.35):
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    image = rng.normal(0, 1.2, (n_events, len(x)))
    time = rng.uniform(0, 196, image.shape)
    for event in range(n_events):
        for _ in range(n_islands):
            expected, times = _shower(rng, x, y, size=10 ** rng.uniform(*log_size), reach=reach)
            charge = rng.poisson(np.minimum(expected, 1e8)) * rng.normal(1, 0.1, len(x)).clip(0.5)
            time[event] = np.where(charge > 1.5, times + rng.normal(0, 1.5, len(x)), time[event])
            image[event] += charge
    return image.astype(np.float32), time.astype(np.float32)


SHOWERS = {
    "dim": {"log_size": (1.3, 2.2)},
    "bright": {"log_size": (2.5, 4.0)},
    "saturated": {"log_size": (5.0, 6.5)},
    "truncated": {"log_size": (2.5, 4.0), "reach": 0.55},
    "islands": {"log_size": (2.2, 3.0), "n_islands": 4},
}


@pytest.fixture(scope="session")
def shower_block(geometry):
    """Return image and time of 60 events of each kind of shower."""
    rng = np.random.default_rng(20240304)
    blocks = [_showers(rng, geometry, 60, **kind) for kind in SHOWERS.values()]
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


def _odd_masks(rng, n_pixels, neighbors):
    """Yield masks that cleaning makes rarely: few pixels, all of them, none, any of them."""
    for n_random in [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 7, 10, 100, 700, n_pixels]:
        mask = np.zeros(n_pixels, dtype=bool)
        mask[rng.choice(n_pixels, n_random, replace=False)] = True
        yield mask
    for n_steps in [0] * 12 + [1] * 12:
        mask = np.zeros(n_pixels, dtype=bool)
        center = rng.integers(n_pixels)
        mask[center] = mask[rng.choice(np.flatnonzero(neighbors[center]), 2, replace=False)] = True
        for _ in range(n_steps):
            mask |= neighbors[mask].any(axis=0)
        yield mask


@pytest.fixture(scope="session")
def parameter_block(shower_block, geometry) -> ImageBlock:
    """Return cleaned showers of all kinds, and odd masks with and without charge or time in them."""
    rng = np.random.default_rng(7)
    image, time = shower_block
    mask = image > 6
    odd = np.array(list(_odd_masks(rng, image.shape[1], geometry.neighbor_matrix)))
    odd_image = rng.gamma(2, 20, odd.shape).astype(np.float32)
    odd_time = rng.normal(100, 8, odd.shape).astype(np.float32)
    none = odd.copy()[:12]
    zero, empty = odd_image[:12] * 0, odd_image[:12] - 1000
    partly = odd_image * (rng.random(odd.shape) < 0.5)
    some_nan = np.where(rng.random(odd.shape) < 0.1, np.nan, odd_time).astype(np.float32)
    return ImageBlock(
        np.concatenate([image, odd_image, zero, empty, partly, odd_image]),
        np.concatenate([time, odd_time, odd_time[:12], odd_time[:12], odd_time, some_nan]),
        np.concatenate([mask, odd, none, none, odd, odd]),
    )


class _Starts:
    """Stands for a numpy generator, and deals out the start pairs that our fit uses."""

    def __init__(self, seed, event_id):
        self.key = np.uint64(seed), np.uint64(event_id)
        self.draws = []

    def integers(self, low, high):
        if not self.draws:
            pairs = start_pairs(*self.key, high)
            self.draws = [v for i, j in pairs for v in (int(i), int(j) - int(j > i))]
        return self.draws.pop(0)


@pytest.fixture
def ctapipe_parameters(subarray, monkeypatch):
    """Return a function: ctapipe's parameters of one event, its timing fit started from our pairs."""
    processor = ImageProcessor(subarray, use_telescope_frame=False)
    for name in ("_lts_linear_regression", "_lts_single_sample", "choose_two_without_replacement"):
        # the interpreted form of the same functions, which accepts a stand-in for the generator
        monkeypatch.setattr(ctapipe.fitting, name, getattr(ctapipe.fitting, name).py_func)

    def parameters(image, peak_time, mask, *, seed, event_id):
        fit = partial(lts_linear_regression, rng=_Starts(seed, event_id))
        monkeypatch.setattr(ctapipe.image.timing, "lts_linear_regression", fit)
        container = processor._parameterize_image(
            TEL_ID, image, mask, peak_time, default=processor.default_image_container
        )
        return _flat(container)

    return parameters


def _flat(container):
    values = {}
    for group in container.values():
        for name, field in group.fields.items():
            value = group[name]
            if isinstance(value, u.Quantity):
                value = value.to_value(field.unit)
            values[f"{group.prefix}_{name}"] = value
    return values


@pytest.fixture(scope="session")
def real_events(real_raw_file):
    """Return samples and baselines of the real events, in the order of the pixel ids."""
    samples, baseline = [], []
    with File(str(real_raw_file)) as raw:
        for event in raw.Events:
            order = np.argsort(event.hiGain.waveforms.pixelsIndices)
            samples.append(event.hiGain.waveforms.samples.reshape(1296, -1)[order])
            baseline.append(event.hiGain.waveforms.baselines[order] / 16)
    return np.array(samples), np.array(baseline, dtype=np.float32)
