"""What goes into the instrument comes out again: spectra and counts of a source, through our responses."""

import json
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, offset_by
from astropy.table import QTable
from gammapy.data import FixedPointingInfo, Observation
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.estimators import FluxPointsEstimator
from gammapy.irf import load_irf_dict_from_file
from gammapy.makers import SpectrumDatasetMaker
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling import Fit
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion
from scipy.stats import chi2

from sst1m.config import config_from_dict
from sst1m.events import ReconstructedEvents
from sst1m.io.dl2 import read_dl2
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.maker import make_irfs
from sst1m.irf.spectra import PROTON_SPECTRUM, SPECTRA, spectrum_named
from sst1m.irf.weights import event_weights
from sst1m.nodes import Node
from sst1m.performance.rates import in_on_region, on_regions, source_rates
from sst1m.reco.model_store import ModelStore
from sst1m.reco.reconstruct import reconstruct_file
from sst1m.reco.selection import select_events
from sst1m.reco.training import train_forests
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1
from sst1m.thrown import ThrownShowers

NODE = Node(20, 180, 100)
OFFSET_DEG, RADIUS_DEG, OFF_REGIONS = 0.5, 0.2, 5
LIVETIME = 30 * u.h
EDGES = np.geomspace(0.8, 40, 9) * u.TeV
SOURCE = "CRAB_HEGRA"
SEEDS = (1, 2, 3)
#: A wrong response is found with much more, a right one fails once in a thousand.
LEAST_PROBABILITY = 1e-3


def acceptance(energy, offset, hadron):
    """Return the chance of a shower to be seen: a threshold, and a field of view."""
    plateau = 0.5 * np.exp(-0.5 * (offset / 3.5) ** 2)
    return plateau / (1 + (1.2 / energy) ** 3) * (0.4 if hadron else 1.0)


def toy_events(particle, n_showers, cone, seed, setup="stereo"):
    """Return showers with their truth smeared: an energy scale, an energy resolution and a PSF with tails."""
    rng = np.random.default_rng(seed)
    low, high = 0.4, 100.0
    thrown = ThrownShowers(n_showers, low, high, -2.0, 450.0, *cone)
    energy = 1 / (1 / low - rng.random(n_showers) * (1 / low - 1 / high))
    inner, outer = np.cos(np.deg2rad(cone))
    offset = np.rad2deg(np.arccos(inner - rng.random(n_showers) * (inner - outer)))
    hadron = particle == "proton"
    seen = rng.random(n_showers) < acceptance(energy, offset, hadron)
    energy, offset = energy[seen], offset[seen]
    n = len(energy)
    turn = rng.random((2, n)) * 360 * u.deg
    az, alt = offset_by(180 * u.deg, 70 * u.deg, turn[0], offset * u.deg)
    theta = rng.rayleigh(0.07 * energy**-0.15, n) * np.where(rng.random(n) < 0.1, 4, 1)
    reco_az, reco_alt = offset_by(az, alt, turn[1], theta * u.deg)
    columns = {
        "obs_id": np.ones(n, dtype=np.int64),
        "event_id": np.arange(n),
        "true_energy": energy * u.TeV,
        "reco_energy": energy * 0.95 * np.exp(rng.normal(0, 0.18, n)) * u.TeV,
        "gammaness": rng.beta(1.5, 2.5, n) if hadron else rng.beta(6, 1.5, n),
        "true_alt": alt.to(u.deg),
        "true_az": az.to(u.deg),
        "reco_alt": reco_alt.to(u.deg),
        "reco_az": reco_az.to(u.deg),
        "true_alt_tel": np.full(n, 70.0) * u.deg,
        "true_az_tel": np.full(n, 180.0) * u.deg,
        "true_shower_primary_id": np.full(n, 101 if hadron else 0),
    }
    for suffix in ("_tel1", "_tel2"):
        columns |= {
            f"camera_frame_hillas_intensity{suffix}": np.full(n, 500.0),
            f"camera_frame_hillas_width{suffix}": np.full(n, 0.02) * u.m,
            f"camera_frame_hillas_length{suffix}": np.full(n, 0.05) * u.m,
            f"leakage_intensity_width_2{suffix}": np.zeros(n),
        }
    info = {"node": str(NODE), "simulated": True, "nsb_mhz": NODE.nsb_mhz}
    return ReconstructedEvents(QTable(columns), setup, info, thrown)


