"""What tasks at one node of a production share."""

import luigi

from sst1m.nodes import Node
from tasks.production_base import ProductionTask
from tasks.production_samples import MergeSample

__all__ = ["NodeTask", "SetupTask"]


class NodeTask(ProductionTask):
    """A task at one node of a production."""

    node = luigi.Parameter(description="name of the node, e.g. ze20_az180_nsb100")

    @property
    def at(self) -> Node:
        """The node."""
        return Node.parse(self.node)

    def merged(self, particle: str, role: str) -> MergeSample:
        """Return the task that makes a sample of this node."""
        return MergeSample(production=self.production, particle=particle, node=self.node, role=role)


class SetupTask(NodeTask):
    """A task on the reconstructed test samples of a node in one telescope set-up."""

    setup = luigi.Parameter(description="tel_001, tel_002 or stereo")
