"""The reference of the luigi tasks and of the sections of luigi.cfg."""

import datetime
import inspect

import luigi
from luigi.parameter import ParameterVisibility, _no_value
from markdown_text import cell, code, markdown_table, prose

__all__ = ["task_page"]

HEADING = """\
# Tasks and luigi.cfg

```text
luigi --module tasks TASK --parameter value
```

`RunNight`, `RunNights` and `MakeProduction` are meant to be called; the others follow from them, and can be
called, too. `python -m tasks TASK ...` is the same, and [`sst1m-submit submit TASK ...`](farm.md) takes it to
a farm. A key of luigi.cfg can be overruled on the command line: `--site-ana-dir /data/other`.
"""
ROOTS = ("RunNight", "RunNights", "MakeProduction")


def task_page() -> str:
    """Return the page as Markdown."""
    import tasks
    from tasks.parameters import night, site
    from tasks.production_base import mc

    others = [name for name in tasks.__all__ if name not in ROOTS]
    parts = [HEADING]
    parts += ["## Tasks to be called\n", *(_section(getattr(tasks, name)) for name in ROOTS)]
    parts += [
        "## luigi.cfg\n",
        *(_section(section, f"[{section.__name__}]") for section in (site, night, mc)),
    ]
    parts += ["## Tasks that follow from them\n", *(_section(getattr(tasks, name)) for name in others)]
    return "\n".join(parts)


def _section(task: type[luigi.Task], heading: str = "") -> str:
    rows = [_row(name, parameter, bool(heading)) for name, parameter in task.get_params()]
    text = prose(inspect.cleandoc(task.__doc__ or ""))
    parts = [f"### {heading or task.__name__}\n", f"{text}\n"]
    return "\n".join(parts + [markdown_table(("parameter", "default", "meaning"), rows)] * bool(rows))


def _row(name: str, parameter: luigi.Parameter, section: bool) -> tuple[str, str, str]:
    shown = code(name if section else f"--{name.replace('_', '-')}")
    return shown, _default(parameter, section), cell(_meaning(parameter))


def _meaning(parameter: luigi.Parameter) -> str:
    """Return the description; luigi adds the choices of a parameter in any order."""
    text, brace, choices = (parameter.description or "").partition(" Choices: {")
    return f"{text}: {', '.join(sorted(choices.rstrip('}').split(', ')))}" if brace else text


def _default(parameter: luigi.Parameter, section: bool) -> str:
    # a configured value is not asked for: what luigi.cfg says here is nobody else's default
    value = parameter._default
    if value is _no_value:
        return "required"
    if isinstance(value, datetime.date):
        return "last night"
    if value is None:
        return "none" if parameter.visibility is ParameterVisibility.HIDDEN else ""
    return code(str(value).lower() if isinstance(value, bool) else value)
