"""The samples and shards of a production, known without looking at any file."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import ConfigError
from ..layout_mc import MC_SETUPS, CutMethod, Particle, ProductionLayout, Role, ShardName
from ..nodes import Node
from .inputs import input_file, listed_inputs
from .model import MAX_SHARDS, Production

__all__ = ["PlannedProduction", "Sample", "Shard"]


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One particle at one node in one role; its shards become one file.

    Parameters
    ----------
    particle, node, role
        Which.
    n_shards : int
        Number of files it is made of.
    n_showers : int
        Thrown for each of them; 0 where the files say it themselves.
    first_obs_id : int
        Number of the run of its first shard.
    """

    particle: Particle
    node: Node
    role: Role
    n_shards: int
    n_showers: int
    first_obs_id: int

    def __str__(self) -> str:
        return f"{self.particle} {self.node} {self.role}"

    def shard(self, index: int) -> "Shard":
        """
        Return one of its shards.

        Raises
        ------
        ConfigError
            If it has no such shard.
        """
        if not 0 <= index < self.n_shards:
            raise ConfigError(f"{self} has shards 0 to {self.n_shards - 1}, there is no shard {index}")
        return Shard(self, index)

    def shards(self, first: int = 0, count: int | None = None) -> Iterator["Shard"]:
        """Yield its shards in order, all or some of them."""
        last = self.n_shards if count is None else min(first + count, self.n_shards)
        return (Shard(self, index) for index in range(first, last))


@dataclass(frozen=True, slots=True)
class Shard:
    """
    One file of a sample.

    Parameters
    ----------
    sample : Sample
        To which it belongs.
    index : int
        Its number there, from 0.
    """

    sample: Sample
    index: int

    @property
    def obs_id(self) -> int:
        """Number of the run, unique in the production, so that merged events cannot be confused."""
        return self.sample.first_obs_id + self.index

    @property
    def name(self) -> ShardName:
        """What its file is called after."""
        return ShardName(self.sample.particle, self.sample.node, self.sample.role, self.index)

    def __str__(self) -> str:
        return f"{self.sample} {self.index}"


@dataclass(frozen=True)
class PlannedProduction:
    """
    A production at its place.

    Parameters
    ----------
    production : Production
        What is to be made.
    layout : ProductionLayout
        Where.
    file : Path
        The TOML file that says so.
    """

    production: Production
    layout: ProductionLayout
    file: Path

    @property
    def name(self) -> str:
        """Name of the production."""
        return self.layout.name

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes of the grid."""
        return self.production.axes.nodes

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, node by node."""
        return tuple(self._samples())

    def _samples(self) -> Iterator[Sample]:
        obs_id = 1
        listed = listed_inputs(self.production, self.layout)
        for node in self.nodes:
            for particle, beam in self.production.particles.given().items():
                for role in beam.roles:
                    size = beam.shards(role)
                    key = f"{particle}/{node}/{role}"
                    n_shards = size.shards or len(listed.get(key, ()))
                    yield Sample(particle, node, role, n_shards, size.showers or 0, obs_id)
                    obs_id += n_shards
        if obs_id > MAX_SHARDS + 1:
            raise ConfigError(f"{self.file}: {obs_id - 1} shards; a production has at most {MAX_SHARDS}")

    @cached_property
    def _by_key(self) -> dict[tuple[Particle, Node, Role], Sample]:
        return {(sample.particle, sample.node, sample.role): sample for sample in self.samples}

    def has(self, particle: Particle, role: Role) -> bool:
        """Whether a particle is simulated in a role."""
        beam = self.production.particles.given().get(particle)
        return beam is not None and role in beam.roles

    def sample(self, particle: Particle, node: Node, role: Role) -> Sample:
        """
        Return a sample.

        Raises
        ------
        ConfigError
            If the production has none such.
        """
        try:
            return self._by_key[particle, node, role]
        except KeyError:
            raise ConfigError(f"production {self.name} has no {particle} at {node} for {role}") from None

    @property
    def n_shards(self) -> int:
        """Number of shards in all."""
        return sum(sample.n_shards for sample in self.samples)

    def shards(self) -> Iterator[Shard]:
        """Yield all shards."""
        for sample in self.samples:
            yield from sample.shards()

    def seed(self, shard: Shard) -> int:
        """Return the seed of a shard: of simulated ones another for each."""
        # Files that lie on disk may become more, which shifts the numbers of runs but not their own.
        number = shard.obs_id if self.production.source.throws else shard.index + 1
        return self.production.seed * (MAX_SHARDS + 1) + number

    def input_file(self, shard: Shard) -> Path | None:
        """Return the file on disk that a shard is made from; None where it is simulated."""
        sample = (shard.sample.particle, shard.sample.node, shard.sample.role)
        return input_file(self.production, self.layout, sample, shard.index)

    @property
    def telescope_setups(self) -> tuple[str, ...]:
        """Telescope set-ups of DL2 and of all that follows."""
        wanted = self.production.setups
        return tuple(s for s in MC_SETUPS if ("stereo" if s == "stereo" else "mono") in wanted)

    @property
    def cut_tables(self) -> tuple[CutMethod, ...]:
        """Cuts that are tables by energy."""
        return tuple(method for method in self.production.cuts if method != "global")
