"""The pedestals that describe an event do not depend on how the file is cut into blocks."""

import numpy as np
import pytest

import sst1m.reduction.pedestals
import sst1m.reduction.waveforms
from sst1m.calib import pedestals as definition


@pytest.fixture(scope="module", autouse=True)
def short_rings():
    """Rings that turn several times within a few events."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (definition, sst1m.reduction.pedestals):
            patch.setattr(module, "SAMPLE_RING", 6)
            patch.setattr(module, "IMAGE_RING", 9)
        patch.setattr(
            definition.PedestalTracker.__init__,
            "__kwdefaults__",
            definition.PedestalTracker.__init__.__kwdefaults__ | {"sample_ring": 6, "image_ring": 9},
        )
        yield


@pytest.fixture(scope="module")
def long_run(make_run, tmp_path_factory):
    """A run with saturated pulses and missing pixels, in its pedestals too."""
    directory = tmp_path_factory.mktemp("long")
    return make_run(
        directory / "SST1M1_20250115_0013.fits.fz",
        160,
        pedestal_every=4,
        saturated=((2, 640), (38, 640), (41, 200)),
        absent=((6, 300), (90, 300), (91, 301)),
    )


@pytest.fixture(scope="module")
def reference(short_rings, long_run, reduce_run, tmp_path_factory):
    return reduce_run(long_run.path, tmp_path_factory.mktemp("reference") / "dl1.h5")


@pytest.mark.parametrize("block_events", [1, 7, 64])
def test_nothing_depends_on_the_size_of_the_blocks(
    long_run, reference, reduce_run, assert_same_tables, tmp_path, monkeypatch, block_events
):
    monkeypatch.setattr(sst1m.reduction.waveforms, "BLOCK_EVENTS", block_events)
    product = reduce_run(long_run.path, tmp_path / "dl1.h5")
    assert_same_tables(product.path, reference.path)


def test_nothing_depends_on_how_far_is_looked_ahead_once_the_first_pedestals_are_found(
    long_run, reference, reduce_run, assert_same_tables, tmp_path, monkeypatch
):
    monkeypatch.setattr(sst1m.reduction.pedestals, "LOOK_AHEAD_EVENTS", 40)
    monkeypatch.setattr(sst1m.reduction.waveforms, "BLOCK_EVENTS", 7)
    product = reduce_run(long_run.path, tmp_path / "dl1.h5")
    assert_same_tables(product.path, reference.path)


@pytest.mark.parametrize("block_events", [7, 64])
def test_a_short_look_ahead_does_not_depend_on_blocks_either(
    long_run, reference, reduce_run, assert_same_tables, tmp_path, monkeypatch, block_events
):
    """20 events hold 5 of the pedestals that the rings could take."""
    monkeypatch.setattr(sst1m.reduction.pedestals, "LOOK_AHEAD_EVENTS", 20)
    expected = reduce_run(long_run.path, tmp_path / "512.h5")
    monkeypatch.setattr(sst1m.reduction.waveforms, "BLOCK_EVENTS", block_events)
    product = reduce_run(long_run.path, tmp_path / "dl1.h5")
    assert_same_tables(product.path, expected.path)
    assert product.extras["meanQ"][0] != reference.extras["meanQ"][0]


def test_the_level_of_the_sky_is_the_mean_of_the_ring(long_run, reference):
    """Events with k pedestals before them: the last nine, or the first nine of the file."""
    level = reference.extras["meanQ"]
    pedestals_before = np.cumsum(long_run.pedestal)[~long_run.pedestal]
    early = pedestals_before < 9
    assert len(np.unique(level[early])) == 1
    changes = np.flatnonzero(np.diff(level[~early]) != 0)
    assert len(changes) == len(np.unique(pedestals_before[~early])) - 1
