"""What the DL1 files of a telescope say together: rates, night sky, pointing, images, camera."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .memory import Memory, file_basis
from .night_view import NightView, attempt

__all__ = ["added", "telescope_facts"]

Facts = dict[str, Any]


def telescope_facts(view: NightView, rows: Sequence[Facts], tel_id: int, memory: Memory) -> Facts:
    """
    Return what the DL1 files of a telescope say together; files that have not changed are not read again.

    Parameters
    ----------
    view : NightView
        The night.
    rows : sequence of dict
        From `run_rows`.
    tel_id : int
        21 or 22.
    memory : Memory
        What the last report knows.

    Returns
    -------
    dict
        ``rates``, ``night_sky``, ``pointing`` against time, ``images`` and ``cog`` summed, ``camera``, and
        ``unread`` with the reasons of files that could not be read.
    """
    from .dl1_facts import camera_facts

    chosen = [row for row in rows if row["tel"] == tel_id and row["state"] == "done"]
    if not chosen:
        return {"missing": f"no run of telescope {tel_id} is done"}
    reading = _Reading(view, tel_id, chosen, memory)
    read = [(row, facts) for row in chosen if (facts := reading.facts_of(row["product"])) is not None]
    if not read:
        return {"missing": "; ".join(dict.fromkeys(reading.unread.values()))}
    return {
        "rates": _rates(read),
        "night_sky": _series(read, "night_sky", ("mhz", "baseline_std_adc")),
        "pointing": _series(read, "pointing", ("az_deg", "alt_deg")),
        "images": added(facts["images"] for _, facts in read),
        "cog": _added_maps([facts["cog"] for _, facts in read]),
        "camera": camera_facts(reading.pedestals()) | {"replaced": _replaced(chosen)},
        "n_files": len(read),
        "unread": reading.unread,
    }


def _replaced(rows: Sequence[Facts]) -> list[int] | None:
    """Return the pixels that were replaced by their neighbours in any run; None where no run tells."""
    known = [row["bad_pixels"] for row in rows if row.get("bad_pixels") is not None]
    return sorted({pixel for pixels in known for pixel in pixels}) if known else None


class _Reading:
    """Reads DL1 files that are new since the last report, and adds their pedestals to those of the others."""

    def __init__(self, view: NightView, tel_id: int, rows: Sequence[Facts], memory: Memory) -> None:
        from .dl1_facts import PixelSums

        self._view, self._tel_id, self._memory = view, tel_id, memory
        self._bases: dict[str, list[int]] = {}
        self.unread: Facts = {}
        for name in (row["product"] for row in rows):
            path = view.night.root / name
            if path.is_file():
                self._bases[name] = file_basis(path)
            else:
                self.unread[name] = f"{path.name} is not there any more; run RunNight again"
        self._key = f"pedestals {tel_id}"
        self._added: Facts = {}
        self._sums = PixelSums.nothing()
        before, sums = memory.of(self._key)
        # What has gone cannot be taken out of a sum: then all files are read again.
        if sums and isinstance(before, dict) and all(self._bases.get(n) == b for n, b in before.items()):
            self._added, self._sums = dict(before), PixelSums.from_dict(sums)

    def facts_of(self, product: str) -> Facts | None:
        """Return what a file says; None where it cannot be read."""
        from .dl1_facts import read_dl1_facts

        if product in self.unread:
            return None
        basis = self._bases[product]
        known = self._memory.recall(product, basis) if product in self._added else None
        if known is not None:
            return known
        path = self._view.night.root / product
        found = attempt(product, lambda: dict(enumerate(read_dl1_facts(path, self._tel_id))))
        if "missing" in found:
            self.unread[product] = found["missing"]
            return None
        self._sums, self._added[product] = self._sums.plus(found[1]), basis
        facts: Facts = found[0]
        return self._memory.keep(product, basis, facts)

    def pedestals(self) -> Any:  # noqa: ANN401 - PixelSums, imported late
        """Return the pedestals of all files, and remember them."""
        self._memory.keep(self._key, dict(sorted(self._added.items())), self._sums.to_dict())
        return self._sums


def _rates(read: Iterable[tuple[Facts, Facts]]) -> Facts:
    found: Facts = {"time_utc_s": [], "trigger_hz": [], "trigger_error_hz": [], "image_hz": [], "run": []}
    for row, facts in read:
        rates = facts["rates"]
        if "missing" in rates:
            continue
        width, number = rates["width_s"], len(rates["time_utc_s"])
        found["time_utc_s"] += rates["time_utc_s"]
        found["trigger_hz"] += [round(n / width, 3) for n in rates["triggers"]]
        found["trigger_error_hz"] += [round(math.sqrt(n) / width, 3) for n in rates["triggers"]]
        found["image_hz"] += [round(n / width, 3) for n in rates["images"]]
        found["run"] += [row["run"]] * number
    return found if found["run"] else {"missing": "no run has two events"}


def _series(read: Iterable[tuple[Facts, Facts]], name: str, columns: Sequence[str]) -> Facts:
    """Return the numbers of all runs, one after the other."""
    found: Facts = {column: [] for column in ("time_utc_s", *columns, "run")}
    reasons: dict[str, None] = {}
    for row, facts in read:
        part = facts[name]
        if "missing" in part:
            reasons[part["missing"]] = None
            continue
        for column in ("time_utc_s", *columns):
            found[column] += part[column]
        found["run"] += [row["run"]] * len(part["time_utc_s"])
    return found if found["run"] else {"missing": "; ".join(reasons)}


def added(parts: Iterable[Facts]) -> Facts:
    """Return the sums of lists of counts, name by name."""
    total: Facts = {}
    for part in parts:
        for name, counts in part.items():
            before = total.get(name, [0] * len(counts))
            total[name] = [a + b for a, b in zip(before, counts, strict=True)]
    return total


def _added_maps(maps: Sequence[list[list[int]]]) -> list[list[int]]:
    rows = zip(*maps, strict=True)
    return [[sum(cells) for cells in zip(*lines, strict=True)] for lines in rows]
