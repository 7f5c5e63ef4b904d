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
        detector: face detector: default, yunet:ONNX_FILE, or a weights file.
        device: where the landmark network runs: auto, cpu, cuda or cuda:i.
        precision: number format of the landmark network: bfloat16 is for GPUs; int8 takes half the
            time on a CPU and moves landmarks by 0.2 percent of the interocular distance; `evaluate
            landmarks --precision` measures the loss of accuracy.
        compile: compile the landmark network first; takes a minute in every worker and needs a C++
            compiler.
        batch_windows: frame windows per call of the landmark network (default: depends on the
            device and the crop size; for crops of 64 px, 32 on a CPU and 256 on a GPU).
        separate_decode: decode and align on different workers, with a shuffle of the crops in
            between.
        align_accelerator: accelerator of the workers that align, such as
            type:nvidia-l4;count:1;install-nvidia-driver; for runners that read resource hints.
        align_ram: minimum memory of the workers that align, such as 16GB; for runners that read
            resource hints.
        segment_seconds: minimum length of the segments into which videos are cut; the tracks do not
            depend on it.
        stabilizer: one of `STABILIZERS`, or a weights file of `train stabilizer`.
        workers: parallel workers on this machine; by default its cores, up to 8.
        stall_seconds: kill a decoding process that makes no progress for this many seconds.
        overwrite: also annotate finished inputs again.
        retry: annotate the inputs with these reasons again; keep the others.
        max_slowness: maximum seconds of decoding per second of video.
        max_memory_mb: maximum memory of a decoder.
        max_pixels: maximum pixels of a frame.
        stream: index of the video stream to annotate, as FFmpeg counts (stream_index in the videos
            table); default: the stream that a player would show.
        fps: rows for N frames per second only (5, 0.2, 30000/1001): the first frame of each 1/N s,
            with the values that it has in a full run; with `--stabilizer none` the other frames are
            not aligned.
        full_precision: do not round coordinates to 1/64 px; doubles the size of the tracks.
        raw: whether tracks have the network's own landmarks, `x_raw` and `y_raw`.
        compact: after the run, merge the files of many videos into few, as `facetracks compact`
            does.
        allow_protocols: URL protocols that inputs may use; `chain` allows chained URLs.
        limit: only the first N videos.
        require_licence: refuse weights whose cards do not allow this use; the shipped weights are
            for research only.

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
