"""The root of a graph: named by module, family and parameters, as on luigi's own command line."""

import contextlib
import importlib
import io
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import ParameterException
from luigi.task_register import TaskClassException, load_task

from submit.errors import PlanError, SiteError
from submit.failure import one_line

__all__ = ["Root"]


@dataclass(frozen=True)
class Root:
    """
    A task with all that is needed to make it again in another process.

    Parameters
    ----------
    module : str
        Python module that defines it.
    family : str
        Its name.
    params : mapping of str to str
        Its parameters as text.
    task_id : str
        Its id.
    cwd : str
        Directory in which it is made; luigi looks there for its configuration.
    luigi_config : str
        Value of LUIGI_CONFIG_PATH, empty if it is not set.
    """

    module: str
    family: str
    params: Mapping[str, str]
    task_id: str
    cwd: str
    luigi_config: str

    @classmethod
    def parse(cls, module: str, words: Sequence[str]) -> "Root":
        """
        Read a root from the words of a command line, e.g. ``["RunNight", "--date", "2024-03-04"]``.

        Raises
        ------
        SiteError
            If the module, the family or a parameter does not exist or cannot be understood.
        """
        _import(module)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), CmdlineParser.global_instance(list(words)) as parser:
                task = parser.get_task_obj()
        except (ParameterException, TaskClassException, ValueError) as error:
            raise SiteError(f"{' '.join(words)}: {' '.join(str(error).split())}") from None
        except SystemExit:
            lines = said.getvalue().strip().splitlines()
            reason = lines[-1].split("error: ")[-1] if lines else "cannot be understood"
            way_out = f"luigi --module {module} {words[0] if words else 'TASK'} --help lists the parameters"
            raise SiteError(f"{' '.join(words)}: {reason}; {way_out}") from None
        return cls.of(module, task)

    @classmethod
    def of(cls, module: str, task: luigi.Task) -> "Root":
        """Return the root that a task is."""
        config = os.environ.get("LUIGI_CONFIG_PATH", "")
        config = str(Path(config).resolve()) if config else ""
        return cls(module, task.task_family, task.to_str_params(), task.task_id, str(Path.cwd()), config)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Root":
        """Return what `as_json` described."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def as_json(self) -> dict[str, Any]:
        """Return everything as values of JSON."""
        return {**asdict(self), "params": dict(self.params)}

    @property
    def words(self) -> str:
        """The task with its parameters for people; what is empty or false is left out."""
        given = (f"{name}={value}" for name, value in self.params.items() if value not in ("", "False"))
        return f"{self.family} {', '.join(given)}"

    def load(self) -> luigi.Task:
        """
        Make the task.

        Raises
        ------
        PlanError
            If its module now makes another task of the same words.
        """
        _import(self.module)
        task = load_task(self.module, self.family, dict(self.params))
        if task.task_id != self.task_id:
            raise PlanError(
                f"{self.family} is now {task.task_id} and was {self.task_id}: its parameters have changed in "
                f"{self.module}; submit it anew"
            )
        return task

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """Work in the directory where the root was named."""
        with contextlib.chdir(self.cwd):
            yield


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise SiteError(f"--module {module}: cannot be imported ({error}); check it and PYTHONPATH") from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise SiteError(
            f"--module {module}: fails while it is imported: {one_line(error)} "
            f"({place.filename}, line {place.lineno}); correct it"
        ) from error
