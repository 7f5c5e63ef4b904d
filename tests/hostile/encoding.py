"""Generated clips, with the values given to their muxer as the expected ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from tests.clips import display_matrix

__all__ = ["Clip", "Recipe", "encode", "flat", "moving"]

#: The offset that a muxer adds to every pts, in seconds; otherwise 0.
_SHIFT_SECONDS: Final = {"mpeg": Fraction(1, 2)}
#: Containers whose first dts is 0, so B-frames shift every pts.
_FROM_DTS: Final = ("flv", "mpeg", "mpegts", "nut")
#: Containers that store no pts (or only some), so a reader computes them.
_WITHOUT_PTS: Final = ("avi", "h264", "hevc", "m4v", "mjpeg", "mpeg1video", "mpeg2video", "obu")
_SPEED: Final[dict[str, dict[str, str]]] = {
    "libx264": {"preset": "ultrafast", "crf": "14", "threads": "1"},
    "libx264rgb": {"preset": "ultrafast", "crf": "14", "threads": "1"},
    "libx265": {"preset": "ultrafast", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "600k"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "b": "600k"},
    "libsvtav1": {"preset": "12", "crf": "30", "svtav1-params": "lp=1"},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a clip is encoded. `at` counts in 1/rate; colours are FFmpeg's names."""

    codec: str = "libx264"
    format: str | None = None
    rate: int = 25
    gop: int = 25
    b_frames: int = 0
    pixel_format: str = "yuv420p"
    rotation_deg: int = 0
    mirrored: bool = False
    aspect: Fraction | None = None
    full_range: bool = False
    matrix: str = "ITU601"
    at: Sequence[int] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    mux: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clip:
    """A written clip. pts and time_base are those that a reader finds in the file."""

    path: Path
    frames: int
    pts: tuple[int, ...] | None  # in display order; None if the container stores none
    time_base: Fraction | None
    width_px: int
    height_px: int


_MATRIX: Final = {"ITU601": 6, "ITU709": 1}


def encode(path: Path, pictures: Iterable[np.ndarray], recipe: Recipe | None = None) -> Clip:
    """Encodes (H, W, 3) uint8 RGB pictures with PyAV."""
    recipe, pictures = recipe or Recipe(), list(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    told: list[tuple[int, int]] = []
    mux = dict(recipe.mux)
    if path.suffix == ".ts":
        mux["mpegts_copyts"] = "1"  # otherwise the muxer adds 1.4 s
    with av.open(str(path), "w", format=recipe.format, options=mux) as container:
        stream = _stream(container, recipe, width, height)

        def write(packets: Iterable[Any]) -> None:
            for packet in packets:
                container.mux(packet)  # converts its times to those of the container
                told.append((packet.pts, packet.dts))

        for number, picture in enumerate(pictures):
            frame = _frame(picture, recipe)
            frame.pts = recipe.at[number] if recipe.at else number
            frame.time_base = Fraction(1, recipe.rate)
            write(stream.encode(frame))
        write(stream.encode(None))
        time_base, muxer = stream.time_base, container.format.name
    if muxer in _WITHOUT_PTS:
        return Clip(path, len(pictures), None, None, width, height)
    shift = int(_SHIFT_SECONDS.get(muxer, Fraction(0)) / time_base)
    if muxer in _FROM_DTS:
        shift -= min(0, *(dts for _, dts in told))
    pts = tuple(sorted(p + shift for p, _ in told))
    return Clip(path, len(pictures), pts, time_base, width, height)


def _stream(container: Any, recipe: Recipe, width: int, height: int) -> Any:
    options = dict(_SPEED.get(recipe.codec, {"b": "1500k"})) | dict(recipe.options)
    if recipe.codec == "libx264":
        told = f"keyint={recipe.gop}:min-keyint={recipe.gop}:scenecut=0:bframes={recipe.b_frames}"
        told = ":".join(filter(None, [told, options.pop("x264-params", "")]))
        options["x264-params"] = told
    if recipe.codec == "libx265":
        told = f"keyint={recipe.gop}:min-keyint={recipe.gop}:scenecut=0:bframes={recipe.b_frames}"
        told += ":log-level=none:pools=1:frame-threads=1"
        told = ":".join(filter(None, [told, options.pop("x265-params", "")]))
        options["x265-params"] = told
    stream = container.add_stream(recipe.codec, rate=recipe.rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, recipe.pixel_format
    context = stream.codec_context
    context.gop_size, context.max_b_frames = recipe.gop, recipe.b_frames
    context.thread_count = 1  # the VP8 encoder's threads can deadlock
    if recipe.aspect is not None:
        context.sample_aspect_ratio = recipe.aspect
    if recipe.pixel_format.startswith("yuv"):
        context.colorspace = _MATRIX[recipe.matrix]
        context.color_range = 2 if recipe.full_range else 1
    if recipe.rotation_deg or recipe.mirrored:
        matrix = display_matrix(recipe.rotation_deg, mirrored=recipe.mirrored)
        stream.set_display_matrix(matrix)
    return stream


def _frame(picture: np.ndarray, recipe: Recipe) -> Any:
    source = av.VideoFrame.from_ndarray(picture, format="rgb24")
    if not recipe.pixel_format.startswith("yuv"):
        return source.reformat(format=recipe.pixel_format)
    span = "JPEG" if recipe.full_range else "MPEG"
    frame = source.reformat(
        format=recipe.pixel_format, dst_colorspace=recipe.matrix, dst_color_range=span
    )
    frame.colorspace = _MATRIX[recipe.matrix]
    frame.color_range = 2 if recipe.full_range else 1
    return frame


def moving(count: int, width: int = 96, height: int = 72) -> list[np.ndarray]:
    """Smooth drifting pictures with some grain, so that coded frames are not tiny."""
    rng = np.random.default_rng(width * height)
    grain = rng.integers(0, 60, (height, width + count, 1))
    y, x = np.mgrid[:height, :width]
    pictures = []
    for i in range(count):
        slow = [90 + 60 * np.sin((x + k * y + 2 * i) / (17 + 4 * k)) for k in range(3)]
        pictures.append(np.stack(slow, -1) + grain[:, i : i + width])
    return [np.clip(p, 0, 255).astype(np.uint8) for p in pictures]


def flat(
    count: int, width: int = 96, height: int = 72, rgb: Sequence[int] = (180, 90, 60)
) -> list[np.ndarray]:
    """Pictures of one colour."""
    return [np.full((height, width, 3), rgb, np.uint8)] * count
