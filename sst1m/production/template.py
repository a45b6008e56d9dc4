"""Texts with named placeholders: ``{zenith}``, ``{shard:05d}`` and nothing cleverer."""

from collections.abc import Collection, Mapping
from string import Formatter

__all__ = ["fill", "placeholders", "template_problem"]


def placeholders(text: str) -> set[str]:
    """Return the names of the placeholders of a text; `ValueError` where its braces do not match."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def template_problem(text: str, known: Collection[str]) -> str:
    """
    Say why a text cannot be filled in; empty if it can.

    Parameters
    ----------
    text : str
        The text.
    known : collection of str
        Names of placeholders that there are.
    """
    try:
        fields = [field for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        return f"{text!r}: {error}; write a brace that is meant as one twice: {{{{"
    for _, name, spec, conversion in fields:
        if name not in known:
            return f"{text!r}: {{{name}}} is not known; there are {', '.join(f'{{{k}}}' for k in known)}"
        if conversion or "{" in (spec or ""):
            return f"{text!r}: write {{{name}}} or a plain form of it, like {{{name}:d}}"
    return ""


def fill(text: str, values: Mapping[str, object]) -> str:
    """
    Return the text with its placeholders filled in; whole numbers without a decimal point.

    Raises
    ------
    ValueError
        If a value does not go with its form.
    """
    plain = {name: _plain(value) for name, value in values.items()}
    return text.format_map(plain)


def _plain(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
