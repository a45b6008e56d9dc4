"""What the file of a production decides: the grid, what is thrown at each node, and who simulates it."""

import hashlib
import json
import re
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ..config.fields import AtLeastOne, Fraction, NonNegative, Number, Positive, Section, WholeNumber
from ..layout_mc import PARTICLES, ROLES, CutMethod, Particle, Role
from ..nodes import Node
from .source import Command, Files, Simulator

__all__ = ["MAX_SHARDS", "Axes", "Beam", "Production", "Shards", "Thrown"]

#: Numbers of runs have six digits: seeds, which start with that of the production, stay below 9e8 (CORSIKA).
MAX_SHARDS = 999_999

#: Limits of `sst1m.simulation.events.ShowerSpec`, known before the first shower is thrown.
_SIMULATOR_MAX_ZENITH_DEG = 65.0
_SIMULATOR_MIN_ENERGY_TEV = 0.05

_PLAIN_NODE = r"ze[0-9.]+_az[0-9.]+_nsb[0-9.]+"

_SPECTRUM = ("energy_min", "energy_max", "index", "scatter_radius")

ByZenith = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"{next(v for v in values if values.count(v) > 1):g} is listed twice")
    return values


_Axis = AfterValidator(_distinct)


class Axes(Section):
    """Axes of the grid; each combination of the three is a node."""

    zenith: Annotated[
        tuple[Annotated[float, Field(ge=0, le=75)], ...],
        Field(min_length=1, description="zenith angles [deg]"),
        _Axis,
    ]
    azimuth: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=360)], ...],
        Field(min_length=1, description="azimuths, from north to east [deg]"),
        _Axis,
    ]
    nsb: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=10_000)], ...],
        Field(min_length=1, description="levels of the night sky [MHz per pixel]"),
        _Axis,
    ]

    @model_validator(mode="after")
    def _nameable(self) -> Self:
        for node in self.nodes:
            if not re.fullmatch(_PLAIN_NODE, str(node)) or Node.parse(str(node)) != node:
                raise ValueError(f"the node {node} has more digits than the name of a directory; use fewer")
        return self

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, zenith angle by zenith angle."""
        return tuple(Node(*values) for values in product(self.zenith, self.azimuth, self.nsb))


class Shards(Section):
    """How often, and how much at a time."""

    shards: AtLeastOne | None = Field(default=None, description="files per node")
    showers: AtLeastOne | None = Field(default=None, description="showers thrown for each file")


class Beam(Section):
    """One kind of particle: what is thrown, and for which role."""

    energy_min: ByZenith | None = Field(default=None, description="[TeV], or one value per zenith angle")
    energy_max: ByZenith | None = Field(default=None, description="[TeV], or one value per zenith angle")
    index: Number | None = Field(default=None, description="of the power law, e.g. -2.0")
    scatter_radius: ByZenith | None = Field(
        default=None, description="of the shower axes [m], or one value per zenith angle"
    )
    train: Shards | None = Field(default=None, description="what the forests are trained with")
    test: Shards | None = Field(default=None, description="what cuts, responses and performance are from")

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles that are asked for."""
        return tuple(role for role in ROLES if getattr(self, role) is not None)

    def shards(self, role: Role) -> Shards:
        """Return how much is asked for in a role that there is."""
        return getattr(self, role)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.roles:
            raise ValueError("has neither train nor test; give at least one, e.g. test = {shards, showers}")
        if self.index is not None and abs(self.index + 1) < 1e-3:
            raise ValueError("index -1 cannot be integrated by the usual formula; give -1.01")
        return self


class DiffuseBeam(Beam):
    """Particles from all directions within a cone around the pointing."""

    view_cone: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="half opening angle [deg]"
    )


class PointBeam(Beam):
    """Gamma rays from one angle to the pointing."""

    offset: NonNegative | None = Field(default=None, description="angle to the pointing [deg]")


class Particles(Section):
    """Kinds of particle, those that are left out are not simulated."""

    gamma_diffuse: DiffuseBeam | None = None
    gamma_point: PointBeam | None = None
    proton_diffuse: DiffuseBeam | None = None
    electron_diffuse: DiffuseBeam | None = None

    def given(self) -> dict[Particle, Beam]:
        """Return those that are asked for."""
        return {name: beam for name in PARTICLES if (beam := getattr(self, name)) is not None}


class Thrown(Section):
    """What is thrown at one node; plain numbers."""

    energy_min_tev: float
    energy_max_tev: float
    index: float
    scatter_radius_m: float
    view_cone_deg: float
    offset_deg: float


def _unique_words(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"'{next(v for v in values if values.count(v) > 1)}' is listed twice")
    return values


