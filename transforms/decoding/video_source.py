"""Videos as FFmpeg sees them: opening, planning seeks, and frames that survive bad packets.

Runs in the decoding child only: everything here hands untrusted bytes to a C library.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from models.timestamps import PtsCounter
from schemas.errors import ContainerError, DecodingError, SourceError
from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.container_sizes import HEAD_BYTES, declared_bytes
from transforms.decoding.lost_frames import LostFrames
from transforms.storage.source_files import (
    LEAST_READ_BYTES,
    SourceFile,
    is_local,
    look_up,
    read_head,
)

__all__ = ["OVERHANG_SECONDS", "FrameStream", "open_video", "plan_segments", "read_stream_metadata"]

#: A segment owns frames from this long after its keyframe: links between detections reach
#: LINK_SECONDS back, a window's neighbours WINDOW_SECONDS further.
OVERHANG_SECONDS: Final = Fraction(3, 4)

#: How far past its own frames a segment is read, mostly: to the next key frame.
_SETTLING_SECONDS: Final = Fraction(1, 4)

#: Containers without an index.
_BISECTED: Final = ("mpegts", "mpeg")
#: Demuxers that open nothing but the bytes they are given (no playlists, no image lists).
_CONTAINERS: Final = (
    "3gp,asf,av1,avi,dv,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,matroska,webm,mjpeg,mov,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webm,wtv,"
    "yuv4mpegpipe,wav,mp3,aac,flac"
)


@contextlib.contextmanager
def open_video(
    uri: str, *, max_pixels: int | None = None, segment: Segment | None = None
) -> Iterator[tuple[Any, Any]]:
    """Opens a video and yields (container, first video stream).

    Local files are read by FFmpeg itself, everything else through fsspec with read-ahead,
    which ends where `segment` does.

    Raises:
        SourceError: the bytes cannot be reached.
        ContainerError: they hold no video stream that FFmpeg knows.
        DecodingError: its frames have more than `max_pixels` pixels.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    with contextlib.ExitStack() as stack:
        fs, path, info = look_up(uri)
        if info.get("size") == 0:
            raise ContainerError("empty", f"{uri}: the file has no bytes")
        source: Any = f"file:{path}"
        if not is_local(fs):
            source = stack.enter_context(contextlib.closing(SourceFile(fs, path, uri, info)))
        try:
            container = stack.enter_context(
                av.open(source, options=options, buffer_size=LEAST_READ_BYTES)
            )
        except (FileNotFoundError, PermissionError) as error:
            raise SourceError("unreadable", f"{uri}: cannot be read: {error}") from error
        except (FFmpegError, ValueError) as error:
            message = f"{uri}: FFmpeg knows no video container in it ({_brief(error)})"
            raise ContainerError("not_a_video", message) from error
        streams = [s for s in container.streams.video if not _is_cover_picture(s)]
        if not streams:
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
            message = f"{uri}: no video stream; the streams it has: {kinds}"
            raise ContainerError("no_video_stream", message)
        if streams[0].codec_context is None:
            raise ContainerError("not_a_video", f"{uri}: no decoder for its video stream")
        _check_size(uri, streams[0].codec_context, max_pixels)
        if segment is not None and isinstance(source, SourceFile):
            stop = _stop_byte(container, streams[0], segment)
            if stop is not None:
                source.expect_stop(stop)
        yield container, streams[0]


def read_stream_metadata(
    stream: Any, duration_seconds: float | None = None, bytes_missing: int = 0
) -> StreamMetadata:
    """What the container says of its stream; nothing is decoded."""
    return StreamMetadata(
        codec=stream.codec_context.name,
        pixel_format=stream.codec_context.pix_fmt or "",
        time_base=stream.time_base,
        average_fps=stream.average_rate or None,
        frames_expected=stream.frames or None,
        duration_seconds=duration_seconds,
        start_pts=stream.start_time or 0,
        end_pts=_declared_end(stream),
        bytes_missing=bytes_missing,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
    )


