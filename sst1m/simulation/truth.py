"""What only simulations know, written into a DL1 file where ctapipe looks for it."""

from typing import Any

import astropy.units as u
import numpy as np
import tables
from ctapipe.containers import (
    Container,
    CoordinateFrameType,
    EventIndexContainer,
    Field,
    ObservationBlockContainer,
    SchedulingBlockContainer,
    SimulatedCameraContainer,
    SimulatedShowerContainer,
    SimulatedShowerDistribution,
    SimulationConfigContainer,
    TelescopeConfigurationIndexContainer,
    TelescopeImpactParameterContainer,
    TelescopePointingContainer,
    TelEventIndexContainer,
)
from numpy.typing import NDArray

from ..image import CameraTables
from ..instrument import N_PIXELS, camera_geometry
from ..io.dl1 import Dl1Writer
from ..io.dl1_tables import make_empty
from ..io.dl1_truth import (
    create_true_parameters,
    interleave_triggers,
    true_parameters,
    true_parameters_table,
)
from .events import Observatory, ShowerSpec, SimulatedEvents
from .photoelectrons import PhotoElectrons

__all__ = ["PRODUCER", "TruthWriter", "true_images"]

PRODUCER = "SST1M-simulated"
SHOWER = "simulation/event/subarray/shower"
DISTRIBUTION = "simulation/service/shower_distribution"
RUN = "configuration/simulation/run"

#: Edges of the histogram of thrown showers, the same in all files so that they can be added.
_ENERGY_EDGES = np.geomspace(1e-3, 1e3, 121)
_DISTANCE_EDGES = np.linspace(0.0, 2000.0, 201)


class _RunKey(Container):
    """Key of the table of simulated runs."""

    default_prefix = ""
    obs_id = Field(0, "Simulation Run Identifier")


def true_images(light: PhotoElectrons) -> NDArray[np.int32]:
    """Return the photo-electrons per pixel, shape=(n_events, n_pixels)."""
    event = np.repeat(np.arange(len(light)), light.counts)
    cells = event * N_PIXELS + light.pixel
    return np.bincount(cells, minlength=len(light) * N_PIXELS).reshape(-1, N_PIXELS).astype(np.int32)


