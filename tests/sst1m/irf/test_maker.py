"""Responses from events of a known instrument: against pyirf, against the truth, and as files."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, vstack
from gammapy.data import Observation
from gammapy.irf import load_irf_dict_from_file
from gammapy.maps import MapAxis
from pyirf.irf import background_2d, effective_area_per_energy_and_fov, energy_dispersion, psf_table
from pyirf.spectral import CRAB_HEGRA, DAMPE_P_He_SPECTRUM, PowerLaw, calculate_event_weights
from pyirf.utils import calculate_source_fov_offset, calculate_theta, cone_solid_angle

from sst1m.errors import DataQualityError, InputError, ModelMismatchError
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.gadf import COMPONENTS, read_irfs
from sst1m.irf.maker import build_irfs, make_irfs
from sst1m.irf.optimise import make_cut_table
from sst1m.irf.plots import plot_irfs
from sst1m.irf.responses import IrfSet
from sst1m.irf.weights import event_weights, within_cone
from sst1m.nodes import Node

NODE = Node(20, 180, 100)


@pytest.fixture(scope="module")
def gamma(make_events: Callable):
    return make_events(n_showers=1_000_000)


@pytest.fixture(scope="module")
def proton(make_events: Callable):
    return make_events("proton", n_showers=1_000_000)


@pytest.fixture(scope="module")
def request_of(mc_config) -> dict:
    return {
        "cuts": GammanessCuts.from_config(mc_config),
        "config": mc_config,
        "node": NODE,
        "setup": "stereo",
    }


@pytest.fixture(scope="module")
def irf(gamma, proton, request_of) -> IrfSet:
    return build_irfs(gamma, proton, **request_of)


@pytest.fixture(scope="module")
def irf_file(gamma, proton, request_of, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("irf") / "SST1M_stereo_irfs.fits"
    make_irfs(path, gamma, proton, **request_of)
    return path


def pyirf_table(events, gammaness: float) -> QTable:
    """Prepare events the way pyirf's documentation does."""
    table = events.table[events.table["gammaness"] > gammaness].copy()
    table["pointing_az"], table["pointing_alt"] = table["true_az_tel"], table["true_alt_tel"]
    for prefix in ("true", "reco"):
        table[f"{prefix}_source_fov_offset"] = calculate_source_fov_offset(table, prefix)
    table["theta"] = calculate_theta(table, table["true_az"], table["true_alt"])
    return table


def test_the_components_are_those_of_pyirf(irf, gamma, proton):
    table, bins = pyirf_table(gamma, 0.75), irf.bins
    info = gamma.thrown.to_pyirf()
    energy, offset = np.geomspace(0.5, 100, 13) * u.TeV, np.linspace(0, 4, 5) * u.deg
    area = effective_area_per_energy_and_fov(table, info, energy, offset)
    np.testing.assert_allclose(irf.effective_area, area.to_value(u.m**2), rtol=1e-12)

    fine, migration = np.geomspace(0.5, 100, 31) * u.TeV, np.linspace(0.1, 4, 31)
    np.testing.assert_allclose(irf.energy_dispersion, energy_dispersion(table, fine, offset, migration))

    radius = np.linspace(0, 1, 41) * u.deg
    inside = psf_table(table, energy, radius, offset).to_value(1 / u.sr)
    contained = (irf.psf * np.diff(cone_solid_angle(bins.source_offset)).value)[..., :40].sum(axis=-1)
    np.testing.assert_allclose(irf.psf[..., :40], inside * contained[..., np.newaxis], rtol=1e-9)
    near = table[(table["true_source_fov_offset"] < 1 * u.deg) & (table["true_energy"] < energy[1])]
    assert contained[0, 0] == pytest.approx((near["theta"] < 1 * u.deg).mean())

    hadrons = pyirf_table(proton, 0.75)
    simulated = PowerLaw.from_simulation(proton.thrown.to_pyirf(), 50 * u.h)
    hadrons["weight"] = calculate_event_weights(hadrons["true_energy"], DAMPE_P_He_SPECTRUM, simulated)
    rate = background_2d(hadrons, np.logspace(-1, 3, 13) * u.TeV, np.linspace(0, 4, 5) * u.deg, 50 * u.h)
    np.testing.assert_allclose(irf.background, rate.to_value("s-1 MeV-1 sr-1"), rtol=1e-9)


