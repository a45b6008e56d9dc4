"""Kinds of value a configuration key may hold: bounded numbers, names, and values per telescope."""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AtLeastOne",
    "AtLeastTwo",
    "Count",
    "DataTelescopes",
    "FilePath",
    "Fraction",
    "FractionRange",
    "McTelescopes",
    "NonNegative",
    "NonNegativeRange",
    "Number",
    "PerTelescope",
    "PixelId",
    "Positive",
    "Section",
    "WholeNumber",
    "telescope_key",
]

T = TypeVar("T")


def _whole(value: Any) -> Any:  # noqa: ANN401 - a before-validator sees whatever the file holds
    """Accept 5E5 for 500000: today's files spell counts as floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the lower limit {limits[0]:g} is above the upper limit {limits[1]:g}")
    return limits


Number = Annotated[float, Field()]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
WholeNumber = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[WholeNumber, Field(ge=0)]
AtLeastOne = Annotated[WholeNumber, Field(ge=1)]
AtLeastTwo = Annotated[WholeNumber, Field(ge=2)]
PixelId = Annotated[WholeNumber, Field(ge=0, le=1295)]
FilePath = Annotated[str, Field(min_length=1)]


#: closed intervals, written ``[low, high]``
NonNegativeRange = Annotated[
    tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]], AfterValidator(_ordered)
]
FractionRange = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]], AfterValidator(_ordered)
]


class Section(BaseModel):
    """One section of a configuration: every key known, no value ever converted, nothing changeable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


def telescope_key(tel_id: int) -> str:
    """Return the key of a telescope in configuration and tables, ``tel_021`` for 21."""
    return f"tel_{tel_id:03d}"


class PerTelescope(Section):
    """A section with one value for each telescope."""

    def of(self, tel_id: int) -> Any:  # noqa: ANN401 - the type of the value is that of the section
        """
        Return the value of one telescope.

        Parameters
        ----------
        tel_id : int
            21 or 22 in a data configuration, 1 or 2 in an MC configuration.

        Raises
        ------
        KeyError
            If the configuration has no such telescope; data and MC ids are never translated in silence.
        """
        key = telescope_key(tel_id)
        if key not in type(self).model_fields:
            raise KeyError(f"this configuration has no telescope {tel_id}")
        return getattr(self, key)

    def by_telescope(self) -> Mapping[int, Any]:
        """Return the values by telescope id."""
        names = [name for name in type(self).model_fields if name.startswith("tel_")]
        return {int(name.removeprefix("tel_")): getattr(self, name) for name in names}


class DataTelescopes(PerTelescope, Generic[T]):
    """One value for each telescope, under the keys of observed data."""

    tel_021: T
    tel_022: T


class McTelescopes(PerTelescope, Generic[T]):
    """One value for each telescope, under the keys of simulations."""

    tel_001: T
    tel_002: T
