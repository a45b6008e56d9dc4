"""DL2 files and responses made from simple numbers, of which everything is known."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord

from sst1m.config import load_config
from sst1m.dl3.cuts import GlobalCut
from sst1m.dl3.export import Dl3Summary, export_dl3
from sst1m.dl3.runs import CutsByNode
from sst1m.events import ReconstructedEvents
from sst1m.instrument import sst1m_subarray, telescope_location
from sst1m.io.dl1 import Dl1Block, Dl1Writer
from sst1m.io.dl2 import write_dl2
from sst1m.io.dl2_columns import column_table
from sst1m.irf.bins import IrfBins
from sst1m.irf.catalogue import IrfCatalogue
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.gadf import write_irfs
from sst1m.irf.responses import IrfSet
from sst1m.layout_mc import irf_path
from sst1m.monitoring.live_time import LiveTime
from sst1m.nodes import Node
from sst1m.pointing import Pointing, horizontal_pointing, offline_earth_orientation
from sst1m.sources import Source
from sst1m.times import ns_to_time, utc_text_to_ns

CRAB = Source("Crab", 83.63308, 22.0145)
#: Wobbles 0.7 deg east and west of the source.
W1, W2 = (84.38827, 22.0122), (82.87789, 22.0122)
START_NS = utc_text_to_ns("2024-03-04T19:00:00")
NODE = Node(30, 220, 100)
DEADC = 0.93
SECOND = 1_000_000_000
TELESCOPES = {"tel_021": (21,), "tel_022": (22,), "stereo": (21, 22)}
_MONO = ("log_reco_energy", "gammaness", "reco_alt", "reco_az", "reco_disp_norm", "effective_focal_length")
_HILLAS = ("alt", "az", "core_x", "core_y", "h_max")


@dataclass(frozen=True)
class Run:
    """What a test wants of a run: events each 0.25 s, or `triggers` of 1 Hz that gave none."""

    number: int = 1
    start_s: float = 0.0
    n_events: int = 41
    axis: tuple[float, float] = W1
    node: Node | None = NODE
    nsb_mhz: float | dict | None = 95.0
    setup: str = "tel_021"
    pauses: tuple[tuple[float, float], ...] = ()  # [s] after the first event
    gammaness: float = 0.9
    triggers: int = 0

    @property
    def obs_id(self) -> int:
        return 202403040000 + self.number

    @property
    def time_ns(self) -> np.ndarray:
        step = np.arange(self.n_events, dtype=np.int64) * (SECOND // 4)
        return START_NS + round(self.start_s * SECOND) + 123_456 + step

    @property
    def live(self) -> LiveTime:
        """Two spans, divided by a pause without triggers, for runs with pauses."""
        if self.triggers:
            start = START_NS + round(self.start_s * SECOND)
            return LiveTime(((start, start + self.triggers * SECOND),), DEADC, 0.004, "gaps")
        if self.n_events < 2:
            return LiveTime((), 1.0, 0.0, f"no time was measured: {self.n_events} triggers")
        first, last = int(self.time_ns[0]), int(self.time_ns[-1])
        edges = [first, *(first + round(t * SECOND) for pause in self.pauses for t in pause), last]
        return LiveTime(tuple(zip(edges[::2], edges[1::2], strict=True)), DEADC, 0.004, "gaps")


def reconstructed(run: Run) -> ReconstructedEvents:
    """Return events on a spiral around the optical axis, every fourth of them hadron-like."""
    n, tel_id = run.n_events, TELESCOPES[run.setup][0]
    azimuth, altitude = np.degrees(horizontal_pointing(Pointing(*run.axis, "header"), tel_id, run.time_ns))
    number = np.arange(n)
    axis = SkyCoord(*run.axis, unit="deg")
    sky = axis.directional_offset_by(number * 37 * u.deg, (0.2 + number % 20 * 0.08) * u.deg)
    with offline_earth_orientation():
        frame = AltAz(obstime=ns_to_time(run.time_ns), location=telescope_location(tel_id))
        horizontal = sky.transform_to(frame)
    energy = 10 ** (0.3 + 0.05 * (number % 30))
    columns = {
        "obs_id": np.full(n, run.obs_id),
        "event_id": number + 1,
        "time_ns": run.time_ns,
        "reco_energy": energy,
        "log_reco_energy": np.log10(energy),
        "gammaness": np.where(number % 4 == 3, 0.2, run.gammaness),
        "reco_alt": horizontal.alt.deg,
        "reco_az": horizontal.az.deg,
        "reco_ra": sky.ra.deg,
        "reco_dec": sky.dec.deg,
        "true_alt_tel": altitude,
        "true_az_tel": azimuth,
        "reco_disp_norm": np.full(n, 0.05),
        "reco_disp_sign": np.ones(n),
        "effective_focal_length": np.full(n, 5.6),
    }
    image = {
        "camera_frame_hillas_intensity": np.where(number % 10 == 5, 10.0, 500.0),
        "camera_frame_hillas_width": np.full(n, 0.02),
        "camera_frame_hillas_length": np.full(n, 0.06),
        "leakage_intensity_width_2": np.full(n, 0.1),
    }
    if run.setup == "stereo":
        for tel in (21, 22):
            columns |= {f"{name}_tel{tel}": values for name, values in image.items()}
            columns |= {f"{name}_tel{tel}": columns[name] for name in _MONO}
            columns[f"HillasReconstructor_tel_impact_distance_tel{tel % 20}"] = np.full(n, 100.0)
        zero = np.zeros(n)
        columns |= {f"HillasReconstructor_{name}": zero for name in _HILLAS}
        columns |= {"var_reco_energy": zero, "min_distance": zero, "best_sign_combination": zero.astype(int)}
        columns |= {"var_gammaness": zero, "wvar_gammaness": zero, "wvar_reco_energy": zero}
    info = {
        "node": run.node and str(run.node),
        "models": {"fingerprint": "f" * 64},
        "live_time": run.live.to_dict(),
        "nsb_mhz": run.nsb_mhz,
        "simulated": True,
        "counts": {"n_dl1": n, "n_written": n},
        "dl1": {"obs_id": run.obs_id, "ra_deg": run.axis[0], "dec_deg": run.axis[1]},
    }
    return ReconstructedEvents(column_table(columns | image), run.setup, info)


@pytest.fixture(scope="session")
def make_dl2() -> Callable[[Path, Run], Path]:
    """Return a function that writes the DL2 file of a run into a directory."""

    known: dict[str, bytes] = {}

    def make(directory: Path, run: Run) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        dl2 = directory / f"SST1M1_20240304_{run.number:04d}_W1_dl1_dl2.h5"
        if repr(run) not in known:
            write(directory, run, dl2)
            known[repr(run)] = dl2.read_bytes()
        dl2.write_bytes(known[repr(run)])
        return dl2

    def write(directory: Path, run: Run, dl2: Path) -> None:
        events = reconstructed(run)
        dl1 = directory / f"SST1M1_20240304_{run.number:04d}_W1_dl1.h5"
        tel_ids = TELESCOPES[run.setup]
        with Dl1Writer(
            dl1,
            subarray=sst1m_subarray(),
            tel_ids=tel_ids,
            obs_id=run.obs_id,
            images="none",
            extra_columns={},
        ) as writer:
            nothing = np.zeros((run.n_events, 1296), dtype=np.float32)
            event_id = np.arange(1, run.n_events + 1)
            block = Dl1Block(event_id, run.time_ns, {}, {}, nothing, nothing, nothing > 0)
            for tel_id in tel_ids:
                writer.write_block(tel_id, block)
            triggered = np.tile(np.isin((21, 22), tel_ids), (run.n_events, 1))
            writer.write_triggers(event_id, run.time_ns, triggered)
        write_dl2(dl2, events, dl1=dl1)
        dl1.unlink()

    return make


@pytest.fixture(scope="session")
def new_run() -> type[Run]:
    """Return the class that describes a run."""
    return Run


@pytest.fixture(scope="session")
def crab() -> Source:
    return CRAB


@pytest.fixture(scope="session")
def config(project_root):
    return load_config(project_root / "config" / "sst1m_data_config.json")


@pytest.fixture(scope="session")
def cuts(config) -> GlobalCut:
    return GlobalCut.from_config(config)


def simple_irf(node: Node, setup: str, cuts: GammanessCuts) -> IrfSet:
    """Return a response that rises with energy and falls with zenith angle."""
    energy = np.geomspace(0.2, 200, 13) * u.TeV
    offset = np.linspace(0, 4, 5) * u.deg
    bins = IrfBins(
        energy_true=energy,
        energy_dispersion=energy,
        migration=np.linspace(0.1, 4, 40),
        fov_offset=offset,
        source_offset=np.append(np.linspace(0, 1, 21), [2, 4, 8, 16]) * u.deg,
        n_source_offset=20,
        energy_reco=np.geomspace(0.1, 1000, 9) * u.TeV,
        background_offset=offset,
    )
    center = np.sqrt(energy[1:] * energy[:-1]).to_value(u.TeV)
    area = 1e5 * np.sqrt(np.cos(np.radians(node.zenith_deg))) * center / (center + 1)
    migration = np.exp(-0.5 * ((bins.migration[1:] - 1) / 0.2) ** 2)
    migration /= (migration * np.diff(bins.migration)).sum()
    solid_angle = np.diff(2 * np.pi * (1 - np.cos(bins.source_offset.to_value(u.rad))))
    psf = np.exp(-0.5 * (bins.source_offset[1:].to_value(u.deg) / 0.2) ** 2)
    psf /= (psf * solid_angle).sum()
    return IrfSet(
        effective_area=np.tile(area[:, np.newaxis], (1, 4)),
        energy_dispersion=np.tile(migration[np.newaxis, :, np.newaxis], (12, 1, 4)),
        psf=np.tile(psf, (12, 4, 1)),
        background=np.full((8, 4), 1e-7),
        bins=bins,
        cuts=cuts,
        node=node,
        setup=setup,
    )


@pytest.fixture(scope="session")
def write_irf_tree(tmp_path_factory) -> Callable[..., Path]:
    """Return a function that writes a tree of responses; the cuts may depend on the node."""

    def write(cuts: CutsByNode, zeniths: Sequence[float], setups: Sequence[str] = ("tel_021",)) -> Path:
        root = tmp_path_factory.mktemp("irf")
        for setup in setups:
            for zenith in zeniths:
                node = Node(zenith, 220, 100)
                path = irf_path(root, setup, "0_1", node, cuts.tag)
                write_irfs(simple_irf(node, setup, cuts.at(node)), path)
        return root

    return write


@pytest.fixture(scope="session")
def irf_dir(write_irf_tree, cuts) -> Path:
    """Return a tree of responses: three nodes of each set-up, global cut."""
    return write_irf_tree(cuts, (20, 30, 40), tuple(TELESCOPES))


@pytest.fixture(scope="session")
def reconstruct() -> Callable[[Run], ReconstructedEvents]:
    """Return a function that gives the events of a run in memory."""
    return reconstructed


@pytest.fixture(scope="session")
def export(config, cuts, irf_dir) -> Callable[..., Dl3Summary]:
    """Return a function that exports DL2 files with what most tests have in common."""

    catalogue = functools.cache(IrfCatalogue)

    def call(files: Sequence[Path], output: Path, *, setup: str = "cs1", **changes) -> Dl3Summary:
        tel_setup = {"cs1": "tel_021", "cs2": "tel_022", "stereo": "stereo"}[setup]
        options = {"target": CRAB, "config": config, "cuts": cuts, "irfs": irf_dir} | changes
        irfs = catalogue(options.pop("irfs"), tel_setup, options["cuts"].tag)
        return export_dl3(files, output, setup=setup, irfs=irfs, **options)

    return call