def test_the_effective_area_is_that_of_the_instrument(irf):
    edges = irf.bins.energy_true.to_value(u.TeV)
    sec = 1 / np.cos(np.deg2rad(20))
    offsets = np.linspace(0, 1, 200)
    flat = np.average(np.exp(-0.5 * (offsets / 3) ** 2), weights=offsets)
    for i in range(4, 9):
        energy = np.geomspace(edges[i], edges[i + 1], 100)
        seen = np.average(0.25 * sec**2 * flat / (1 + (1.2 * sec**3 / energy) ** 3), weights=energy**-1.0)
        kept = 0.75  # of Beta(6, 1.3), checked below
        assert irf.effective_area[i, 0] == pytest.approx(seen * kept * np.pi * 500**2, rel=0.12)


def test_densities_are_normalised_and_hold_the_tail(irf):
    irf.check("test")
    solid_angle = np.diff(cone_solid_angle(irf.bins.source_offset)).to_value(u.sr)
    assert irf.bins.n_source_offset == 40
    assert irf.bins.source_offset[40].value == 1
    tail = (irf.psf * solid_angle)[4, :, 40:].sum(axis=-1)
    # A twentieth of the events is spread evenly from 0.5 to 3 deg.
    assert tail.mean() == pytest.approx(0.05 * 2 / 2.5, abs=0.01)


def test_the_file_has_the_components_in_order_and_reads_back(irf, irf_file):
    with fits.open(irf_file) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *COMPONENTS]
        for hdu in hdus:
            header = hdu.header
            assert (header["NODE"], header["GHTAG"], header["GHCUT"]) == (str(NODE), "0.75", 0.75)
            assert (header["TELESCOP"], header["SIMULAT"]) == ("SST1M_stereo", True)
            assert header["NTHRGAM"] == 1_000_000
            assert header["NSELPRO"] > 100
            assert len(header["ANALYSIS"]) == 64
            assert 0.5 <= header["LO_THRES"] < 2
    again = read_irfs(irf_file)
    for name in ("effective_area", "energy_dispersion", "psf", "background"):
        assert np.array_equal(getattr(again, name), getattr(irf, name))
    assert again.bins.difference(irf.bins) == ""
    assert (again.node, again.setup, again.cuts.value) == (NODE, "stereo", 0.75)
    assert again.making == irf.making
    record = json.loads(irf_file.with_suffix(".json").read_text())
    assert record["counts"]["NSELGAM"] == irf.making["NSELGAM"]


def test_the_threshold_is_a_tenth_of_the_largest_area(irf, irf_file):
    low = fits.getheader(irf_file, "EFFECTIVE AREA")["LO_THRES"]
    i = np.flatnonzero(np.isclose(irf.bins.energy_true.value, low))[0]
    area = irf.effective_area[:, 0]
    assert area[i] >= 0.1 * area.max()
    assert np.all(area[:i] < 0.1 * area.max())


@pytest.mark.filterwarnings("ignore:Unexpected header card")
@pytest.mark.parametrize(
    ("name", "schema"), list(zip(COMPONENTS, ("AEFF_2D", "PSF_TABLE", "EDISP_2D", "BKG_2D"), strict=True))
)
def test_the_file_follows_the_gadf_schema(irf_file, name, schema):
    irfs = pytest.importorskip("ogadf_schema.irfs", reason="install ogadf-schema to validate responses")
    with fits.open(irf_file) as hdus:
        getattr(irfs, schema).validate_hdu(hdus[name])