@dataclass(frozen=True)
class Instrument:
    """A response, and events that it was not made from."""

    irf_file: Path
    gammas: ReconstructedEvents
    protons: ReconstructedEvents
    config: object


@pytest.fixture(scope="module")
def instrument(tmp_path_factory, project_root):
    document = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
    document["analysis"] |= {
        "fov_offset_max_deg": 2,
        "nbins_fov_offset": 5,
        "fov_offset_bg_max_deg": 4,
        "nbins_fov_offset_bg": 5,
        "nbins_source_offset": 101,
        "n_energy_bins": 41,
        "log_energy_min_tev": -0.5,
        "log_energy_max_tev": 2,
        "gamma_min_simulated_energy_tev": 0.4,
        "global_gammaness_cut": 0.6,
    }
    config = config_from_dict(document)
    cuts = GammanessCuts.from_config(config)
    path = tmp_path_factory.mktemp("irf") / "SST1M_stereo_Zen20deg_gcut0.6_irfs.fits"
    make_irfs(
        path,
        toy_events("gamma", 3_000_000, (0.0, 2.0), 11),
        toy_events("proton", 1_500_000, (0.0, 5.0), 12),
        cuts=cuts,
        config=config,
        node=NODE,
        setup="stereo",
    )

    def kept(events):
        mask = cuts.passes(events.table["reco_energy"].to_value("TeV"), events.table["gammaness"])
        return events.select(mask)

    gammas = toy_events("gamma", 3_000_000, (OFFSET_DEG, OFFSET_DEG), 13)
    return Instrument(path, kept(gammas), kept(toy_events("proton", 1_500_000, (0.0, 5.0), 14)), config)


@pytest.fixture(scope="module")
def regions(instrument):
    return on_regions(instrument.gammas, EDGES, instrument.config)


@pytest.fixture(scope="module")
def folded(instrument):
    return fold(instrument, LIVETIME)


def fold(instrument, livetime):
    """Return what the response expects of an observation, without a source."""
    pointing = SkyCoord(83.63 * u.deg, 22.01 * u.deg)
    source = pointing.directional_offset_by(0 * u.deg, OFFSET_DEG * u.deg)
    observation = Observation.create(
        pointing=FixedPointingInfo(fixed_icrs=pointing),
        livetime=livetime,
        irfs=load_irf_dict_from_file(instrument.irf_file),
    )
    region = CircleSkyRegion(source, RADIUS_DEG * u.deg)
    geometry = RegionGeom.create(region, axes=[MapAxis.from_energy_edges(EDGES)])
    true_axis = MapAxis.from_energy_bounds(0.4 * u.TeV, 100 * u.TeV, nbin=60, name="energy_true")
    maker = SpectrumDatasetMaker(
        selection=["exposure", "background", "edisp"], containment_correction=True, use_region_center=True
    )
    return maker.run(SpectrumDataset.create(geom=geometry, energy_axis_true=true_axis), observation)


def drawn_counts(instrument, regions, seed, livetime=LIVETIME):
    """Draw an observation: gammas one by one from an independent sample, background from its rate."""
    rng = np.random.default_rng(seed)
    weights = event_weights(instrument.gammas, SPECTRA[SOURCE], livetime)
    times = rng.poisson(weights) * in_on_region(instrument.gammas, regions)
    energy = instrument.gammas.table["reco_energy"].to_value("TeV")
    signal, _ = np.histogram(energy, EDGES.value, weights=times)
    background = {"proton": (instrument.protons, spectrum_named(PROTON_SPECTRUM))}
    rates = source_rates(instrument.gammas, SPECTRA[SOURCE], background, regions)
    expected = (rates["background_rate"] * livetime).to_value(u.one)
    return signal.astype(int) + rng.poisson(expected), rng.poisson(OFF_REGIONS * expected)


