"""The settings of `annotate`: the command's options by name, with their defaults."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from models.devices import check_device_name
from models.frame_ticks import as_rate
from schemas.choices import PRECISIONS, STABILIZERS, USES
from schemas.errors import UsageError, WeightsError
from schemas.reasons import REASONS
from schemas.tracks import TrackFormat

#: Protocols that inputs may use unless the user says otherwise. `chain` would allow `::`.
ALLOWED_PROTOCOLS: Final = tuple(
    "file http https s3 gs gcs abfs abfss az adl hdfs hf memory".split()  # noqa: SIM905
)
_MAX_DEFAULT_WORKERS: Final = 8
#: Settings that are whole numbers -> the least value.
_MINIMUM: Final = {
    **dict.fromkeys(("batch_windows", "workers", "max_memory_mb", "max_pixels", "limit"), 1),
    "stream": 0,
}
_CHOICES: Final = {"precision": PRECISIONS, "require_licence": USES}


def _default_workers() -> int:
    return max(1, min(_MAX_DEFAULT_WORKERS, os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class AnnotateSettings:
    """The settings of `annotate` and `AnnotateVideos`; each field is an option of the command.

    Attributes:
        weights: landmark weights: `fast`, `accurate`, a weights file, or a network exported by
            torch with its JSON card beside it. None is `fast`.
        detector: `default`, `yunet:ONNX_FILE` or a weights file.
        device: where the landmark network runs: auto, cpu, cuda or cuda:i.
        precision: float32, bfloat16 or int8, the landmark network's numbers.
        compile: compile the landmark network in every worker first.
        batch_windows: frame windows in a call of the landmark network; None is what suits the
            device: for crops of 64 px, 32 on a CPU and 256 on a GPU.
        separate_decode: decode and align on different workers; crops cross a shuffle.
        align_accelerator: Beam's resource hint `accelerator` for the workers that align.
        align_ram: Beam's resource hint `min_ram` for the workers that align.
        segment_seconds: videos are cut in segments at least this long, in seconds.
        stabilizer: one of `STABILIZERS`, or a weights file of `train stabilizer`.
        workers: parallel workers on this machine; by default its cores, up to 8.
        stall_seconds: a decoder that reports no progress for so long is killed.
        overwrite: annotate again what is done.
        retry: reasons; videos that ended for one of them are annotated again.
        max_slowness: seconds that decoding may take a second of video.
        max_memory_mb: memory that a decoding process may take, in MB.
        max_pixels: pixels that a frame may have.
        stream: index of the stream to annotate, as FFmpeg counts the streams of a file; None is
            the one that a player would show.
        fps: rows of the first frame of every 1/fps seconds only, counted from the video's first
            pts; a number, or a text like "30000/1001". None is of every frame.
        full_precision: coordinates as they were computed; otherwise they are rounded to 1/64 px,
            and track files take half the room.
        raw: whether tracks have the network's own landmarks, `x_raw` and `y_raw`.
        compact: put the files of many videos into few when the run has ended, as `compact` does.
        allow_protocols: URL protocols that inputs may use; `chain` allows chained URLs.
        limit: only the first `limit` videos; None is all.
        require_licence: `commercial` refuses weights whose cards do not allow commercial use; None
            takes any.

    Raises:
        UsageError: a value that the option of that name would refuse.
    """

    weights: str | None = None
    detector: str = "default"
    device: str = "auto"
    precision: str = PRECISIONS[0]
    compile: bool = False
    batch_windows: int | None = None
    separate_decode: bool = False
    align_accelerator: str | None = None
    align_ram: str | None = None
    segment_seconds: float = 10.0
    stabilizer: str = "rts"
    workers: int = field(default_factory=_default_workers)
    stall_seconds: float = 60.0
    overwrite: bool = False
    retry: Collection[str] = frozenset()
    max_slowness: float = 60.0
    max_memory_mb: int = 4096
    max_pixels: int = 50_000_000
    stream: int | None = None
    fps: float | str | Fraction | None = None
    full_precision: bool = False
    raw: bool = True
    compact: bool = False
    allow_protocols: Collection[str] = ALLOWED_PROTOCOLS
    limit: int | None = None
    require_licence: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            try:
                _check(name, value)
            except (ValueError, WeightsError) as error:
                raise UsageError(f"{name}: {error}") from error
        if Path(self.stabilizer).is_file() and self.stabilizer not in STABILIZERS:
            object.__setattr__(self, "stabilizer", str(Path(self.stabilizer).absolute()))
        object.__setattr__(self, "retry", frozenset(self.retry))

    @property
    def frame_rate(self) -> Fraction | None:
        """`fps`, exact."""
        return None if self.fps is None else as_rate(self.fps)

    @property
    def track_format(self) -> TrackFormat:
        """How much of a row the track files keep."""
        return TrackFormat(self.full_precision, self.raw)

    @property
    def align_hints(self) -> dict[str, str]:
        """The resource hints of AlignFaces."""
        hints = {"accelerator": self.align_accelerator, "min_ram": self.align_ram}
        return {name: value for name, value in hints.items() if value is not None}


def _check(name: str, value: object) -> None:
    """Raises ValueError or WeightsError for a value that the setting cannot have."""
    if value is None and AnnotateSettings.__dataclass_fields__[name].default is None:
        return
    if name in _MINIMUM:
        if not isinstance(value, int) or value < _MINIMUM[name]:
            raise ValueError(f"got {value!r}, expected a whole number from {_MINIMUM[name]} up")
    elif name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"got {value!r}, expected one of {', '.join(_CHOICES[name])}")
    elif name in ("segment_seconds", "stall_seconds", "max_slowness"):
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"got {value!r}, expected a number above 0")
    elif name == "fps":
        as_rate(value)
    elif name == "device":
        check_device_name(str(value))
    elif name == "retry":
        _check_reasons(value)
    # What checks these takes seconds to import; names of stabilizers need no check.
    elif name == "stabilizer" and value not in STABILIZERS:
        from models.stabilization.stabilizers import stabilizer_factory

        stabilizer_factory(str(value))
    elif name in ("align_accelerator", "align_ram"):
        from apache_beam.transforms.resources import parse_resource_hints

        hint = "accelerator" if name == "align_accelerator" else "min_ram"
        parse_resource_hints({hint: str(value)})


def _check_reasons(value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ValueError(f"got {value!r}, expected a set of reasons")
    if unknown := sorted(set(value) - set(REASONS)):
        raise ValueError(f"got {', '.join(unknown)}, expected some of {', '.join(REASONS)}")