def test_gammapy_reads_all_components(irf, irf_file, recwarn):
    found = load_irf_dict_from_file(irf_file)
    assert set(found) == {"aeff", "psf", "edisp", "bkg"}
    area = found["aeff"].evaluate(energy_true=found["aeff"].axes["energy_true"].center, offset=0.5 * u.deg)
    np.testing.assert_allclose(area.to_value(u.m**2), irf.effective_area[:, 0])
    assert not found["aeff"].is_pointlike
    where = {"energy_true": found["psf"].axes["energy_true"].center[4], "offset": 0.5 * u.deg}
    assert float(found["psf"].containment(rad=16 * u.deg, **where)) == pytest.approx(1, abs=0.01)
    solid_angle = np.diff(cone_solid_angle(irf.bins.source_offset)).to_value(u.sr)
    inside = (irf.psf[4, 0] * solid_angle)[:40].sum()
    assert float(found["psf"].containment(rad=1 * u.deg, **where)) == pytest.approx(inside, abs=1e-3)
    assert not [w for w in recwarn if "unknown class" in str(w.message)]
    observation = Observation.create(SkyCoord(83.6, 22.0, unit="deg"), livetime=1 * u.h, irfs=found)
    for name in ("aeff", "psf", "edisp", "bkg"):
        assert getattr(observation, name) is not None