def plan_segments(
    video: Video,
    container: Any,
    stream: Any,
    segment_seconds: float,
    *,
    counts_frames: bool = False,
) -> list[Segment]:
    """Cuts a video at keyframes at least `segment_seconds` apart, reading one packet a cut.

    Seeks to a grid of times and looks at the first packet there. A grid point that does
    not lead to a keyframe gives no cut, so a container that cannot seek truthfully (a raw
    stream, an unknown duration, a broken index) stays one segment. So does a video whose
    frames must be counted (`counts_frames`): only who decodes them all knows their number.
    """
    start, end = _time_range(video, container, stream)
    duration = None if end is None else max(0.0, end - start)
    metadata = read_stream_metadata(stream, duration, _missing_bytes(video.uri, container, stream))
    time_base = metadata.time_base
    keyframes: list[int] = []
    places = 4 if end is None else min(32, 4 + int((end - start) / segment_seconds))
    sound = _times_rise(container, stream, places)
    if end is not None and sound and not counts_frames:
        last = start
        goal = start + segment_seconds
        while goal < end:
            pts = _keyframe_before(container, stream, round(goal / time_base))
            if pts is not None and pts * time_base - last >= segment_seconds:
                keyframes.append(pts)
                last = float(pts * time_base)
            goal = max(goal, last) + segment_seconds
    overhang = int(OVERHANG_SECONDS / time_base)
    first = None
    if video.start_seconds and sound:
        first = _keyframe_before(container, stream, int(video.start_seconds / time_base))
    seeks = [first, *keyframes]
    owned = [None, *(pts + overhang for pts in keyframes), None]
    return [
        Segment(video, metadata, i, len(seeks), seek, owned[i], owned[i + 1])
        for i, seek in enumerate(seeks)
    ]


