"""The reference of all commands, from click."""

import inspect
import os
from collections.abc import Iterator

import click
from markdown_text import cell, code, fenced, markdown_table

__all__ = ["command_page", "commands"]

HEADING = """\
# Commands

What `--help` of each command says. A message of an error names the file, the reason and the way out; the
[exit codes](faq.md#exit-codes) tell the truth. The luigi tasks and their parameters are on
[their own page](tasks.md).
"""


def commands(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Return a command and all that are in it, by their full names."""
    yield name, group
    for part, command in sorted(getattr(group, "commands", {}).items()):
        yield from commands(command, f"{name} {part}")


def command_page() -> str:
    """Return the page as Markdown."""
    # values of this process are no defaults of everybody
    for variable in [name for name in os.environ if name.startswith("SST1M_")]:
        del os.environ[variable]
    from sst1m.cli import cli
    from submit.cli import main as submit

    parts = [HEADING]
    for root, name in ((cli, "sst1m"), (submit, "sst1m-submit")):
        parts += [_section(command, full) for full, command in commands(root, name)]
    return "\n".join(parts)


def _section(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name)
    parts = [f"{'##' if ' ' not in name else '###'} {name}\n", _help(command.help or "")]
    if not isinstance(command, click.Group):
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        parts.append(fenced(usage))
    rows = [_row(option, context) for option in command.params if isinstance(option, click.Option)]
    if rows:
        parts.append(markdown_table(("option", "value", "default", "meaning"), rows))
    return "\n".join(part for part in parts if part)


def _help(text: str) -> str:
    """Return a docstring as paragraphs, what follows a ``\\b`` as it is."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        verbatim = paragraph.startswith("\b\n")
        parts.append(fenced(inspect.cleandoc(paragraph[2:])) if verbatim else f"{paragraph}\n")
    return "\n".join(parts)


def _row(option: click.Option, context: click.Context) -> tuple[str, str, str, str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else cell(option.make_metavar(context))
    extra = option.get_help_extra(context)
    default = "required" if option.required else code(extra.get("default", ""))
    limits = f" [{extra['range']}]" if "range" in extra else ""
    many = "; may be repeated" if option.multiple else ""
    return names, value, default, cell(f"{option.help or ''}{limits}{many}")