def test_the_example_of_the_documentation_runs(irf_file, project_root, tmp_path, monkeypatch, capsys):
    text = (project_root / "docs" / "production.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / re.search(r'path = "(.*)"', example).group(1)
    path.parent.mkdir(parents=True)
    path.write_bytes(irf_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/production.md", "exec"), found := {})
    assert "m2" in capsys.readouterr().out
    assert found["psf"].containment(rad=16 * u.deg, energy_true=5 * u.TeV, offset=0.5 * u.deg) > 0.99
    assert found["background"].data.sum() > 0 and found["dispersion"].data.sum() > 0


def folded_counts(path: Path, offset: u.Quantity, edges: u.Quantity, time: u.Quantity) -> np.ndarray:
    """Return what gammapy expects from a Crab-like source with a response."""
    found = load_irf_dict_from_file(path)
    true = MapAxis.from_energy_bounds(0.5, 100, 200, unit="TeV", name="energy_true")
    reco = MapAxis.from_energy_edges(edges, name="energy")
    area = found["aeff"].evaluate(energy_true=true.center, offset=offset)
    kernel = found["edisp"].to_edisp_kernel(offset, true, reco)
    flux = CRAB_HEGRA(true.center) * true.bin_width
    return (flux * area * time).to_value(u.one) @ np.asarray(kernel.pdf_matrix)


def test_predicted_counts_close_on_an_independent_sample(
    make_events, make_mc_config, proton, request_of, tmp_path
):
    # Fine bins, and a source anywhere in a bin of offset: what differs is only chance.
    config = make_mc_config(n_energy_bins=41, n_bins_migration=121)
    many = make_events(n_showers=4_000_000, seed=11)
    path = tmp_path / "irf.fits"
    make_irfs(path, many, proton, **request_of | {"config": config})
    source = within_cone(make_events(n_showers=4_000_000, seed=12), 1.0)
    edges, time = np.geomspace(1.5, 50, 9) * u.TeV, 50 * u.h
    chosen = source.select(source.table["gammaness"] > 0.75)
    weights = event_weights(chosen, CRAB_HEGRA, time)
    energy = chosen.table["reco_energy"]
    seen, squares = (np.histogram(energy, edges, weights=weights**p)[0] for p in (1, 2))
    expected = folded_counts(path, 0.5 * u.deg, edges, time)
    # The response has as many events behind it as the sample has.
    pull = (seen - expected) / np.sqrt(2 * squares)
    assert np.all(np.abs(pull) < 3), pull
    assert float(seen.sum()) == pytest.approx(float(expected.sum()), rel=0.03)


def test_background_counts_close(irf, proton):
    solid_angle = np.diff(cone_solid_angle(irf.bins.background_offset)).to_value(u.sr)
    width = np.diff(irf.bins.energy_reco).to_value(u.MeV)
    total = (irf.background * width[:, np.newaxis] * solid_angle).sum()
    kept = pyirf_table(proton, 0.75)
    inside = kept["reco_source_fov_offset"] < 4 * u.deg
    weights = event_weights(proton, DAMPE_P_He_SPECTRUM, 1 * u.s)[proton.table["gammaness"] > 0.75]
    assert total == pytest.approx(weights[inside].sum())


def test_electrons_add_to_the_background(gamma, proton, make_events, irf, request_of):
    electron = make_events("electron", n_showers=100_000)
    with_electrons = build_irfs(gamma, proton, electron, **request_of)
    assert np.all(with_electrons.background >= irf.background)
    assert with_electrons.background.sum() > irf.background.sum()
    assert with_electrons.making["BKGELE"] == "IRFDOC_ELECTRON_SPECTRUM"
    assert with_electrons.making["NTHRELE"] == 100_000


def test_energy_dependent_cuts_travel_with_the_response(gamma, proton, request_of, mc_config, tmp_path):
    cuts = make_cut_table("efficiency", gamma, None, mc_config)
    made = make_irfs(tmp_path / "irf.fits", gamma, proton, **request_of | {"cuts": cuts})
    again = read_irfs(tmp_path / "irf.fits")
    assert again.cuts.tag == "energydep"
    again.cuts.require_same_kind(cuts, "file")
    assert np.array_equal(again.cuts.table["cut"], cuts.table["cut"])
    kept = cuts.passes(gamma.table["reco_energy"].value, gamma.table["gammaness"])
    assert made.making["NSELGAM"] == kept.sum()
    assert "GH_CUTS" in [hdu.name for hdu in fits.open(tmp_path / "irf.fits")]
    assert set(load_irf_dict_from_file(tmp_path / "irf.fits")) == {"aeff", "psf", "edisp", "bkg"}


def test_a_point_like_response_knows_its_direction_cut(make_events, proton, irf, request_of, tmp_path):
    source = make_events(offset_deg=0.7)
    path = tmp_path / "irf.fits"
    made = make_irfs(path, source, proton, **request_of, point_like=0.7)
    assert (made.psf, made.rad_max_deg) == (None, 0.2)
    assert made.bins.fov_offset.value.tolist() == [0.0, 1.7]
    found = load_irf_dict_from_file(path)
    assert set(found) == {"aeff", "edisp", "bkg", "rad_max"}
    assert found["aeff"].is_pointlike
    assert np.all(found["rad_max"].quantity == 0.2 * u.deg)
    share = made.effective_area[5, 0] / irf.effective_area[5, 0]
    assert 0.5 < share < 0.9
    assert read_irfs(path).rad_max_deg == 0.2


def test_a_point_like_response_needs_gammas_around_its_offset(gamma, make_events, proton, request_of):
    with pytest.raises(DataQualityError, match="around 3 deg from the pointing"):
        build_irfs(make_events(offset_deg=0.7), proton, **request_of, point_like=3)
    with pytest.raises(DataQualityError, match="takes gammas to 4.5 deg, they were thrown to 4 deg"):
        build_irfs(gamma, proton, **request_of, point_like=3.5)


def test_scaled_true_energies_shift_the_response(gamma, proton, request_of, make_mc_config, irf):
    config = make_mc_config(true_energy_scaling_factor=1.1)
    scaled = build_irfs(gamma, proton, **request_of | {"config": config}, scale_true_energies=True)
    np.testing.assert_allclose(scaled.bins.energy_true, 1.1 * irf.bins.energy_true)
    np.testing.assert_allclose(scaled.effective_area, irf.effective_area, rtol=0.02)
    assert scaled.making["ESCALE"] == 1.1


def test_the_least_simulated_energy_is_honoured(gamma, proton, request_of, make_mc_config, irf):
    config = make_mc_config(gamma_min_simulated_energy_tev=1.0)
    made = build_irfs(gamma, proton, **request_of | {"config": config})
    assert made.bins.energy_true[0] == 1 * u.TeV
    assert made.making["NTHRGAM"] < irf.making["NTHRGAM"] / 1.9
    one, other = made.effective_area[-4:, 0].mean(), irf.effective_area[-4:, 0].mean()
    assert one == pytest.approx(other, rel=0.1)


def test_nodes_thrown_from_different_energies_share_their_axes(gamma, proton, make_events, request_of):
    request = request_of | {"energy_range_tev": (0.25, 100.0)}
    low = build_irfs(gamma, proton, **request)
    high = build_irfs(make_events(energies=(1.0, 100.0), n_showers=500_000), proton, **request)
    assert low.bins.difference(high.bins) == ""
    edges = low.bins.energy_true.to_value(u.TeV)
    assert edges[[0, -1]] == pytest.approx([0.25, 100])
    for made, first in ((low, 0.5), (high, 1.0)):
        assert not made.effective_area[edges[1:] <= first].any()
        assert made.effective_area[(edges[1:] > 2 * first) & (edges[1:] < 20)].all()
    both = (edges[:-1] > 2) & (edges[1:] < 30)
    np.testing.assert_allclose(low.effective_area[both, 0], high.effective_area[both, 0], rtol=0.2)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"fov_offset_max_deg": 6},
            r"thrown from 0 to 4 deg only: set analysis.fov_offset_max_deg to at most 4",
        ),
        (
            {"fov_offset_bg_max_deg": 8},
            "protons were thrown .* set analysis.fov_offset_bg_max_deg to at most 4",
        ),
        ({"nbins_fov_offset": 4001}, "set analysis.nbins_fov_offset to fewer edges"),
        ({"nbins_fov_offset_bg": 4001}, "background events.*set analysis.nbins_fov_offset_bg to fewer edges"),
    ],
)
def test_bins_that_cannot_be_filled_are_refused(gamma, proton, request_of, make_mc_config, changes, problem):
    with pytest.raises(DataQualityError, match=problem):
        build_irfs(gamma, proton, **request_of | {"config": make_mc_config(**changes)})


