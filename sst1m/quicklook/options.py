"""What a first look can be asked for; the defaults suit SST-1M."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sst1m.errors import ConfigError

__all__ = ["ON_RADIUS_DEG", "QuicklookOptions", "SpectrumShape"]

SpectrumShape = Literal["power-law", "log-parabola"]

#: On-region where the responses do not tell it [deg].
ON_RADIUS_DEG = 0.2


@dataclass(frozen=True)
class QuicklookOptions:
    """
    Options of a first look.

    Parameters
    ----------
    on_radius_deg : float, optional
        Radius of the on-region [deg]. Without it `ON_RADIUS_DEG`, or what point-like responses were made
        with.
    energy_min_tev, energy_max_tev : float
        Range of reconstructed energy [TeV].
    spectrum : {"power-law", "log-parabola"}
        Shape that is fitted.
    max_offset_deg : float
        Observations that point further away from the source are left out [deg].
    exclusion_deg : float
        Radius around the source, and around others of the catalogue, without off-regions [deg].
    bins_per_decade : int, optional
        Bins of reconstructed energy. Without it 12; 24 where the observations have energy thresholds, so
        that little is lost of a bin that contains one.
    telescope : str, optional
        Only observations with this TELESCOP.
    crab_units : bool
        Fluxes in pictures in units of the Crab nebula.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    on_radius_deg: float | None = None
    energy_min_tev: float = 1.0
    energy_max_tev: float = 100.0
    spectrum: SpectrumShape = "power-law"
    max_offset_deg: float = 3.0
    exclusion_deg: float = 0.25
    bins_per_decade: int | None = None
    telescope: str | None = None
    crab_units: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.energy_min_tev < self.energy_max_tev < float("inf"):
            raise ConfigError(
                f"energies from {self.energy_min_tev:g} to {self.energy_max_tev:g} TeV are no range; give an "
                "energy above zero and a higher one"
            )
        if self.on_radius_deg is not None and not 0.01 <= self.on_radius_deg <= 2:
            raise ConfigError(f"an on-radius of {self.on_radius_deg:g} deg; give one between 0.01 and 2")
        if self.spectrum not in ("power-law", "log-parabola"):
            raise ConfigError(f"no spectrum {self.spectrum!r}; give power-law or log-parabola")
        if self.bins_per_decade is not None and not 1 <= self.bins_per_decade <= 100:
            raise ConfigError(f"{self.bins_per_decade} bins per decade; give 1 to 100")
        if not 0 < self.max_offset_deg <= 10 or not 0 < self.exclusion_deg <= 5:
            raise ConfigError(
                f"a largest offset of {self.max_offset_deg:g} deg and an exclusion of {self.exclusion_deg:g} "
                "deg; give up to 10 and up to 5 deg"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return asdict(self)
