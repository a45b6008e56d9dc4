"""The directory layout of simulations: which path belongs to which production, particle, node and stage."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from sst1m.errors import ConfigError, InputError
from sst1m.nodes import Node

if TYPE_CHECKING:
    # Reconstructed events bring astropy with them, which planning does without.
    from sst1m.events import TelescopeSetup

__all__ = [
    "EVENT_CLASSES",
    "MC_SETUPS",
    "PARTICLES",
    "ROLES",
    "CutMethod",
    "Particle",
    "ProductionLayout",
    "Role",
    "ShardName",
    "data_setup",
    "gammaness_tag_problem",
    "irf_path",
    "mc_setup",
    "parse_irf_path",
    "production_name_problem",
]

Particle = Literal["gamma_diffuse", "gamma_point", "proton_diffuse", "electron_diffuse"]
Role = Literal["train", "test"]
CutMethod = Literal["global", "efficiency", "significance"]

T = TypeVar("T", bound=str)

PARTICLES: tuple[Particle, ...] = get_args(Particle)
ROLES: tuple[Role, ...] = get_args(Role)

#: Set-ups of simulations, where the telescopes are numbered 1 and 2.
MC_SETUPS: tuple["TelescopeSetup", ...] = ("tel_001", "tel_002", "stereo")
#: Set-ups of data by those of simulations: instrument responses bear the names of data.
_DATA_SETUPS: dict["TelescopeSetup", "TelescopeSetup"] = {
    "tel_001": "tel_021",
    "tel_002": "tel_022",
    "stereo": "stereo",
}

ENERGY_DEPENDENT = "energydep"
#: Classes of events by the quality of their direction, the best first; 0 is none of them.
EVENT_CLASSES = (1, 2, 3, 4)

_PRODUCTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_TAG = re.compile(rf"(?:[01]\.[0-9]{{1,4}}|{ENERGY_DEPENDENT})(?:_ec[1-4])?", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,3}_[0-9]{1,3}", re.ASCII)
_NODE = r"ze[0-9.]+_az[0-9.]+_nsb[0-9.]+"
_SHARD = re.compile(rf"({'|'.join(PARTICLES)})_({_NODE})_({'|'.join(ROLES)})_([0-9]{{6,}})_dl1\.h5", re.ASCII)


def production_name_problem(name: str) -> str:
    """Say why a name cannot be that of a production and of its directory; empty if it can."""
    if _PRODUCTION.fullmatch(name) and ".." not in name:
        return ""
    return "a name has 1 to 63 letters, digits, '_', '-' and single '.', and begins with a letter or digit"


def gammaness_tag_problem(tag: str) -> str:
    """Say why a text is no tag of a gammaness cut; empty if it is one."""
    if _TAG.fullmatch(tag):
        return ""
    return (
        f"a tag is the value of the global cut, like 0.75, or {ENERGY_DEPENDENT!r}; "
        "that of one event class ends like 0.75_ec1"
    )


def data_setup(setup: "TelescopeSetup") -> "TelescopeSetup":
    """Return a set-up by its name for data: telescope 1 of simulations is telescope 21."""
    return _DATA_SETUPS.get(setup, setup)


def mc_setup(setup: "TelescopeSetup") -> "TelescopeSetup":
    """Return a set-up by its name for simulations: telescope 21 of data is telescope 1."""
    return next((mc for mc, data in _DATA_SETUPS.items() if data == setup), setup)


@dataclass(frozen=True, order=True)
class ShardName:
    """
    What the name of the DL1 file of a shard says.

    Parameters
    ----------
    particle, node, role
        The sample.
    index : int
        Number of the shard in its sample, from 0.
    """

    particle: Particle
    node: Node
    role: Role
    index: int

    def __str__(self) -> str:
        return f"{self.particle}_{self.node}_{self.role}_{self.index:06d}_dl1.h5"

    @classmethod
    def parse(cls, name: str) -> "ShardName":
        """
        Read the name of a shard's DL1 file.

        Raises
        ------
        InputError
            If it is none.
        """
        match = _SHARD.fullmatch(name)
        if match is None:
            raise InputError(
                f"{name!r} is not the name of a shard; one looks like "
                "gamma_diffuse_ze20_az180_nsb100_train_000000_dl1.h5"
            )
        particle, node, role, index = match.groups()
        shard = cls(_choice(particle, PARTICLES), Node.parse(node), _choice(role, ROLES), int(index))
        if str(shard) != name:
            raise InputError(f"{name!r} is not the name of a shard; it would be {str(shard)!r}")
        return shard


def _choice(text: str, choices: tuple[T, ...]) -> T:
    return choices[choices.index(text)]


@dataclass(frozen=True)
class ProductionLayout:
    """
    All paths of one production below the root of the simulations.

    Parameters
    ----------
    mc_dir : Path
        Root of the simulations (``[site] mc_dir``).
    name : str
        Of the production.
    """

    mc_dir: Path
    name: str

    def __post_init__(self) -> None:
        if problem := production_name_problem(self.name):
            raise ConfigError(f"production {self.name!r}: not a name for a directory; {problem}")

    @property
    def root(self) -> Path:
        """Directory of the production."""
        return Path(self.mc_dir, self.name)

    @property
    def record(self) -> Path:
        """The closing record of the production."""
        return self.root / "production.json"

    @property
    def log(self) -> Path:
        """What the calls on this production did, and tracebacks of unexpected errors."""
        return self.root / "production.log"

    @property
    def locks(self) -> Path:
        """Directory of the lock files; their content means nothing."""
        return self.root / ".locks"

    @property
    def report(self) -> Path:
        """Page about the production."""
        return self.root / "report" / "index.html"

    @property
    def interpolation_check(self) -> Path:
        """How well responses of other nodes predict one that is left out."""
        return self.root / "interpolation_check.json"

    def sample(self, level: Literal["dl1", "dl2"], particle: Particle, node: Node, role: Role) -> Path:
        """Directory of the files of a particle, node and role."""
        return self.root / level / particle / str(node) / role

    def shards(self, particle: Particle, node: Node, role: Role) -> Path:
        """Directory of the shards of a sample."""
        return self.sample("dl1", particle, node, role) / "shards"

    def shard(self, particle: Particle, node: Node, role: Role, index: int) -> Path:
        """DL1 file of one shard."""
        return self.shards(particle, node, role) / str(ShardName(particle, node, role, index))

    def failure_record(self, shard: ShardName) -> Path:
        """Path of the record of a shard that cannot be made; its log lies beside it."""
        name = str(shard).removesuffix(".h5")
        return self.sample("dl1", shard.particle, shard.node, shard.role) / "failed" / f"{name}.json"

    def merged(self, particle: Particle, node: Node, role: Role) -> Path:
        """DL1 file of all shards of a sample."""
        return self.sample("dl1", particle, node, role) / f"{particle}_{node}_{role}_dl1.h5"

    def models(self, node: Node, stereo: bool) -> Path:
        """Directory of the forests of a node."""
        return self.model_dir(stereo) / str(node)

    def model_dir(self, stereo: bool) -> Path:
        """Directory of the forests of all nodes."""
        return self.root / ("models_stereo" if stereo else "models_mono")

    def dl2(self, particle: Particle, node: Node, role: Role, setup: "TelescopeSetup") -> Path:
        """DL2 file of a sample in one telescope set-up."""
        return self.sample("dl2", particle, node, role) / f"{particle}_{node}_{role}_{setup}_dl2.h5"

    def cuts(self, node: Node, setup: "TelescopeSetup", method: CutMethod) -> Path:
        """Table of energy-dependent gammaness cuts."""
        return self.root / "cuts" / str(node) / f"gammaness_cuts_{method}_{setup}.h5"

    def performance(self, node: Node, setup: "TelescopeSetup") -> Path:
        """Directory of performance tables and plots."""
        return self.root / "performance" / str(node) / setup

    def lock(self, product: Path) -> Path:
        """Lock file that guards a product of this production."""
        return self.locks / f"{product.relative_to(self.root).as_posix().replace('/', '__')}.lock"


def irf_path(irf_dir: Path, setup: "TelescopeSetup", version: str, node: Node, tag: str) -> Path:
    """
    Path of an instrument response in the standard tree.

    Parameters
    ----------
    irf_dir : Path
        Root of the responses (``[site] irf_dir``).
    setup : {"tel_001", "tel_002", "tel_021", "tel_022", "stereo"}
        Responses bear the names of data, so ``tel_001`` gives the path of ``tel_021``.
    version : str
        ``MAJOR_MINOR``.
    node : Node
        What it was made for; a bin of the tree is a node and a tag.
    tag : str
        Value of the global gammaness cut, or ``energydep``; ends with ``_ec1`` for events of class 1.

    Raises
    ------
    ConfigError
        If version or tag are malformed.
    """
    if not _VERSION.fullmatch(version):
        raise ConfigError(f"version of responses {version!r}: write MAJOR_MINOR, like 0_6")
    if problem := gammaness_tag_problem(tag):
        raise ConfigError(f"gammaness tag {tag!r}: {problem}")
    setup = data_setup(setup)
    name = f"SST1M_{setup}_Zen{node.zenith_deg:g}deg_gcut{tag}_irfs.fits"
    return Path(irf_dir, "data", f"sst1m_{setup}", version, "bcf", f"{node}_gc{tag}", name)


def parse_irf_path(path: Path) -> tuple["TelescopeSetup", str, Node, str]:
    """
    Read set-up, version, node and tag from the path of a response.

    Raises
    ------
    InputError
        If the path is not one of the standard tree.
    """
    parts = Path(path).parts
    if len(parts) >= 6 and parts[-3] == "bcf" and parts[-6] == "data":
        setup = parts[-5].removeprefix("sst1m_")
        name, _, tag = parts[-2].rpartition("_gc")
        if (
            setup in _DATA_SETUPS.values()
            and _VERSION.fullmatch(parts[-4])
            and not gammaness_tag_problem(tag)
        ):
            node = Node.parse(name)
            known = _choice(setup, tuple(_DATA_SETUPS.values()))
            if irf_path(Path(*parts[:-6]), known, parts[-4], node, tag) == Path(path):
                return known, parts[-4], node, tag
    raise InputError(
        f"{path} is not the path of an instrument response; one looks like "
        "data/sst1m_stereo/0_6/bcf/ze20_az180_nsb100_gc0.75/SST1M_stereo_Zen20deg_gcut0.75_irfs.fits"
    )