class TruthWriter:
    """
    Writes truth, pointing and the description of what was thrown, block by block.

    Parameters
    ----------
    writer : Dl1Writer
        Open.
    spec : ShowerSpec
        What is thrown.
    observatory : Observatory
        Who looks.
    obs_id : int
        Of all events.
    """

    def __init__(self, writer: Dl1Writer, spec: ShowerSpec, observatory: Observatory, obs_id: int) -> None:
        self._writer = writer.table_writer
        self._h5file: tables.File = writer.h5file
        self._spec, self._observatory, self._obs_id = spec, observatory, obs_id
        self._histogram = np.zeros((len(_ENERGY_EDGES) - 1, len(_DISTANCE_EDGES) - 1))
        self._camera = CameraTables.from_geometry(camera_geometry())
        self.n_thrown = 0
        self._write_configuration()
        self._tables = self._create_tables()

    def _write_configuration(self) -> None:
        pointing = {
            "azimuth": self._spec.pointing_az_deg * u.deg,
            "altitude": self._spec.pointing_alt_deg * u.deg,
        }
        scheduling = SchedulingBlockContainer(sb_id=np.uint64(self._obs_id), producer_id=PRODUCER)
        observation = ObservationBlockContainer(
            obs_id=np.uint64(self._obs_id),
            sb_id=np.uint64(self._obs_id),
            producer_id=PRODUCER,
            subarray_pointing_lon=pointing["azimuth"],
            subarray_pointing_lat=pointing["altitude"],
            subarray_pointing_frame=CoordinateFrameType.ALTAZ,
        )
        for name, block in (("scheduling_block", scheduling), ("observation_block", observation)):
            self._writer.write(f"configuration/observation/{name}", block, time_format="mjd")
        for tel_id in self._observatory.positions:
            key = TelescopeConfigurationIndexContainer(obs_id=self._obs_id, tel_id=tel_id)
            container = TelescopePointingContainer(
                azimuth=pointing["azimuth"].to("rad"), altitude=pointing["altitude"].to("rad")
            )
            self._writer.write(f"configuration/telescope/pointing/tel_{tel_id:03d}", [key, container])

    def _create_tables(self) -> dict[str, tables.Table]:
        zero = np.float64(0.0)
        shower = SimulatedShowerContainer(
            energy=zero * u.TeV,
            alt=zero * u.deg,
            az=zero * u.deg,
            core_x=zero * u.m,
            core_y=zero * u.m,
            h_first_int=zero * u.m,
            x_max=zero * u.g / u.cm**2,
            starting_grammage=zero * u.g / u.cm**2,
            shower_primary_id=np.int64(0),
        )
        index = EventIndexContainer(obs_id=np.int64(0), event_id=np.int64(0))
        made = {SHOWER: make_empty(self._writer, SHOWER, [index, shower])}
        self._writer.exclude("/simulation/event/telescope/images/.*", "true_parameters")
        for tel_id in self._observatory.positions:
            key = TelEventIndexContainer(obs_id=np.int64(0), event_id=np.int64(0), tel_id=np.int16(tel_id))
            impact = TelescopeImpactParameterContainer(
                distance=zero * u.m, distance_uncert=np.nan * u.m, prefix="true_impact"
            )
            image = SimulatedCameraContainer(
                true_image_sum=np.int64(0), true_image=np.zeros(N_PIXELS, np.int32), prefix=""
            )
            for kind, container in (("impact", impact), ("images", image)):
                path = f"simulation/event/telescope/{kind}/tel_{tel_id:03d}"
                made[path] = make_empty(self._writer, path, [key, container])
            made[true_parameters_table(tel_id)] = create_true_parameters(self._writer, tel_id)
        return made

    def count(self, events: SimulatedEvents) -> None:
        """Take note of all showers that were thrown, with light or without."""
        self.n_thrown += events.n_thrown
        self._histogram += np.histogram2d(
            events.thrown_energy, events.thrown_core_distance, bins=(_ENERGY_EDGES, _DISTANCE_EDGES)
        )[0]

    def write_events(
        self, events: SimulatedEvents, event_id: NDArray[np.int64], triggered: NDArray[np.bool_]
    ) -> None:
        """
        Write the truth about array events.

        Parameters
        ----------
        events : SimulatedEvents
            Of a batch.
        event_id : ndarray of int64, shape=(n_events,)
            Identities.
        triggered : ndarray of bool, shape=(n_events, n_telescopes)
            Which telescopes recorded them; events without any are left out.
        """
        chosen = triggered.any(axis=1)
        truth = {
            "true_energy": events.energy,
            "true_alt": np.rad2deg(events.alt),
            "true_az": np.rad2deg(events.az),
            "true_core_x": events.core_x,
            "true_core_y": events.core_y,
            "true_h_first_int": events.h_first_int,
            "true_x_max": events.x_max,
            "true_starting_grammage": np.zeros(len(events)),
            "true_shower_primary_id": np.full(len(events), events.primary_id),
        }
        self._append(SHOWER, event_id, truth, chosen)
        for t, (tel_id, light) in enumerate(events.light.items()):
            there = triggered[:, t]
            impact = {"true_impact_distance": events.impact_m[tel_id]}
            impact["true_impact_distance_uncert"] = np.full(len(events), np.nan)
            self._append(
                f"simulation/event/telescope/impact/tel_{tel_id:03d}", event_id, impact, there, tel_id
            )
            rows = np.flatnonzero(there)
            images = {"true_image": true_images(light.take(rows)), "true_image_sum": light.counts[rows]}
            parameters = true_parameters(images["true_image"], self._camera)
            every = np.ones(len(rows), dtype=bool)
            path = f"simulation/event/telescope/images/tel_{tel_id:03d}"
            self._append(path, event_id[rows], images, every, tel_id)
            self._append(true_parameters_table(tel_id), event_id[rows], parameters, every, tel_id)

    def _append(
        self,
        path: str,
        event_id: NDArray[np.int64],
        columns: dict[str, NDArray[Any]],
        chosen: NDArray[np.bool_],
        tel_id: int | None = None,
    ) -> None:
        table = self._tables[path]
        rows = np.zeros(np.count_nonzero(chosen), dtype=table.dtype)
        rows["obs_id"], rows["event_id"] = self._obs_id, event_id[chosen]
        if tel_id is not None:
            rows["tel_id"] = tel_id
        for name, values in columns.items():
            rows[name] = values[chosen]
        table.append(rows)

    def finish(self) -> None:
        """Write what was thrown: the run's configuration and the histogram of all showers."""
        self._writer.write(RUN, [_RunKey(obs_id=self._obs_id), self._run_configuration()])
        distribution = SimulatedShowerDistribution(
            obs_id=self._obs_id,
            hist_id=6,
            n_entries=self.n_thrown,
            bins_energy=_ENERGY_EDGES * u.TeV,
            bins_core_dist=_DISTANCE_EDGES * u.m,
            histogram=self._histogram.astype(np.float32),
        )
        self._writer.write(DISTRIBUTION, distribution)
        interleave_triggers(self._h5file)

    def _run_configuration(self) -> SimulationConfigContainer:
        spec = self._spec
        alt = np.deg2rad(spec.pointing_alt_deg + np.array([-1, 1]) * spec.offset_deg)
        az = np.deg2rad(spec.pointing_az_deg)
        return SimulationConfigContainer(
            run_number=np.int32(self._obs_id),
            detector_prog_id=0,
            shower_prog_id=0,
            energy_range_min=spec.energy_min_tev * u.TeV,
            energy_range_max=spec.energy_max_tev * u.TeV,
            prod_site_alt=self._observatory.altitude_m * u.m,
            spectral_index=spec.spectral_index,
            n_showers=self.n_thrown,
            shower_reuse=1,
            max_alt=min(alt[1], np.pi / 2) * u.rad,
            min_alt=alt[0] * u.rad,
            max_az=az * u.rad,
            min_az=az * u.rad,
            diffuse=not spec.is_point_source,
            max_viewcone_radius=spec.view_cone_deg[1] * u.deg,
            min_viewcone_radius=spec.view_cone_deg[0] * u.deg,
            max_scatter_range=spec.scatter_radius_m * u.m,
            min_scatter_range=0.0 * u.m,
            core_pos_mode=1,
            prefix="",
        )
