"""A graph of the size of a large production, for benchmarks of the submitter: two stages and a last task."""

import os

import luigi


class Stage(luigi.Task):
    """What both stages share: seven parameters, and a file in a directory of a thousand."""

    root = luigi.Parameter()
    index = luigi.IntParameter()
    production = luigi.Parameter(default="standard")
    particle = luigi.Parameter(default="proton_diffuse")
    node = luigi.Parameter(default="ze20_az180_nsb100")
    role = luigi.Parameter(default="train")
    seed = luigi.IntParameter(default=1)

    farm = {"stage": "stage", "seconds": 120.0, "mem_mb": 2000}
    level = "x"

    def output(self):
        directory = f"{self.root}/{self.level}/{self.index // 1000:04d}"
        return luigi.LocalTarget(f"{directory}/{self.particle}_{self.node}_{self.index:06d}.h5")

    def same(self):
        names = ("root", "index", "production", "particle", "node", "role", "seed")
        return {name: getattr(self, name) for name in names}

    def run(self):
        os.makedirs(os.path.dirname(self.output().path), exist_ok=True)
        with open(self.output().path, "w") as file:
            file.write("x")


class Simulate(Stage):
    level = "simulate"
    farm = {"stage": "simulate", "seconds": 120.0, "mem_mb": 2000}


class Reconstruct(Stage):
    level = "reconstruct"
    farm = {"stage": "reconstruct", "seconds": 30.0, "mem_mb": 4000}

    def requires(self):
        return Simulate(**self.same())


class Everything(luigi.Task):
    root = luigi.Parameter()
    n_tasks = luigi.IntParameter()

    def requires(self):
        fixed = {
            "root": self.root, "production": "standard", "particle": "proton_diffuse",
            "node": "ze20_az180_nsb100", "role": "train", "seed": 1,
        }  # fmt: skip
        return [Reconstruct(index=index, **fixed) for index in range(self.n_tasks)]

    def output(self):
        return luigi.LocalTarget(f"{self.root}/everything.txt")

    def run(self):
        with open(self.output().path, "w") as file:
            file.write("x")
