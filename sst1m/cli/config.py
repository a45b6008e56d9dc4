"""Commands about configuration files: check, show, compare, list the keys."""

import json
from pathlib import Path

import click

from ..config import DataConfig, McConfig, diff_configs, key_table, load_config
from ..errors import ConfigError

__all__ = ["config_group"]

_FILE = click.Path(path_type=Path)


@click.group("config")
def config_group() -> None:
    """Check, show and compare configuration files (JSON)."""


@config_group.command("check")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
def check(files: tuple[Path, ...]) -> None:
    """
    Check configuration files and name everything that is wrong with them.

    Exit code 0 when all files can be used, 2 otherwise.

    \b
    Example:
      sst1m config check config/*.json
    """
    failures = []
    for path in files:
        try:
            config = load_config(path)
        except ConfigError as error:
            failures.append(str(error))
        else:
            click.echo(f"{path}: good, {config.kind}, fingerprint {config.fingerprint()[:12]}")
    if failures:
        raise ConfigError("\n".join(failures))


@config_group.command("show")
@click.argument("file", type=_FILE)
@click.option(
    "--fingerprint-only", is_flag=True, help="Print the sha256 of the effective values and nothing else."
)
def show(file: Path, fingerprint_only: bool) -> None:
    """
    Print the effective configuration: every key, with the defaults of keys that the file leaves out.

    \b
    Examples:
      sst1m config show config/sst1m_data_config.json
      sst1m config show --fingerprint-only config/sst1m_data_config.json
    """
    config = load_config(file)
    click.echo(config.fingerprint() if fingerprint_only else json.dumps(config.canonical(), indent=2))


@config_group.command("diff")
@click.argument("left", type=_FILE)
@click.argument("right", type=_FILE)
@click.option("--shared", is_flag=True, help="Compare only the keys that both files can have.")
@click.pass_context
def diff(context: click.Context, left: Path, right: Path, shared: bool) -> None:
    """
    Print the keys in which two configurations differ, with both values.

    A file of data and one of simulations may be compared: telescope 1 stands beside 21, 2 beside 22.
    Exit code 0 when they agree, 1 when they differ, 2 when one cannot be used.

    \b
    Examples:
      sst1m config diff old.json new.json
      sst1m config diff --shared config/sst1m_data_config.json config/sst1m_mc_config.json
    """
    differences = diff_configs(load_config(left), load_config(right), shared_only=shared)
    for item in differences:
        click.echo(f"{item.key}: {_text(item.left)} -> {_text(item.right)}")
    context.exit(1 if differences else 0)


@config_group.command("keys")
@click.option("--kind", type=click.Choice(["data", "mc"]), default="data", show_default=True)
def keys(kind: str) -> None:
    """
    Print every key with its allowed values, default and meaning, as a Markdown table.

    \b
    Example:
      sst1m config keys --kind mc
    """
    click.echo(key_table(DataConfig if kind == "data" else McConfig), nl=False)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, str | int | float | list | dict | None) else repr(value)
