"""The tables of a DL1 file, made by ctapipe's own table writer so that their columns are ctapipe's."""

from collections.abc import Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.time import Time
from ctapipe.containers import (
    CameraHillasParametersContainer,
    CameraTimingParametersContainer,
    ConcentrationContainer,
    Container,
    CoordinateFrameType,
    CoreParametersContainer,
    DL1CameraContainer,
    EventIndexContainer,
    EventType,
    Field,
    IntensityStatisticsContainer,
    LeakageContainer,
    MorphologyContainer,
    ObservationBlockContainer,
    ObservationBlockState,
    ObservingMode,
    PeakTimeStatisticsContainer,
    PointingMode,
    SchedulingBlockContainer,
    SchedulingBlockType,
    TelescopePointingContainer,
    TelescopeTriggerContainer,
    TelEventIndexContainer,
    TriggerContainer,
)
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import HDF5TableWriter
from ctapipe.io.hdf5dataformat import DL0_TEL_POINTING_GROUP
from ctapipe.io.tableio import FixedPointColumnTransform, TelListToMaskTransform

__all__ = [
    "IMAGE_SCALE",
    "PEAK_TIME_SCALE",
    "SUBARRAY_TRIGGER",
    "TELESCOPE_TRIGGER",
    "create_event_tables",
    "create_pointing_table",
    "create_table",
    "images_table",
    "make_empty",
    "observation_blocks",
    "open_table_writer",
    "parameters_table",
    "pointing_table",
    "write_subarray",
    "write_observation_blocks",
]

SUBARRAY_TRIGGER = "/dl1/event/subarray/trigger"
TELESCOPE_TRIGGER = "/dl1/event/telescope/trigger"

#: Images are stored as integers of 1/100 p.e., a hundredth of the electronic noise.
IMAGE_SCALE = 100.0
#: Peak times are stored as integers of 1/100 ns.
PEAK_TIME_SCALE = 100.0

#: ctapipe writes level 5, which takes four times as long for files that are 9 % smaller.
FILTERS = tables.Filters(complevel=1, complib="blosc:zstd", fletcher32=True)
#: Images are mostly noise: on real ones lz4 takes 0.10 ms and 6.6 kB per event, zstd at level 1 0.33 ms and
#: 4.9 kB, at level 5 2.0 ms and 4.6 kB. A raw event takes 0.3 ms to read.
IMAGE_FILTERS = tables.Filters(complevel=1, complib="blosc:lz4", fletcher32=True)


def parameters_table(tel_id: int) -> str:
    """Return the path of the image parameters of a telescope."""
    return f"/dl1/event/telescope/parameters/tel_{tel_id:03d}"


def images_table(tel_id: int) -> str:
    """Return the path of the images of a telescope."""
    return f"/dl1/event/telescope/images/tel_{tel_id:03d}"


def pointing_table(tel_id: int) -> str:
    """Return the path of the pointing of a telescope against time."""
    return f"{DL0_TEL_POINTING_GROUP}/tel_{tel_id:03d}"


class _TimeContainer(Container):
    """Key of a monitoring table."""

    default_prefix = ""
    time = Field(None, "time of the measurement")


def _image_container(subarray: SubarrayDescription, tel_id: int) -> DL1CameraContainer:
    """Return one image of the camera of a telescope, with the types that images have."""
    n_pixels = subarray.tel[tel_id].camera.geometry.n_pixels
    zeros = np.zeros(n_pixels, dtype=np.float32)
    return DL1CameraContainer(
        image=zeros, peak_time=zeros, image_mask=np.zeros(n_pixels, dtype=bool), is_valid=True, prefix=""
    )


def _statistics(container: type[Container]) -> Container:
    """Return image statistics with the single precision that images have."""
    single = {name: np.float32(np.nan) for name in ("max", "min", "mean", "std")}
    return container(**single)


