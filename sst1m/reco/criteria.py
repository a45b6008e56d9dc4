"""Criteria on image parameters, written for ctapipe's events, evaluated for all events at once."""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["criteria_met"]

#: Groups of parameters in ctapipe's events and the prefixes of their columns.
_PREFIXES = {
    "hillas": "camera_frame_hillas_",
    "timing": "camera_frame_timing_",
    "leakage": "leakage_",
    "concentration": "concentration_",
    "morphology": "morphology_",
    "intensity_statistics": "intensity_",
    "peak_time_statistics": "peak_time_",
    "core": "core_",
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def criteria_met(
    criteria: Iterable[tuple[str, str]], columns: Mapping[str, NDArray[Any]], n_events: int
) -> NDArray[np.bool_]:
    """
    Return which images meet all criteria; undefined parameters meet none.

    Parameters
    ----------
    criteria : iterable of (name, expression)
        As ctapipe's `StereoQualityQuery` takes them: comparisons of values below ``parameters.``.
    columns : mapping of str to ndarray, shape=(n_events,)
        Image parameters under the column names of the data model.
    n_events : int
        Number of images.

    Raises
    ------
    ConfigError
        An expression names a parameter that does not exist, or is none.
    """
    met = np.ones(n_events, dtype=bool)
    for name, expression in criteria:
        try:
            value = _value(ast.parse(expression, mode="eval").body, columns)
        except (KeyError, ValueError, SyntaxError) as error:
            raise ConfigError(
                f"criterion '{name}' ({expression}) cannot be evaluated: {error}; correct it in the "
                "section ShowerProcessor of the configuration"
            ) from None
        met &= np.asarray(value, dtype=bool)
    return met


def _value(node: ast.expr, columns: Mapping[str, NDArray[Any]]) -> Any:  # noqa: ANN401 - array or number
    with np.errstate(divide="ignore", invalid="ignore"):
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Attribute():
                return _column(node, columns)
            case ast.BoolOp(op=ast.And(), values=values):
                return np.logical_and.reduce([_value(value, columns) for value in values])
            case ast.BoolOp(op=ast.Or(), values=values):
                return np.logical_or.reduce([_value(value, columns) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(_value(operand, columns))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -_value(operand, columns)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](_value(left, columns), _value(right, columns))
            case ast.Compare():
                return _comparison(node, columns)
    raise ValueError(f"'{ast.unparse(node)}' is not understood")


def _comparison(node: ast.Compare, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    values = [_value(part, columns) for part in (node.left, *node.comparators)]
    pairs = zip(node.ops, values[:-1], values[1:], strict=True)
    return np.logical_and.reduce([_COMPARE[type(op)](left, right) for op, left, right in pairs])


def _column(node: ast.Attribute, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the column of ``parameters.<group>.<name>``; ``.value`` after it takes the unit off."""
    parts = ast.unparse(node).removesuffix(".value").split(".")
    if len(parts) != 3 or parts[0] != "parameters" or parts[1] not in _PREFIXES:
        raise ValueError(f"'{ast.unparse(node)}' is not parameters.<group>.<name>")
    column = _PREFIXES[parts[1]] + parts[2]
    if column not in columns:
        raise ValueError(f"there is no parameter '{'.'.join(parts)}'")
    return columns[column]
