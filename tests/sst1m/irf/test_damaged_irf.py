"""Responses with damaged bytes: refused, or the same; never other numbers."""

from collections import Counter

import numpy as np
import pytest

from sst1m.errors import Sst1mError
from sst1m.irf.gadf import read_irfs, write_irfs

ARRAYS = ("effective_area", "energy_dispersion", "psf", "background")


@pytest.fixture(scope="module")
def response(grid_irfs, tmp_path_factory):
    path = tmp_path_factory.mktemp("irf") / "SST1M_irfs.fits"
    write_irfs(next(iter(grid_irfs.values())), path)
    return path


def differences(one, other):
    names = [name for name in ARRAYS if not np.array_equal(getattr(one, name), getattr(other, name))]
    names += [name for name in ("node", "setup") if getattr(one, name) != getattr(other, name)]
    names += [name for name in vars(one.bins) if not np.all(vars(one.bins)[name] == vars(other.bins)[name])]
    names += ["cuts"] * (one.cuts.tag != other.cuts.tag)
    return names + [name for name in other.making if one.making.get(name) != other.making[name]]


@pytest.mark.torture
def test_a_damaged_response_is_refused(response, tmp_path, dose, record_property):
    content, good = response.read_bytes(), read_irfs(response)
    path, ended, wrong = tmp_path / response.name, Counter(), []
    for number in range(dose(60, 3000)):
        rng = np.random.default_rng([5, number])
        changed, way = bytearray(content), ("bit", "bits", "cut", "lost")[number % 4]
        place = int(rng.integers(len(changed)))
        if way == "cut":
            del changed[place:]
        elif way == "lost":
            changed[place : place + 512] = bytes(len(changed[place : place + 512]))
        else:
            for at in rng.integers(0, len(changed), 1 if way == "bit" else 12):
                changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            irf = read_irfs(path)
        except Sst1mError as error:
            ended[way, "refused"] += 1
            if path.name not in str(error):
                wrong.append(f"{number} {way}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {way}: {type(error).__name__}: {error}")
            continue
        ended[way, "same"] += 1
        if different := differences(irf, good):
            wrong.append(f"{number} {way}: others in {different}")
    for (way, end), count in sorted(ended.items()):
        record_property(f"{way}: {end}", count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:15]])