def _parameter_containers() -> list[Container]:
    """Return one row of image parameters with the types that ctapipe's processor gives them."""
    leakage = LeakageContainer(intensity_width_1=np.float32(np.nan), intensity_width_2=np.float32(np.nan))
    return [
        CameraHillasParametersContainer(),
        CameraTimingParametersContainer(),
        leakage,
        ConcentrationContainer(),
        MorphologyContainer(),
        _statistics(IntensityStatisticsContainer),
        _statistics(PeakTimeStatisticsContainer),
        CoreParametersContainer(),
    ]


def make_empty(writer: HDF5TableWriter, path: str, containers: list[Container]) -> tables.Table:
    """Let ctapipe create a table from a sample row of containers, then take the row out."""
    writer.write(path.lstrip("/"), containers)
    table = writer.h5file.get_node("/" + path.lstrip("/"))
    table.flush()
    table.truncate(0)
    return table


def _set_transforms(writer: HDF5TableWriter, subarray: SubarrayDescription) -> None:
    """Store images compactly and telescope lists as masks, as ctapipe's data model allows."""
    writer.add_column_transform(
        SUBARRAY_TRIGGER.lstrip("/"), "tels_with_trigger", TelListToMaskTransform(subarray)
    )
    for column, scale, kind in (("image", IMAGE_SCALE, np.int32), ("peak_time", PEAK_TIME_SCALE, np.int16)):
        transform = FixedPointColumnTransform(
            scale=scale, offset=0, source_dtype=np.float32, target_dtype=np.dtype(kind)
        )
        writer.add_column_transform_regexp("dl1/event/telescope/images/.*", column, transform)
    writer.exclude("/dl1/event/telescope/trigger", "trigger_pixels")
    writer.exclude("/dl1/event/telescope/images/.*", "parameters")


def open_table_writer(path: Path) -> HDF5TableWriter:
    """Open a new HDF5 file through ctapipe's table writer, with the filters of its data model."""
    return HDF5TableWriter(str(path), mode="w", add_prefix=True, filters=FILTERS, chunk_cache_size=0)


def create_event_tables(
    writer: HDF5TableWriter, subarray: SubarrayDescription, tel_ids: tuple[int, ...], *, images: bool
) -> dict[str, tables.Table]:
    """
    Create the empty event tables of ctapipe's DL1 data model.

    Parameters
    ----------
    writer : HDF5TableWriter
        Of the open file.
    subarray : SubarrayDescription
        Its telescopes give the length of ``tels_with_trigger``.
    tel_ids : tuple of int
        Telescopes that get their own tables.
    images : bool
        Whether to make the tables of images.

    Returns
    -------
    dict of str to tables.Table
        By path.
    """
    _set_transforms(writer, subarray)
    time = Time(0, format="unix_tai", scale="tai")
    index = EventIndexContainer(obs_id=np.int64(0), event_id=np.int64(0))
    tel_index = TelEventIndexContainer(obs_id=np.int64(0), event_id=np.int64(0), tel_id=np.int16(tel_ids[0]))
    trigger = TriggerContainer(time=time, tels_with_trigger=[], event_type=EventType.SUBARRAY)
    tel_trigger = TelescopeTriggerContainer(time=time, event_type=EventType.SUBARRAY)
    made = {
        SUBARRAY_TRIGGER: make_empty(writer, SUBARRAY_TRIGGER, [index, trigger]),
        TELESCOPE_TRIGGER: make_empty(writer, TELESCOPE_TRIGGER, [tel_index, tel_trigger]),
    }
    for tel_id in tel_ids:
        path = parameters_table(tel_id)
        made[path] = make_empty(writer, path, [tel_index, *_parameter_containers()])
        if images:
            path = images_table(tel_id)
            writer.filters = IMAGE_FILTERS
            made[path] = make_empty(writer, path, [tel_index, _image_container(subarray, tel_id)])
            writer.filters = FILTERS
    return made


