"""From DL1 to DL2: one path for data and simulations, for one telescope and for both."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint import SideFiles, committed
from ..config import AnalysisConfig, DataConfig
from ..errors import ConfigError, DataQualityError, ModelMismatchError
from ..events import SETUPS, ReconstructedEvents, TelescopeSetup
from ..io.dl1_events import Dl1Events, TelescopeEvents, read_dl1_events
from ..io.dl2 import check_dl2, write_dl2
from ..io.dl2_columns import column_table
from ..layout import side_paths
from ..nodes import Node
from ..provenance import input_record, provenance_json, utc_now
from ..thrown import ThrownShowers
from .conditions import mean_pointing, night_sky, observed_node
from .features import minimal_energy_tev
from .model_store import ModelSet, ModelStore, model_telescope
from .predict import Forests, no_answers, predict_telescope
from .showers import mono_showers, stereo_showers
from .usable import UsableEvents, setup_telescopes, usable_events

__all__ = [
    "Dl2Summary",
    "dl2_name",
    "reconstruct_events",
    "reconstruct_file",
    "reconstruct_files",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dl2Summary:
    """
    What became of a file.

    Parameters
    ----------
    path : Path
        The DL2 file.
    n_dl1, n_written : int
        Array events in the DL1 file, and those reconstructed.
    counts : dict of str to int
        ``n_dl1``, what each step removed, ``n_written``: the first is the sum of the others.
    node : Node or None
        Of the models; None where there was no event to choose them by.
    node_distance : float or None
        Of the node from the conditions; None where they are not known.
    seconds : float
        It took.
    """

    path: Path
    n_dl1: int
    n_written: int
    counts: dict[str, int]
    node: Node | None
    node_distance: float | None
    seconds: float


@dataclass(frozen=True)
class _Choice:
    """The node of a file, how far it is from its conditions, and the models; none where there is no event."""

    node: Node | None
    distance: float | None
    models: ModelSet | None

    def info(self) -> dict[str, Any]:
        """Return what the product says about its models."""
        info: dict[str, Any] = {"node": str(self.node) if self.node else None, "distance": self.distance}
        if self.models is None:
            return info
        cards = {
            str(t): {"card_sha256": m.card_sha256, "config_fingerprint": m.card.config_fingerprint}
            for t, m in self.models.telescopes.items()
        }
        return info | {"directory": str(self.models.directory), "telescopes": cards}


def dl2_name(dl1: Path) -> str:
    """Return the name of the DL2 file that belongs to a DL1 file."""
    return f"{dl1.name.removesuffix('.h5')}_dl2.h5"


def reconstruct_events(
    dl1: Path,
    *,
    config: AnalysisConfig,
    store: ModelStore,
    tel_setup: TelescopeSetup,
    node: Node | None = None,
    scale_intensities: bool = False,
) -> ReconstructedEvents:
    """
    Reconstruct the events of a DL1 file.

    Parameters
    ----------
    dl1 : Path
        Of data or of simulations; for ``stereo`` with both telescopes.
    config : AnalysisConfig
        Of data or of simulations, like the file.
    store : ModelStore
        Forests, mono or stereo like the set-up.
    tel_setup : str
        ``tel_021``, ``tel_022`` or ``stereo`` of data, ``tel_001``, ``tel_002`` or ``stereo`` of simulations.
    node : Node, optional
        Whose forests to use; the one nearest to mean pointing and night sky where left out.
    scale_intensities : bool
        Multiply intensities by ``NsbCalibrator.intensity_correction`` first.

    Raises
    ------
    ConfigError
        Set-up, configuration and forests do not belong together.
    InputError
        The file or a model file is missing or broken.
    DataQualityError
        Events have no pointing or no night sky by which to choose forests.
    ModelMismatchError
        There are no forests for these conditions, or they are not what they should be.
    """
    _check_request(config, store, tel_setup)
    tel_ids = setup_telescopes(tel_setup, simulated=not isinstance(config, DataConfig))
    events = read_dl1_events(dl1, tel_ids)
    _check_kind(events, config)
    factors = {t: config.NsbCalibrator.intensity_correction.of(t) for t in tel_ids}
    usable = usable_events(
        events, config, stereo=store.stereo, intensity_factors=factors if scale_intensities else None
    )
    choice = _choose(events, usable, config, store, node)
    table = _showers(usable, choice, config, simulated=events.thrown is not None)
    counts = usable.counts | {"n_written": len(usable)}
    log.info("%s: %s", dl1.name, ", ".join(f"{name} {number}" for name, number in counts.items()))
    info = _info(events, choice, config, counts) | {"scale_intensities": scale_intensities}
    return ReconstructedEvents(column_table(table), tel_setup, info, _thrown(events, config))


def reconstruct_file(
    dl1: Path,
    output: Path,
    *,
    config: AnalysisConfig,
    store: ModelStore,
    tel_setup: TelescopeSetup,
    node: Node | None = None,
    scale_intensities: bool = False,
    side_files: SideFiles | None = None,
) -> Dl2Summary:
    """
    Reconstruct the events of a DL1 file and write them, with their provenance beside, as a DL2 file.

    Parameters
    ----------
    dl1, config, store, tel_setup, node, scale_intensities
        As for `reconstruct_events`.
    output : Path
        DL2 file; appears when it is complete.
    side_files : callable, optional
        Takes the counts and returns files to write beside it, such as the log, or another provenance.

    Raises
    ------
    Sst1mError
        As `reconstruct_events`; `OutputError` if the product cannot be written.
    """
    started, clock = utc_now(), time.monotonic()
    arguments = {"tel_setup": tel_setup, "node": node, "scale_intensities": scale_intensities}
    events = reconstruct_events(dl1, config=config, store=store, **arguments)

    def provenance() -> bytes:
        return provenance_json(
            product=output,
            run={"tel_setup": tel_setup, "simulated": events.simulated},
            inputs=[input_record(dl1)],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=events.info["counts"],
            options={name: str(value) for name, value in arguments.items()},
            calibration={"models": events.info["models"]},
        )

    counts = events.info["counts"]
    side = {side_paths(output)["json"]: provenance} | dict(side_files(counts) if side_files else {})
    with committed(output, validate=check_dl2, side_files=side) as part:
        write_dl2(part, events, dl1=dl1)
    return Dl2Summary(
        path=output,
        n_dl1=counts["n_dl1"],
        n_written=counts["n_written"],
        counts=counts,
        node=events.node,
        node_distance=events.info["models"]["distance"],
        seconds=time.monotonic() - clock,
    )


def reconstruct_files(
    files: Iterable[tuple[Path, Path]],
    *,
    config: AnalysisConfig,
    store: ModelStore,
    tel_setup: TelescopeSetup,
    node: Node | None = None,
    scale_intensities: bool = False,
) -> Iterator[Dl2Summary]:
    """
    Reconstruct many files, such as the runs of a night, with forests that are loaded once.

    Parameters
    ----------
    files : iterable of (dl1, output)
        Inputs and products.
    config, store, tel_setup, node, scale_intensities
        As for `reconstruct_events`.

    Yields
    ------
    Dl2Summary
        Of each file, as soon as it is complete.
    """
    for dl1, output in files:
        yield reconstruct_file(
            dl1,
            output,
            config=config,
            store=store,
            tel_setup=tel_setup,
            node=node,
            scale_intensities=scale_intensities,
        )


def _check_request(config: AnalysisConfig, store: ModelStore, tel_setup: str) -> None:
    data = isinstance(config, DataConfig)
    known = [s for s in SETUPS if s == "stereo" or s.startswith("tel_02") == data]
    if tel_setup not in known:
        raise ConfigError(
            f"{config.path or 'the configuration'} is one of {'data' if data else 'simulations'}, whose "
            f"telescope set-ups are {', '.join(known)}; {tel_setup!r} is none of them"
        )
    if store.stereo != (tel_setup == "stereo"):
        kind = "stereo" if store.stereo else "mono"
        raise ConfigError(f"{store.model_dir} is used as {kind} models, which do not fit {tel_setup}")


def _check_kind(events: Dl1Events, config: AnalysisConfig) -> None:
    if (events.thrown is None) != isinstance(config, DataConfig):
        kinds = ("simulations", "data") if events.thrown is None else ("data", "simulations")
        raise ConfigError(
            f"{config.path or 'the configuration'} is one of {kinds[0]}, {events.path} holds {kinds[1]}; "
            "give the other configuration"
        )


def _choose(
    events: Dl1Events, usable: UsableEvents, config: AnalysisConfig, store: ModelStore, node: Node | None
) -> _Choice:
    """Return checked models; only their node, if it can be known, where there is no event."""
    tel_ids, distance = tuple(events.telescopes), None
    try:
        if node is None:
            nearest = store.nearest(observed_node(events, tel_ids))
            node, distance = nearest.node, nearest.distance
        if len(usable) == 0:
            return _Choice(node, distance, None)
        models = store.load(node, tuple(model_telescope(tel_id) for tel_id in tel_ids))
        models.check_config(config)
    except (DataQualityError, ModelMismatchError):
        if len(usable):
            raise
        return _Choice(None, None, None)
    return _Choice(node, distance, models)


def _showers(
    usable: UsableEvents, choice: _Choice, config: AnalysisConfig, *, simulated: bool
) -> dict[str, Any]:
    def predict(events: TelescopeEvents) -> Mapping[str, Any]:
        if choice.models is None:
            return no_answers()
        models = choice.models.telescopes[model_telescope(events.tel_id)]
        features = {stem: entry.features for stem, entry in models.card.forests.items()}
        return predict_telescope(Forests(models.forests, features), events.columns)

    if len(usable.telescopes) > 1:
        return stereo_showers(usable.telescopes, predict, config, simulated=simulated)
    return mono_showers(usable.telescopes[0], predict, config, simulated=simulated)


def _thrown(events: Dl1Events, config: AnalysisConfig) -> ThrownShowers | None:
    """Return what was thrown above the least energy that the configuration keeps."""
    if events.thrown is None or events.primary_id is None:
        return events.thrown
    return events.thrown.above(minimal_energy_tev(config, events.primary_id))


def _info(
    events: Dl1Events, choice: _Choice, config: AnalysisConfig, counts: dict[str, int]
) -> dict[str, Any]:
    """Return ``/sst1m/info`` of the product."""
    tel_ids = tuple(events.telescopes)
    pointing = mean_pointing(events)
    return {
        "dl1_file": events.path.name,
        "dl1": dict(events.info),
        "node": str(choice.node) if choice.node else None,
        "models": choice.info(),
        "counts": counts,
        "live_time": events.info.get("live_time"),
        "nsb_mhz": night_sky(events.info, tel_ids),
        "mean_pointing": dict(zip(("alt_deg", "az_deg"), pointing, strict=True)) if pointing else None,
        "simulated": bool(events.info.get("simulated")) or events.thrown is not None,
        "tel_ids": tel_ids,
        "config_fingerprint": config.fingerprint(),
    }