def on_off(folded, counts, counts_off):
    """Return the observation as gammapy fits it."""
    geometry = folded.counts.geom

    def filled(values):
        return RegionNDMap.from_geom(
            geometry, data=np.reshape(np.asarray(values, float), geometry.data_shape)
        )

    return SpectrumDatasetOnOff(
        name=f"observation{int(np.sum(counts))}",
        counts=filled(counts),
        counts_off=filled(counts_off),
        acceptance=filled(np.ones(len(counts))),
        acceptance_off=filled(np.full(len(counts), OFF_REGIONS)),
        exposure=folded.exposure,
        edisp=folded.edisp,
        gti=folded.gti,
    )


def injected_model():
    truth = SPECTRA[SOURCE]
    model = PowerLawSpectralModel(
        index=-truth.index, amplitude=truth.normalization.to("TeV-1 cm-2 s-1"), reference=1 * u.TeV
    )
    return SkyModel(spectral_model=model, name="source")


def test_response_predicts_the_counts_of_an_independent_sample(instrument, regions, folded):
    background = {"proton": (instrument.protons, spectrum_named(PROTON_SPECTRUM))}
    rates = source_rates(instrument.gammas, SPECTRA[SOURCE], background, regions)
    dataset = folded.copy(name="prediction")
    dataset.models = [injected_model()]
    predicted = dataset.npred_signal().data.ravel()
    expected = (rates["signal_rate"] * LIVETIME).to_value(u.one)
    # Both come from as many simulated events, but those of the response fill a cone of 2 deg, and it is
    # read between its bins of 0 to 0.5 and 0.5 to 1 deg, which hold 1/16 and 3/16 of them.
    error = expected * np.sqrt((1 + 16 / 4 + 16 / 12) / rates["n_signal"])
    assert np.all(np.abs(predicted - expected) < 3 * error)
    assert np.all(error[:6] < 0.03 * expected[:6])
    flat = folded.background.data.ravel()
    wanted = (rates["background_rate"] * LIVETIME).to_value(u.one)
    # The response counts its background in rings of a degree, the rate around the axis only.
    filled = rates["n_background"] > 50
    assert filled.sum() >= 3
    np.testing.assert_allclose(flat[filled], wanted[filled], rtol=0.25)