class Production(Section):
    """A production: grid, particles, source and the products that are made of them."""

    seed: Annotated[WholeNumber, Field(ge=0, le=899)] = Field(
        description="same seed, same showers; another one gives showers that share nothing with these"
    )
    accepted_failures: Fraction = Field(
        default=0.0, description="fraction of the shards of a sample that may fail"
    )
    setups: Annotated[
        tuple[Literal["mono", "stereo"], ...], Field(min_length=1), AfterValidator(_unique_words)
    ] = Field(default=("mono", "stereo"), description="single telescopes, both together")
    cuts: Annotated[tuple[CutMethod, ...], Field(min_length=1), AfterValidator(_unique_words)] = Field(
        default=("global", "efficiency"),
        description="gammaness cuts; the first that depends on energy makes the responses 'energydep'",
    )
    irf_version: Annotated[str, Field(pattern=r"^[0-9]{1,3}_[0-9]{1,3}$")] = Field(
        description="version in the tree of responses, MAJOR_MINOR"
    )
    axes: Axes
    source: Annotated[Simulator | Files | Command, Field(discriminator="kind")]
    particles: Particles

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = [*self._particle_problems(), *self._size_problems()]
        problems += self._pattern_problems() if isinstance(self.source, Files) else []
        problems += self._reach_problems() if isinstance(self.source, Simulator) else []
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _particle_problems(self) -> list[str]:
        beams = self.particles.given()
        if not beams:
            return ["particles: none is given; a production needs at least one, e.g. gamma_diffuse"]
        problems = []
        for name, beam in beams.items():
            keys = (*_SPECTRUM, "offset" if isinstance(beam, PointBeam) else "view_cone")
            given = [key for key in keys if getattr(beam, key) is not None]
            missing = [key for key in keys if key not in given]
            if self.source.throws and missing:
                problems.append(f"particles.{name}: {', '.join(missing)} missing; the source has to know")
            if not self.source.throws and given:
                problems.append(
                    f"particles.{name}: leave out {', '.join(given)}: the files say so themselves"
                )
            problems += self._axis_problems(name, beam)
        return problems

    def _axis_problems(self, name: str, beam: Beam) -> list[str]:
        n_zenith = len(self.axes.zenith)
        lists = {key: getattr(beam, key) for key in _SPECTRUM if isinstance(getattr(beam, key), tuple)}
        problems = [
            f"particles.{name}.{key}: {len(values)} values for {n_zenith} zenith angles; give one for each"
            for key, values in lists.items()
            if len(values) != n_zenith
        ]
        if problems or beam.energy_min is None or beam.energy_max is None:
            return problems
        for i, zenith in enumerate(self.axes.zenith):
            low, high = _at(beam.energy_min, i), _at(beam.energy_max, i)
            if low >= high:
                problems.append(
                    f"particles.{name}: energy_min {low:g} is not below energy_max {high:g} "
                    f"at zenith {zenith:g}"
                )
        return problems

    def _size_problems(self) -> list[str]:
        problems, n_shards = [], 0
        n_nodes = len(self.axes.nodes)
        for name, beam in self.particles.given().items():
            for role in beam.roles:
                size = beam.shards(role)
                problems += [
                    f"particles.{name}.{role}.{key}: {'missing' if needed else 'not used by this source'}"
                    for key, needed in self.source.counts().items()
                    if (getattr(size, key) is None) == needed
                ]
                n_shards += n_nodes * (size.shards or 0)
        if n_shards > MAX_SHARDS:
            problems.append(f"{n_shards} shards; a production has at most {MAX_SHARDS}: make shards larger")
        return problems

    def _pattern_problems(self) -> list[str]:
        """Find samples that would read the same files."""
        seen: dict[str, str] = {}
        for name, beam in self.particles.given().items():
            for role, node in product(beam.roles, self.axes.nodes):
                try:
                    text = self.source.path(name, role, node, 0)
                except ValueError as error:
                    return [f"source.pattern: {error} for {node}"]
                sample = f"{name} {node} {role}"
                if seen.setdefault(text, sample) != sample:
                    return [
                        f"source.pattern gives the same files to {seen[text]} and {sample}; put "
                        "{particle}, {role} and {node} (or {zenith}, {azimuth}, {nsb}) into it"
                    ]
        return []

    def _reach_problems(self) -> list[str]:
        """Find what our own simulator cannot do."""
        problems = []
        if max(self.axes.zenith) > _SIMULATOR_MAX_ZENITH_DEG:
            problems.append(f"axes.zenith: the simulator reaches {_SIMULATOR_MAX_ZENITH_DEG:g} deg")
        for name, beam in self.particles.given().items():
            lowest = min(_at(beam.energy_min, i) for i in range(len(self.axes.zenith)))
            if beam.energy_min is not None and lowest < _SIMULATOR_MIN_ENERGY_TEV:
                problems.append(
                    f"particles.{name}.energy_min: the simulator begins at {_SIMULATOR_MIN_ENERGY_TEV:g} TeV"
                )
        return problems

    def thrown(self, particle: Particle, zenith_deg: float) -> Thrown:
        """Return what is thrown of a particle at a zenith angle; only for sources that throw."""
        beam = self.particles.given()[particle]
        i = self.axes.zenith.index(zenith_deg)
        return Thrown(
            energy_min_tev=_at(beam.energy_min, i),
            energy_max_tev=_at(beam.energy_max, i),
            index=float(beam.index or 0.0),
            scatter_radius_m=_at(beam.scatter_radius, i),
            view_cone_deg=float(getattr(beam, "view_cone", None) or 0.0),
            offset_deg=float(getattr(beam, "offset", None) or 0.0),
        )

    def thrown_energies(self, particle: Particle) -> tuple[float, float] | None:
        """Return the least and largest energy [TeV] thrown at any node; None where files decide it."""
        beam = self.particles.given()[particle]
        if beam.energy_min is None or beam.energy_max is None:
            return None
        thrown = [self.thrown(particle, zenith) for zenith in self.axes.zenith]
        return min(t.energy_min_tev for t in thrown), max(t.energy_max_tev for t in thrown)

    def canonical(self) -> dict[str, Any]:
        """Return every key with its effective value, as plain JSON types."""
        return self.model_dump(mode="json")

    def identity(self) -> dict[str, Any]:
        """
        Return the keys that decide what existing products contain.

        Without what may be changed later: more set-ups and cuts give more products, another version gives
        another tree of responses, and what failures are accepted is the operator's word of the day.
        """
        free = ("accepted_failures", "setups", "cuts", "irf_version")
        return {key: value for key, value in self.canonical().items() if key not in free}

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _at(value: float | tuple[float, ...] | None, i: int) -> float:
    if isinstance(value, tuple):
        return float(value[i])
    return float(value or 0.0)