def test_samples_that_do_not_belong_together_are_refused(gamma, proton, make_events, request_of):
    with pytest.raises(ModelMismatchError, match="protons are of tel_001; give those of stereo"):
        build_irfs(gamma, replace(proton, tel_setup="tel_001"), **request_of)
    with pytest.raises(ModelMismatchError, match="night sky of 100 MHz, not for ze20_az180_nsb200"):
        build_irfs(gamma, proton, **request_of | {"node": Node(20, 180, 200)})
    silent = [replace(e, info={}) for e in (gamma, proton)]
    with pytest.raises(ModelMismatchError, match="20.0 deg from ze40_az180_nsb100"):
        build_irfs(*silent, **request_of | {"node": Node(40, 180, 100)})
    with pytest.raises(InputError, match="give those"):
        build_irfs(gamma, make_events("proton", offset_deg=0.5, n_showers=2000), **request_of)
    with pytest.raises(InputError, match="not simulated"):
        build_irfs(replace(gamma, thrown=None), proton, **request_of)
    models = [
        replace(e, info=dict(e.info) | {"models": {"telescopes": {"1": {"card_sha256": sha}}}})
        for e, sha in ((gamma, "a"), (proton, "b"))
    ]
    with pytest.raises(ModelMismatchError, match="different forests"):
        build_irfs(*models, **request_of)


def test_events_without_reconstruction_do_not_count(gamma, proton, request_of, irf):
    broken = gamma.select(np.ones(len(gamma), bool))
    broken = replace(broken, table=vstack([broken.table, broken.table[:500]]))
    broken.table["reco_energy"][-500:-250] = np.nan * u.TeV
    broken.table["reco_alt"][-250:] = np.nan * u.deg
    again = build_irfs(broken, proton, **request_of)
    assert np.array_equal(again.effective_area, irf.effective_area)


@pytest.mark.parametrize(
    ("value", "problem"), [(np.nan, "no numbers"), (-1.0, "negative"), (2.0, "normalised")]
)
def test_impossible_responses_are_refused(irf, value, problem):
    psf = irf.psf.copy()
    psf[5, 0] = psf[5, 0] * 2 if value == 2 else value
    with pytest.raises(DataQualityError, match=f"point spread function .*{problem}"):
        replace(irf, psf=psf).check("x")


@pytest.mark.filterwarnings("ignore:Error validating header")
def test_damaged_files_are_refused(irf_file, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_irfs(tmp_path / "none.fits")
    (tmp_path / "cut.fits").write_bytes(irf_file.read_bytes()[:20_000])
    with pytest.raises(InputError, match="not a complete file"):
        read_irfs(tmp_path / "cut.fits")
    with fits.open(irf_file) as hdus:
        fits.HDUList(hdus[:4]).writeto(tmp_path / "three.fits")
    with pytest.raises(InputError, match="not a complete file"):
        read_irfs(tmp_path / "three.fits")


def test_the_figure_shows_the_components(irf, tmp_path):
    plot_irfs(irf, tmp_path / "irf.png")
    assert (tmp_path / "irf.png").read_bytes()[:4] == b"\x89PNG"