def fitted_model(dataset):
    """Fit a power law, beginning well away from the answer; return it and how improbable the truth is."""
    sky = injected_model()
    truth = sky.spectral_model.copy()
    sky.spectral_model.index.value, sky.spectral_model.amplitude.value = 2.2, 1e-11
    dataset.models = [sky]
    assert Fit().run([dataset]).success
    fitted = sky.spectral_model
    off = np.array([fitted.index.value - truth.index.value, fitted.amplitude.value - truth.amplitude.value])
    covariance = fitted.covariance.data[:2, :2]
    return fitted, truth, chi2.sf(off @ np.linalg.solve(covariance, off), 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_reconstructed_spectrum_is_the_injected_one(instrument, regions, folded, seed):
    dataset = on_off(folded, *drawn_counts(instrument, regions, seed))
    fitted, truth, probability = fitted_model(dataset)
    assert probability > LEAST_PROBABILITY
    assert fitted.index.error < 0.1 and fitted.amplitude.error < 0.05 * fitted.amplitude.value
    points = FluxPointsEstimator(energy_edges=EDGES, source="source", selection_optional=[]).run([dataset])
    table = points.to_table(sed_type="dnde")
    flux, error = table["dnde"].quantity, table["dnde_err"].quantity
    pull = ((flux - truth(table["e_ref"].quantity)) / error).to_value(u.one)
    strong = dataset.counts.data.ravel() > 20
    assert strong.sum() >= 5
    assert chi2.sf(np.sum(pull[strong] ** 2), strong.sum()) > LEAST_PROBABILITY


def test_a_wrong_response_would_be_found(instrument, regions, folded):
    wrong = folded.copy(name="wrong")
    wrong.exposure *= 1.25
    _, _, probability = fitted_model(on_off(wrong, *drawn_counts(instrument, regions, SEEDS[0])))
    assert probability < LEAST_PROBABILITY


#: Simulated with the telescopes' own images: what to throw, by the name of the sample.
SHOWERS = {
    "gamma_train": ShowerSpec("gamma", 4000, 0.5, 60, -2.0, 300, view_cone_deg=(0, 1.5), seed=1),
    "proton_train": ShowerSpec("proton", 5000, 0.8, 120, -2.0, 350, view_cone_deg=(0, 4), seed=2),
    "gamma_test": ShowerSpec("gamma", 8000, 0.5, 60, -2.0, 300, view_cone_deg=(0, 1.5), seed=3),
    "gamma_point": ShowerSpec("gamma", 6000, 0.5, 60, -2.0, 300, offset_deg=OFFSET_DEG, seed=4),
    "proton_test": ShowerSpec("proton", 6000, 0.8, 120, -2.0, 350, view_cone_deg=(0, 4), seed=5),
}


@pytest.fixture(scope="module")
def reconstructed(tmp_path_factory, project_root):
    """Return an instrument from showers that went through camera, trigger, cleaning and forests."""
    document = json.loads((project_root / "config" / "sst1m_mc_demo_config.json").read_text())
    document["analysis"] |= {
        "fov_offset_max_deg": 1.5,
        "nbins_fov_offset": 3,
        "fov_offset_bg_max_deg": 4,
        "nbins_fov_offset_bg": 3,
        "n_energy_bins": 15,
    }
    config = config_from_dict(document)
    cuts = GammanessCuts.from_config(config)
    root = tmp_path_factory.mktemp("reconstructed")
    dl1 = {name: root / f"{name}_dl1.h5" for name in SHOWERS}
    for name, spec in SHOWERS.items():
        simulate_mc_dl1(spec, dl1[name], config=config, nsb_mhz=NODE.nsb_mhz, obs_id=spec.seed)
    models = root / "models" / str(NODE)
    kwargs = {"config": config, "telescope": 1, "stereo": False, "node": NODE}
    train_forests(dl1["gamma_train"], dl1["proton_train"], models, **kwargs)
    store, events = ModelStore(models.parent, False), {}
    for name in ("gamma_test", "gamma_point", "proton_test"):
        dl2 = root / f"{name}_dl2.h5"
        reconstruct_file(dl1[name], dl2, config=config, store=store, tel_setup="tel_001", node=NODE)
        events[name] = read_dl2(dl2)
    path = root / "irfs.fits"
    gammas, protons = events["gamma_test"], events["proton_test"]
    make_irfs(path, gammas, protons, cuts=cuts, config=config, node=NODE, setup="tel_001")

    def kept(sample):
        sample = sample.select(select_events(sample, config).mask)
        energy = sample.table["reco_energy"].to_value("TeV")
        return sample.select(cuts.passes(energy, sample.table["gammaness"]))

    return Instrument(path, kept(events["gamma_point"]), kept(protons), config)


@pytest.mark.slow
def test_spectra_of_reconstructed_showers(reconstructed):
    livetime = 1 * u.h
    regions = on_regions(reconstructed.gammas, EDGES, reconstructed.config)
    folded = fold(reconstructed, livetime)
    dataset = folded.copy(name="prediction")
    dataset.models = [injected_model()]
    rates = source_rates(reconstructed.gammas, SPECTRA[SOURCE], {}, regions)
    # Above the threshold, where one wide bin of the response does not mix nothing with much.
    used = (rates["n_signal"] > 30) & (rates["low"] > 1.2 * u.TeV)
    assert used.sum() >= 3
    predicted = dataset.npred_signal().data.ravel()[used]
    expected = (rates["signal_rate"] * livetime).to_value(u.one)[used]
    error = expected * np.sqrt(4 / rates["n_signal"][used])
    assert np.all(np.abs(predicted - expected) < 3 * error)
    for seed in SEEDS:
        counts = drawn_counts(reconstructed, regions, seed, livetime)
        _, _, probability = fitted_model(on_off(folded, *counts))
        assert probability > LEAST_PROBABILITY
