"""Writes H.264 video frame by frame at given timestamps, with the sound of a source beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from schemas.errors import UsageError
from schemas.records import StreamMetadata
from transforms.decoding.video_source import OpenVideo

#: File suffix -> FFmpeg's name of the container.
CONTAINERS: Final = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: x264's constant rate factor; lower is better and larger.
_CRF: Final = "20"
_BT709: Final = 1
_LIMITED_RANGE: Final = 1
_LONGEST_RATE: Final = 1001
#: Tags of a container that say how it was written, not what it holds.
_OF_THE_FILE: Final = frozenset(
    ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")
)


class VideoWriter:
    """An open file of one H.264 stream and, where asked for, the sound of another file.

        with VideoWriter(path, ".mp4", metadata, 640, 480) as out:
            out.write(pts, image)                    # (480, 640, 3) uint8 RGB

    Timestamps and their unit are those of the source, so a variable rate stays in sync.

    Args:
        path: the file; its name does not select the format.
        suffix: one of `CONTAINERS`.
        source: the stream whose time base and usual rate are taken over.
        width_px, height_px: even.
        pixel_aspect: width over height of a pixel.
        sound: an open file, nothing of it read, whose audio packets are copied as they are,
            with its title and other metadata; not its other streams (pictures, data).
        range_pts: [start, stop) of the video's stream to which the sound is cut, or None.
        shift_pts: what is taken from the timestamps of frames and sound; None: nothing, but a video
            that starts before 0 starts at 0, because players leave out what comes before.

    Raises UsageError: the container cannot hold the sound.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        source: StreamMetadata,
        width_px: int,
        height_px: int,
        *,
        pixel_aspect: Fraction = Fraction(1),
        sound: OpenVideo | None = None,
        range_pts: tuple[int | None, int | None] = (None, None),
        shift_pts: int | None = None,
    ) -> None:
        self._source, self._suffix = source, suffix
        self._shift_pts = min(0, source.start_pts) if shift_pts is None else shift_pts
        # Sound may begin before 0; by default everything would be shifted until it does not.
        options = {"avoid_negative_ts": "disabled"}
        self._out: Any = av.open(str(path), "w", format=CONTAINERS[suffix], options=options)
        self._stream = _video_stream(self._out, source, width_px, height_px, pixel_aspect)
        self._packets: Iterator[tuple[Fraction, Any]] = iter(())
        self._waiting: tuple[Fraction, Any] | None = None
        if sound is not None:
            self._copy_sound(sound, range_pts)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        failed = error[0] is not None
        try:
            if not failed:
                self._out.mux(self._stream.encode(None))
                self._mux_sound(None)
        finally:
            with contextlib.suppress(FFmpegError) if failed else contextlib.nullcontext():
                self._out.close()

    def write(self, pts: int, image: npt.NDArray[np.uint8]) -> None:
        """Adds a frame, (height_px, width_px, 3) uint8 RGB; `pts` rises from call to call."""
        time_base = self._source.time_base
        frame = bt709_frame(image)
        frame.pts, frame.time_base = pts - self._shift_pts, time_base
        self._mux_sound(pts * time_base)
        self._out.mux(self._stream.encode(frame))

    def _copy_sound(self, sound: OpenVideo, range_pts: tuple[int | None, int | None]) -> None:
        self._out.metadata.update(_kept_tags(sound.container.metadata))
        inputs = list(sound.container.streams.audio)
        name = CONTAINERS[self._suffix]
        copies = {}
        try:
            for stream in inputs:
                copy = copies[stream.index] = self._out.add_stream_from_template(stream)
                copy.metadata.update(_kept_tags(stream.metadata))
            self._out.start_encoding()
        except (FFmpegError, ValueError) as error:
            codecs = ", ".join(sorted({s.codec_context.name for s in inputs}))
            raise UsageError(
                f"{sound.uri}: its sound ({codecs}) cannot be copied into {name}; "
                "expected a name that ends in .mkv"
            ) from error
        if inputs:
            low, high = (None if pts is None else pts * sound.time_base for pts in range_pts)
            shift = self._shift_pts * sound.time_base
            self._packets = _sound_packets(sound.container, inputs, copies, (low, high), shift)
            self._waiting = next(self._packets, None)

    def _mux_sound(self, until_seconds: Fraction | None) -> None:
        """Copies what sounds before a time, or all that is left."""
        while self._waiting is not None:
            at, packet = self._waiting
            if until_seconds is not None and at > until_seconds:
                return
            self._out.mux_one(packet)
            self._waiting = next(self._packets, None)


def _video_stream(
    out: Any, source: StreamMetadata, width_px: int, height_px: int, aspect: Fraction
) -> Any:
    rate = (1 / (source.step_pts * source.time_base)).limit_denominator(_LONGEST_RATE)
    stream = out.add_stream("libx264", rate=max(rate, Fraction(1, _LONGEST_RATE)))
    stream.width, stream.height = width_px, height_px
    stream.options = {"crf": _CRF, "preset": "veryfast", "threads": "2"}
    stream.time_base = stream.codec_context.time_base = source.time_base
    declare_bt709(stream)
    if aspect != 1:
        stream.codec_context.sample_aspect_ratio = aspect.limit_denominator(255)
    return stream


def declare_bt709(stream: Any) -> None:
    """Makes a stream one of `bt709_frame`s, and its file say so."""
    context = stream.codec_context
    context.pix_fmt = "yuv420p"
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LIMITED_RANGE


def bt709_frame(image: npt.NDArray[np.uint8]) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB as a frame in BT.709: yuv420p, limited range."""
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
    )


def _sound_packets(
    container: Any,
    inputs: list[Any],
    copies: dict[int, Any],
    range_seconds: tuple[Fraction | None, Fraction | None],
    shift_seconds: Fraction,
) -> Iterator[tuple[Fraction, Any]]:
    """(seconds in the source, packet) of the sound in a range, up to where reading fails.

    Where times start again (recordings joined end to end) they go on instead, as those of the
    frames do.
    """
    low, high = range_seconds
    last = dict.fromkeys(copies, None)
    added = dict.fromkeys(copies, 0)
    open_ends = set(copies)
    if low is not None and low > 1:
        with contextlib.suppress(FFmpegError):
            container.seek(int((low - 1) * 1_000_000))
    packets = container.demux(inputs)
    while open_ends:
        try:
            packet = next(packets)
        except (StopIteration, IndexError, FFmpegError):
            return
        if packet.dts is None or not packet.size:
            continue
        at, index = packet.dts * packet.time_base, packet.stream.index
        if low is not None and at < low:
            continue
        if high is not None and at >= high:
            open_ends.discard(index)
            continue
        before = last[index]
        if before is not None and packet.dts + added[index] <= before:
            added[index] = before + max(1, packet.duration or 1) - packet.dts
        last[index] = packet.dts + added[index]
        moved = added[index] - round(shift_seconds / packet.time_base)
        if packet.pts is not None:
            packet.pts += moved
        packet.dts += moved
        packet.stream = copies[index]
        yield at, packet


def _kept_tags(tags: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in tags.items() if name.lower() not in _OF_THE_FILE}