@dataclass(slots=True)
class FrameStream:
    """The frames of a segment in display order, with strictly increasing pts.

    Packets are decoded one by one: what a bad one held is lost and counted, the rest is
    saved. Frames before the keyframe that was sought, or outside the video's
    [start_seconds, stop_seconds), are left out; so are those before the last one that is
    OVERHANG_SECONDS before the segment's own: nothing of its own depends on them, unless
    boxes are given, perhaps by frame number.
    """

    segment: Segment
    container: Any
    stream: Any
    threads: int = 1
    max_pixels: int | None = None
    _lost: LostFrames = field(init=False)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yields (pts, av.VideoFrame).

        Raises DecodingError where the source fails while it is being read.
        """
        segment, metadata = self.segment, self.segment.metadata
        context = self.stream.codec_context
        context.thread_count = self.threads
        context.thread_type = "SLICE" if self.threads == 1 else "FRAME"
        low, high = segment.video.start_seconds, segment.video.stop_seconds
        counter = PtsCounter(metadata.time_base, metadata.average_fps)
        self._lost = LostFrames(segment, self.container.format.name, counter.step)
        stop_pts, started = None, segment.seek_pts is None
        warm_up_pts = None
        if segment.own_start_pts is not None and segment.video.boxes_uri is None:
            warm_up_pts = segment.own_start_pts - int(OVERHANG_SECONDS / metadata.time_base)
        before: tuple[int, Any] | None = None
        for frame in self._decoded():
            _check_size(segment.video.uri, frame, self.max_pixels)
            if not started and (frame.pts is None or frame.pts < (segment.seek_pts or 0)):
                continue  # leading frames of an open GOP: the segment before owns them
            started = True
            pts = counter.next(frame.pts)
            self._lost.frame_shown(pts)
            stop_pts = pts + counter.step
            seconds = pts * metadata.time_base
            if high is not None and seconds >= high:
                return
            if low is not None and seconds < low:
                continue
            if warm_up_pts is not None and pts <= warm_up_pts:
                before = pts, frame
                continue
            if before is not None:
                yield before
                before = None
            yield pts, frame
        if before is not None:
            yield before
        self._lost.end(stop_pts)

    def take_losses(self, before_pts: int | None = None) -> tuple[int, npt.NDArray[np.int64]]:
        """What is known to be lost of owned frames before a pts, or of all; each but once.

        Once a frame has come, all is known of those before it. Returns how many packets
        were rejected or decoded in part, and (L, 2) int64: [start, stop) of lost frames.
        """
        return self._lost.take(before_pts)

    def _decoded(self) -> Iterator[Any]:
        for packet in self._packets():
            self._lost.packet_in(packet)
            try:
                for frame in packet.decode():
                    self._lost.frame_out(frame)
                    yield frame
            except FFmpegError:
                self._lost.packet_rejected(packet)

    def _packets(self) -> Iterator[Any]:
        seek_pts = self.segment.seek_pts
        if seek_pts is not None:
            first = _first_packet_at(self.container, self.stream, seek_pts)
            if first is None or first.pts != seek_pts:
                # The container did not lead here a second time: read from the beginning.
                self.container.seek(0, stream=self.stream)
            else:
                yield first
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):
                return  # PyAV raises IndexError for a stream that appears midway
            except FFmpegError as error:
                if isinstance(error, OSError) and not isinstance(error, av.error.EOFError):
                    uri = self.segment.video.uri
                    message = f"{uri}: reading stopped midway: {_brief(error)}"
                    raise DecodingError("unreadable", message) from error
                self._lost.reading_failed()
                return
            yield packet


def _stop_byte(container: Any, stream: Any, segment: Segment) -> int | None:
    """About where in the file reading a segment ends; None where nothing tells.

    Between two entries of the index, where it reaches so far, else by the share of time.
    """
    metadata = segment.metadata
    if segment.own_stop_pts is None or container.size <= 0:
        return container.size if container.size > 0 else None
    stop_pts = segment.own_stop_pts + int(_SETTLING_SECONDS / metadata.time_base)
    entries = stream.index_entries
    after = entries.search_timestamp(stop_pts, backward=False, any_frame=True)
    if after > 0:
        low, high = entries[after - 1], entries[after]
        ends = (low.timestamp, low.pos), (high.timestamp, high.pos)
    elif metadata.end_pts is not None and metadata.end_pts > metadata.start_pts:
        ends = (metadata.start_pts, 0), (metadata.end_pts, container.size)
    else:
        return None
    (start_pts, start), (end_pts, end) = ends
    share = (stop_pts - start_pts) / max(1, end_pts - start_pts)
    return int(start + share * (end - start))


def _first_packet_at(container: Any, stream: Any, pts: int) -> Any | None:
    """The first video packet after seeking back to `pts`, if it is a keyframe."""
    try:
        container.seek(pts, stream=stream, backward=True)
        packet = next(container.demux(stream), None)
    except (FFmpegError, IndexError):
        return None
    if packet is None or packet.pts is None or not packet.is_keyframe or packet.is_corrupt:
        return None
    return packet


def _keyframe_before(container: Any, stream: Any, pts: int) -> int | None:
    packet = _first_packet_at(container, stream, pts)
    return None if packet is None else int(packet.pts)


def _time_range(video: Video, container: Any, stream: Any) -> tuple[float, float | None]:
    """The part of the video to annotate, in seconds, as far as the headers tell."""
    start = float((stream.start_time or 0) * stream.time_base)
    end = None
    if stream.duration:
        end = start + float(stream.duration * stream.time_base)
    elif container.duration:
        end = start + container.duration / av.time_base
    if video.start_seconds is not None:
        start = max(start, video.start_seconds)
    if video.stop_seconds is not None and end is not None:
        end = min(end, video.stop_seconds)
    return start, end


def _declared_end(stream: Any) -> int | None:
    """Where the container says that the stream, or all of it, ends."""
    start = stream.start_time or 0
    if stream.duration:
        return int(start + stream.duration)
    if stream.container.duration:
        return int(start + Fraction(stream.container.duration, av.time_base) / stream.time_base)
    return None


def _times_rise(container: Any, stream: Any, places: int) -> bool:
    """Whether times rise with the bytes, where seeks look for times by bisecting bytes.

    Recordings joined end to end start their times again; a seek would land in either.
    """
    if container.format.name not in _BISECTED or container.size <= 0:
        return True
    times: list[int] = []
    with contextlib.suppress(FFmpegError, IndexError):
        for place in range(places):
            container.seek(container.size * place // places, unsupported_byte_offset=True)
            times += [p.pts for p in itertools.islice(_with_pts(container, stream), 1)]
        container.seek(0, unsupported_byte_offset=True)  # as it was
    return len(times) == places and times == sorted(times)


def _with_pts(container: Any, stream: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(stream) if packet.pts is not None)


def _missing_bytes(uri: str, container: Any, stream: Any) -> int:
    """Bytes that the file lacks by its own account; 0 where it is whole, or does not tell."""
    declared = declared_bytes(read_head(uri, HEAD_BYTES), stream)
    return max(0, (declared or 0) - container.size) if container.size > 0 else 0


def _check_size(uri: str, picture: Any, max_pixels: int | None) -> None:
    if max_pixels is not None and picture.width * picture.height > max_pixels:
        size = f"{picture.width}x{picture.height}"
        message = f"{uri}: frames of {size} pixels, expected at most {max_pixels} in all"
        raise DecodingError("pixel_limit", message)


def _is_cover_picture(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _brief(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
