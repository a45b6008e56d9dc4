"""Where simulated events come from: our simulator, files that lie on disk, or a command of the site."""

from pathlib import PurePath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..config.fields import Positive, Section
from ..layout_mc import Particle, Role
from ..nodes import Node
from .template import fill, placeholders, template_problem

__all__ = ["SIMTEL_SUFFIXES", "Command", "Files", "Simulator", "Source", "node_words"]

SIMTEL_SUFFIXES = (".simtel", ".simtel.gz", ".simtel.zst")
"""Endings of sim_telarray files."""

_NODE_WORDS = ("node", "zenith", "azimuth", "nsb")
_FILE_WORDS = ("particle", "role", *_NODE_WORDS, "shard")
_THROWN_WORDS = ("energy_min", "energy_max", "index", "scatter_radius", "view_cone", "offset")
_COMMAND_WORDS = (*_FILE_WORDS, *_THROWN_WORDS, "primary", "showers", "seed", "obs_id", "output")

_Word = Annotated[str, Field(min_length=1, pattern=r"^[^{}/]+$")]


def node_words(node: Node) -> dict[str, object]:
    """Return what stands for the placeholders of a node."""
    return {
        "node": str(node),
        "zenith": node.zenith_deg,
        "azimuth": node.azimuth_deg,
        "nsb": node.nsb_mhz,
    }


class Source(Section):
    """Who simulates."""

    #: Whether it needs to know what to throw.
    throws: ClassVar[bool] = True

    def counts(self) -> dict[str, bool]:
        """Return which numbers of a sample are needed; the others must not be given."""
        return {"shards": True, "showers": True}


class Simulator(Source):
    """The simulator of this project: fast, free and good enough for demo, tests and load tests."""

    kind: Literal["simulator"] = Field(description="our own simulator")


class ParticleWords(Section):
    """What stands for ``{particle}`` in the pattern; wildcards are allowed."""

    gamma_diffuse: _Word = Field(default="gamma_diffuse", description="word for diffuse gamma rays")
    gamma_point: _Word = Field(default="gamma_point", description="word for a point source")
    proton_diffuse: _Word = Field(default="proton_diffuse", description="word for protons")
    electron_diffuse: _Word = Field(default="electron_diffuse", description="word for electrons")


class RoleWords(Section):
    """What stands for ``{role}`` in the pattern; wildcards are allowed, e.g. ``[0-4]``."""

    train: _Word = Field(default="train", description="word for the training sample")
    test: _Word = Field(default="test", description="word for the test sample")


class Files(Source):
    """Files that lie on disk: of sim_telarray, or DL1."""

    throws = False

    kind: Literal["files"] = Field(description="files that lie on disk")
    pattern: Annotated[str, Field(min_length=1)] = Field(
        description="path with placeholders; * and ? match anything, or {shard} counts from 0"
    )
    particle: ParticleWords = ParticleWords()
    role: RoleWords = RoleWords()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if problem := template_problem(self.pattern, _FILE_WORDS):
            raise ValueError(problem)
        if not PurePath(self.pattern).is_absolute():
            raise ValueError(f"pattern {self.pattern!r} is not absolute; write the whole path")
        if not self.pattern.endswith((*SIMTEL_SUFFIXES, ".h5")):
            raise ValueError(
                f"pattern {self.pattern!r} names neither sim_telarray files ({', '.join(SIMTEL_SUFFIXES)}) "
                "nor DL1 files (.h5); write the ending out"
            )
        return self

    @property
    def is_numbered(self) -> bool:
        """Whether the names of the files follow from the numbers of the shards."""
        return "shard" in placeholders(self.pattern)

    def counts(self) -> dict[str, bool]:
        """Return which numbers of a sample are needed; the others must not be given."""
        return {"shards": self.is_numbered, "showers": False}

    def path(self, particle: Particle, role: Role, node: Node, shard: int) -> str:
        """
        Return the path of a shard's file, or the pattern of all files of the sample.

        Parameters
        ----------
        particle, role, node
            The sample.
        shard : int
            Number of the shard; without effect where the names are not numbered.
        """
        words = {"particle": getattr(self.particle, particle), "role": getattr(self.role, role)}
        return fill(self.pattern, {**words, **node_words(node), "shard": shard})


class Command(Source):
    """A command of the site, such as the start of a container with CORSIKA and sim_telarray."""

    kind: Literal["command"] = Field(description="a command of the site")
    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="program and arguments with placeholders; no shell sees them"
    )
    output_suffix: Literal[".simtel", ".simtel.gz", ".simtel.zst"] = Field(
        default=".simtel.zst", description="ending of the file that {output} names"
    )
    timeout_minutes: Positive | None = Field(default=None, description="longest duration; left out: any")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problems = [problem for text in self.command if (problem := template_problem(text, _COMMAND_WORDS))]
        if problems:
            raise ValueError("\n".join(problems))
        used = {name for text in self.command for name in placeholders(text)}
        if "output" not in used:
            raise ValueError("the command does not say where to write; give {output} to the program")
        if not {"seed", "obs_id"} <= used:
            raise ValueError(
                "the command must hand on {seed} and {obs_id} (number of the run): without them all shards "
                "would hold the same showers, or could not be told apart when they are merged"
            )
        if placeholders(self.command[0]):
            raise ValueError(f"{self.command[0]!r}: the program itself is no placeholder")
        return self
