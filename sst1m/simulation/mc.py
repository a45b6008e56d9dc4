"""Monte-Carlo events of the array, from showers through the camera to a DL1 file with truth."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ctapipe.image import integration_correction
from ctapipe.instrument import SubarrayDescription
from numpy.typing import NDArray

from ..config import McConfig
from ..image import CameraTables, extract_block
from ..instrument import TEL_IDS, camera_readout, sst1m_subarray
from ..instrument.subarray import REFERENCE_LOCATION
from ..io.dl1 import Dl1Writer
from ..reduction.cleaning import ImageCleaner
from ..reduction.mc_block import SIMULATION_COLUMNS, simulated_block
from ..reduction.options import ReductionSummary
from .camera import Digitiser, RawEvents, camera_model
from .events import MC_TEL_IDS, ShowerSpec, SimulatedEvents, simulate_batches, sst1m_observatory
from .photoelectrons import PhotoElectrons
from .trigger import cluster_maxima, trigger_threshold
from .truth import TruthWriter

__all__ = ["McTelescope", "mc_subarray", "simulate_mc_dl1"]

#: Fewer photo-electrons than this never pass the trigger, whatever the sky adds.
MINIMAL_PE = 20
#: Showers are digitised in stretches of this many; part of what a seed means.
_BATCH = 1000
_DIGITISED = 200
#: Simulated events need some time: 2022-01-01 TAI, one event every millisecond.
_EPOCH_NS = 1_640_995_200_000_000_000
_SPACING_NS = 1_000_000
_CAMERA_SEED = 0


@cache
def mc_subarray() -> SubarrayDescription:
    """Return the array with the telescopes numbered as in simulations, 1 and 2."""
    data = sst1m_subarray()
    return SubarrayDescription(
        name="SST1M",
        tel_positions={mc: data.positions[tel] for mc, tel in zip(MC_TEL_IDS, TEL_IDS, strict=True)},
        tel_descriptions={mc: data.tel[tel] for mc, tel in zip(MC_TEL_IDS, TEL_IDS, strict=True)},
        reference_location=REFERENCE_LOCATION,
    )


class McTelescope:
    """
    One simulated telescope: its camera, its trigger, and its perfectly known calibration.

    Parameters
    ----------
    tel_id : int
        1 or 2.
    config : McConfig
        Extraction and cleaning.
    nsb_mhz : float
        Night sky [MHz per pixel].
    seed : int
        Of the noise.
    """

    def __init__(self, tel_id: int, config: McConfig, nsb_mhz: float, seed: int) -> None:
        data_id = TEL_IDS[MC_TEL_IDS.index(tel_id)]
        model = camera_model(data_id, _CAMERA_SEED)
        self._digitiser = Digitiser(model, nsb_mhz, seed)
        sky, pulse = self._digitiser.sky, self._digitiser.pulse
        noise = float(np.sqrt(sky.variance))
        self._threshold = trigger_threshold(model, float(pulse.values.max()), noise)
        self._window = config.CameraCalibrator.LocalPeakWindowSum
        scale = model.dc_to_pe * sky.gain * sky.detection * model.window
        self._per_adc = (self._missed(data_id) / scale).astype(np.float32)
        self._tables = CameraTables.from_geometry(mc_subarray().tel[tel_id].camera.geometry)
        self._cleaner = ImageCleaner(config, tel_id, self._tables)
        self._factor = config.NsbCalibrator.intensity_correction.of(tel_id)
        self._rng = np.random.default_rng([seed, tel_id])

    def _missed(self, data_id: int) -> float:
        """Return by how much the window misses the reference pulse (ctapipe's definition)."""
        if not self._window.apply_integration_correction:
            return 1.0
        readout = camera_readout(data_id)
        correction = integration_correction(
            readout.reference_pulse_shape,
            readout.reference_pulse_sample_width.to_value("ns"),
            (1 / readout.sampling_rate).to_value("ns"),
            self._window.window_width,
            self._window.window_shift,
        )
        return float(correction[0])

    def digitise(self, light: PhotoElectrons) -> tuple[RawEvents, NDArray[np.bool_]]:
        """Return the samples of events, and which of them pass the trigger."""
        raw = self._digitiser(light, self._rng)
        return raw, cluster_maxima(raw) >= self._threshold

    def images(self, raw: RawEvents) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return charges [p.e.] and peak times [ns], shape=(n_events, n_pixels)."""
        window = {"window_shift": self._window.window_shift, "window_width": self._window.window_width}
        extracted = extract_block(raw.samples, raw.baseline, **window)
        return extracted.charge * self._per_adc, extracted.peak_time

    def record(
        self, light: PhotoElectrons
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """
        Return which events trigger, and the images and peak times of those.

        Parameters
        ----------
        light : PhotoElectrons
            Of some events.
        """
        triggered = np.zeros(len(light), dtype=bool)
        candidates = np.flatnonzero(light.counts >= MINIMAL_PE)
        images = [np.empty((2, 0, len(self._per_adc)), dtype=np.float32)]
        for part in np.split(candidates, range(_DIGITISED, len(candidates), _DIGITISED)):
            raw, kept = self.digitise(light.take(part))
            triggered[part] = kept
            images.append(np.stack(self.images(raw.select(kept))))
        image, peak_time = np.concatenate(images, axis=1)
        return triggered, image, peak_time

    def write(
        self,
        writer: Dl1Writer,
        tel_id: int,
        recorded: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]],
        spec: ShowerSpec,
    ) -> None:
        """Clean, parametrise and write events: identities, times, images and peak times."""
        event_id = recorded[0]
        block = simulated_block(
            *recorded,
            az_deg=np.full(len(event_id), spec.pointing_az_deg),
            alt_deg=np.full(len(event_id), spec.pointing_alt_deg),
            cleaner=self._cleaner,
            tables=self._tables,
            factor=self._factor,
            seed=spec.seed,
        )
        writer.write_block(tel_id, block)


def simulate_mc_dl1(
    spec: ShowerSpec,
    path: Path,
    *,
    config: McConfig,
    nsb_mhz: float | Mapping[int, float],
    production: str = "",
    shard: int = 0,
    obs_id: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReductionSummary:
    """
    Simulate showers at both telescopes and write the triggered events as a DL1 file with truth.

    Parameters
    ----------
    spec : ShowerSpec
        What to throw and where to look; shards of one production differ in its seed.
    path : Path
        DL1 file, made anew; valid also where nothing triggered.
    config : McConfig
        Extraction, cleaning, and which images to keep.
    nsb_mhz : float or mapping of int to float
        Night sky [MHz per pixel], of both telescopes or by telescope (1, 2).
    production, shard
        Labels that go into ``/sst1m/info``.
    obs_id : int, optional
        Observation number of all events; one more than the shard where left out. Files that are merged need
        different ones.
    progress : callable, optional
        Called with the number of showers done since the last call.

    Returns
    -------
    ReductionSummary
        With the number of showers thrown in `info`.
    """
    levels = dict(nsb_mhz) if isinstance(nsb_mhz, Mapping) else dict.fromkeys(MC_TEL_IDS, float(nsb_mhz))
    obs_id = shard + 1 if obs_id is None else obs_id
    telescopes = {t: McTelescope(t, config, levels[t], spec.seed) for t in MC_TEL_IDS}
    with Dl1Writer(
        path,
        subarray=mc_subarray(),
        tel_ids=MC_TEL_IDS,
        obs_id=obs_id,
        images=config.DataWriter.write_images,
        extra_columns=SIMULATION_COLUMNS,
        simulated=True,
    ) as writer:
        truth = TruthWriter(writer, spec, sst1m_observatory(), obs_id)
        counts = {"array": 0, **dict.fromkeys(MC_TEL_IDS, 0)}
        for events in simulate_batches(spec, batch_size=_BATCH, min_photoelectrons=MINIMAL_PE):
            truth.count(events)
            _write_batch(writer, truth, telescopes, events, counts)
            if progress:
                progress(events.n_thrown)
        truth.finish()
        info = _info(spec, config, levels, counts) | {"production": production, "shard": shard}
        writer.write_info(info)
    return ReductionSummary(n_events=spec.n_showers, n_events_written=counts["array"], info=info)


def _write_batch(
    writer: Dl1Writer,
    truth: TruthWriter,
    telescopes: Mapping[int, McTelescope],
    events: SimulatedEvents,
    counts: dict[Any, int],
) -> None:
    """Digitise the events of a batch and write those that trigger in a telescope."""
    event_id = events.number + 1
    time_ns = _EPOCH_NS + event_id * _SPACING_NS
    triggered = np.zeros((len(events), len(telescopes)), dtype=bool)
    for t, (tel_id, telescope) in enumerate(telescopes.items()):
        triggered[:, t], image, peak_time = telescope.record(events.light[tel_id])
        seen = triggered[:, t]
        arrival = np.rint(np.nan_to_num(events.arrival_ns[tel_id][seen])).astype(np.int64)
        recorded = (event_id[seen], time_ns[seen] + arrival, image, peak_time)
        telescope.write(writer, tel_id, recorded, events.spec)
        counts[tel_id] += int(seen.sum())
    chosen = triggered.any(axis=1)
    writer.write_triggers(event_id[chosen], time_ns[chosen], triggered[chosen])
    truth.write_events(events, event_id, triggered)
    counts["array"] += int(chosen.sum())


def _info(
    spec: ShowerSpec, config: McConfig, nsb_mhz: Mapping[int, float], counts: Mapping[Any, int]
) -> dict[str, Any]:
    return {
        "input": "sst1m.simulation",
        "simulated": True,
        "tel_ids": MC_TEL_IDS,
        "n_thrown": spec.n_showers,
        "n_events": counts["array"],
        "n_events_written": counts["array"],
        "n_telescope_events": {str(t): counts[t] for t in MC_TEL_IDS},
        "showers": asdict(spec),
        "nsb_mhz": {str(t): nsb_mhz[t] for t in MC_TEL_IDS},
        "config_fingerprint": config.fingerprint(),
    }