def write_subarray(h5file: tables.File, subarray: SubarrayDescription) -> None:
    """
    Write the description of the array, its cameras numbered in the order of the telescopes.

    ctapipe numbers them in the order of a set, which differs from process to process.
    """
    subarray.to_hdf(h5file)
    layout = h5file.get_node("/configuration/instrument/subarray/layout")
    numbers = list(dict.fromkeys(layout.col("camera_index").tolist()))
    if numbers == sorted(numbers):
        return
    cameras = h5file.get_node("/configuration/instrument/telescope/camera")
    for kind in ("geometry", "readout"):
        for number in numbers:
            h5file.rename_node(cameras, f"old_{kind}_{number}", name=f"{kind}_{number}")
        for new, number in enumerate(numbers):
            h5file.rename_node(cameras, f"{kind}_{new}", name=f"old_{kind}_{number}")
    new_number = {number: new for new, number in enumerate(numbers)}
    layout.modify_column(column=[new_number[n] for n in layout.col("camera_index")], colname="camera_index")
    layout.flush()


def create_pointing_table(writer: HDF5TableWriter, tel_id: int) -> tables.Table:
    """Create the empty table of the pointing of a telescope against time."""
    time = _TimeContainer(time=Time(0, format="unix_tai", scale="tai"))
    pointing = TelescopePointingContainer(azimuth=np.nan * u.rad, altitude=np.nan * u.rad, prefix="")
    return make_empty(writer, pointing_table(tel_id), [time, pointing])


def observation_blocks(
    *, obs_id: int, ra_deg: float, dec_deg: float, start: Time, duration_s: float
) -> tuple[SchedulingBlockContainer, ObservationBlockContainer]:
    """
    Describe the run as one scheduling and observation block that tracks a position on the sky.

    Parameters
    ----------
    obs_id : int
        Date and run number in one integer, ``YYYYMMDDNNNN``.
    ra_deg, dec_deg : float
        ICRS position of the optical axis [deg].
    start : Time
        Time of the first event.
    duration_s : float
        From the first event to the last [s].
    """
    scheduling = SchedulingBlockContainer(
        sb_id=np.uint64(obs_id),
        sb_type=SchedulingBlockType.OBSERVATION,
        producer_id="SST1M",
        observing_mode=ObservingMode.WOBBLE,
        pointing_mode=PointingMode.TRACK,
    )
    observation = ObservationBlockContainer(
        obs_id=np.uint64(obs_id),
        sb_id=np.uint64(obs_id),
        producer_id="SST1M",
        state=ObservationBlockState.COMPLETED_SUCCEDED,
        subarray_pointing_lon=np.float64(ra_deg) * u.deg,
        subarray_pointing_lat=np.float64(dec_deg) * u.deg,
        subarray_pointing_frame=CoordinateFrameType.ICRS,
        scheduled_duration=np.nan * u.min,
        scheduled_start_time=start,
        actual_start_time=start,
        actual_duration=(duration_s * u.s).to(u.min),
    )
    return scheduling, observation


def write_observation_blocks(
    writer: HDF5TableWriter, scheduling: SchedulingBlockContainer, observation: ObservationBlockContainer
) -> None:
    """Write what `observation_blocks` describes."""
    writer.write("configuration/observation/scheduling_block", scheduling, time_format="mjd")
    writer.write("configuration/observation/observation_block", observation, time_format="mjd")


def create_table(
    h5file: tables.File, path: str, dtype: np.dtype, columns: Mapping[str, tuple[str, str]]
) -> tables.Table:
    """
    Create a table of our own with units and descriptions that ctapipe's reader understands.

    Parameters
    ----------
    h5file : tables.File
        Open for writing.
    path : str
        Where the table stands.
    dtype : numpy.dtype
        Of a row.
    columns : mapping of str to (unit, description)
        For each column; an empty unit means a pure number.
    """
    group, name = path.rsplit("/", 1)
    table = h5file.create_table(group, name, description=dtype, filters=FILTERS, createparents=True)
    for position, column in enumerate(dtype.names or ()):
        unit, description = columns[column]
        table.attrs[f"CTAFIELD_{position}_NAME"] = column
        table.attrs[f"CTAFIELD_{position}_DESC"] = description
        if unit:
            table.attrs[f"CTAFIELD_{position}_TRANSFORM"] = "quantity"
            table.attrs[f"CTAFIELD_{position}_UNIT"] = unit
    return table
