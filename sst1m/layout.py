"""The standard directory layout: which path belongs to which night, telescope, run and data level."""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from sst1m.errors import OutputError, RawFileError
from sst1m.names import RawName, shown, target_name_problem, wobble_problem

__all__ = ["Dl1Name", "NightLayout", "parse_raw_path", "raw_directory", "raw_path", "side_paths"]

_DL1_NAME = re.compile(r"(SST1M[12]_[0-9]{8}_[0-9]{4})(?:_(W[0-9]{1,3}|UNDEF))?_dl1\.h5", re.ASCII)


def raw_directory(root_dir: Path, date: datetime.date, tel: int) -> Path:
    """Directory of the raw files of one night and telescope (1 or 2) below the raw root."""
    return Path(root_dir, f"cs{tel}", "data", "raw", f"{date:%Y}", f"{date:%m}", f"{date:%d}", f"SST1M{tel}")


def raw_path(root_dir: Path, name: RawName) -> Path:
    """Path of one raw file below the raw root."""
    return raw_directory(root_dir, name.date, name.tel) / str(name)


def parse_raw_path(root_dir: Path, path: Path) -> RawName:
    """Read telescope, night and run from the path of a raw file.

    Raises
    ------
    RawFileError
        If the name is not a raw name, or names another telescope or night than its directory.
    """
    name = RawName.parse(path.name)
    expected = raw_path(root_dir, name)
    if path != expected:
        raise RawFileError(
            f"{path} is named after telescope {name.tel} and night {name.date:%Y-%m-%d}, but files of that "
            f"name belong into {expected.parent}: it was renamed or misplaced; put it back under its own name"
        )
    return name


def side_paths(product: Path) -> dict[str, Path]:
    """Paths of the log and of the provenance beside a product, by kind (``log``, ``json``)."""
    stem = product.name.removesuffix(product.suffix)
    return {kind: product.with_name(f"{stem}.{kind}") for kind in ("log", "json")}


@dataclass(frozen=True)
class Dl1Name:
    """What the path of a DL1 product says.

    Parameters
    ----------
    raw : RawName
        The run it was made from.
    target : str
        Name of the target, the first directory below the night.
    wobble : str
        Wobble tag in the file name; empty where the name has none.
    """

    raw: RawName
    target: str
    wobble: str


@dataclass(frozen=True)
class NightLayout:
    """All paths of one night below the analysis root.

    Parameters
    ----------
    ana_dir : Path
        Root of the analysis (``[site] ana_dir``).
    date : datetime.date
        Date of the evening on which the night began.
    """

    ana_dir: Path
    date: datetime.date

    @property
    def root(self) -> Path:
        """The directory of the night, ``<ana_dir>/YYYYMMDD``."""
        return Path(self.ana_dir, f"{self.date:%Y%m%d}")

    @property
    def manifest(self) -> Path:
        """Table of every raw file of the night and its state."""
        return self.root / "manifest.ecsv"

    @property
    def corrections(self) -> Path:
        """The operator's table that sets or overrules what raw headers say."""
        return self.root / "corrections.ecsv"

    @property
    def record(self) -> Path:
        """The closing record of the night."""
        return self.root / "closing.json"

    @property
    def log(self) -> Path:
        """What the calls on this night did, one line each."""
        return self.root / "night.log"

    @property
    def report(self) -> Path:
        """Directory of the page of the night, ``index.html``, and of its numbers, ``night.json``."""
        return self.root / "report"

    @property
    def locks(self) -> Path:
        """Directory of the lock files; their content means nothing."""
        return self.root / ".locks"

    def failure_record(self, kind: str, name: RawName) -> Path:
        """Path of the record of a failed run, ``kind`` being ``quarantine`` or ``attempts``."""
        return self.root / kind / f"{name.stem}.json"

    def lock(self, name: RawName) -> Path:
        """Lock file that guards all products of one run."""
        return self.locks / f"{name.stem}.lock"

    def work_log(self, name: RawName) -> Path:
        """Log of a run that is being reduced; it then moves to the product or the record of the failure."""
        return self.root / ".work" / f"{name.stem}.log"

    def dl1_path(self, name: RawName, target: str, wobble: str = "") -> Path:
        """Path of the DL1 product of a run.

        Parameters
        ----------
        name : RawName
            The raw file.
        target : str
            Name of the target.
        wobble : str
            Wobble tag that came from the header or the operator; empty where there is none.

        Raises
        ------
        OutputError
            If target or wobble cannot be part of a path.
        """
        problem = target_name_problem(target) or (wobble and wobble_problem(wobble))
        if problem:
            raise OutputError(
                f"no product path for {name}: target {shown(target)}, wobble {shown(wobble)}: {problem}"
            )
        tag = f"_{wobble}" if wobble else ""
        return self.root / target / f"cs{name.tel}" / "dl1" / f"{name.stem}{tag}_dl1.h5"

    def dl2_path(self, dl1: Path) -> Path:
        """Path of the DL2 product that is made from a DL1 product, of one telescope or of both."""
        return dl1.parent.with_name("dl2") / f"{dl1.name.removesuffix('.h5')}_dl2.h5"

    def stereo_path(self, dl1: Path) -> Path:
        """Path of the events that both telescopes saw during a run of telescope 1."""
        return dl1.parents[2] / "stereo" / "dl1" / f"{dl1.name.removesuffix('.h5')}_stereo.h5"

    def coincidences_path(self, target: str) -> Path:
        """Path of the pairs of events of both telescopes, all runs on a target together."""
        name = f"SST1M_{self.date:%Y%m%d}_{target}_coincidences.h5"
        return self.root / target / "stereo" / "coincidences" / name

    def dl3_directory(self, target: str, setup: str, *, energy_dependent: bool = False) -> Path:
        """Directory of the photon lists of a target (setup: ``cs1``, ``cs2`` or ``stereo``)."""
        return self.root / target / setup / ("dl3_eff" if energy_dependent else "dl3")

    def parse_dl1_path(self, path: Path) -> Dl1Name:
        """Read run, target and wobble from the path of a DL1 product.

        Raises
        ------
        OutputError
            If the path does not lie in this night by the rules of the layout.
        """
        match = _DL1_NAME.fullmatch(path.name)
        if match:
            name = RawName.parse(f"{match[1]}.fits.fz")
            target = path.parent.parent.parent.name
            if not target_name_problem(target) and path == self.dl1_path(name, target, match[2] or ""):
                return Dl1Name(name, target, match[2] or "")
        raise OutputError(f"{path} is not the path of a DL1 product of the night {self.date:%Y-%m-%d}")

    def checked_inside(self, path: Path) -> Path:
        """Return the path if it stays inside the night directory after following all links.

        Raises
        ------
        OutputError
            If it does not.
        """
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise OutputError(
                f"{path} leaves the night directory {self.root} through a link; remove the link"
            )
        return path
