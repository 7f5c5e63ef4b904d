"""An open container, its video stream, and the metadata of its headers.

Runs in the decoding child only: everything here passes untrusted bytes to a C library.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Final

import av
from av.error import FFmpegError

from schemas.choices import MANIFEST_SUFFIXES
from schemas.errors import ContainerError, DecodingError, SourceError
from schemas.records import Segment, StreamMetadata
from transforms.decoding.container_sizes import declared_bytes
from transforms.decoding.stream_choice import choose_stream
from transforms.storage.source_files import (
    MIN_READ_BYTES,
    NoRangesError,
    SourceFile,
    is_local,
    look_up,
    read_head,
)

#: How far past its own frames a segment is usually read: to the next key frame.
_SETTLING_SECONDS: Final = Fraction(1, 4)

_DEFAULT_FPS: Final = Fraction(25)
#: Demuxers that read only the given bytes (no playlists, no image lists).
_CONTAINERS: Final = (
    "3gp,asf,av1,avi,dv,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,matroska,webm,mjpeg,mov,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webm,wtv,"
    "yuv4mpegpipe,wav,mp3,aac,flac,apng,avs2,avs3,bink,cavsvideo,cine,dhav,dirac,dnxhd,evc,"
    "film_cpk,flic,gxf,ipu,jpegxl_anim,live_flv,lxf,mjpeg_2000,mpjpeg,mxg,nsv,nuv,pva,roq,"
    "smjpeg,smk,thp,ty"
)
#: FFmpeg's log message for a known format that is not among those.
_NOT_ALLOWED: Final = "Format not on whitelist"
#: First boxes of MP4 fragments without an initialization segment.
_FRAGMENTS: Final = (b"styp", b"moof", b"sidx", b"prft", b"emsg")
#: A file that begins with so many bytes of text is text.
_TEXT_BYTES: Final = 256
#: Suffixes of FFmpeg's format names for single pictures.
_STILLS: Final = ("_pipe", "image2")


@dataclass(frozen=True, slots=True)
class OpenVideo:
    """An open container with the video stream that was chosen in it.

    container: av.container.InputContainer.
    stream: one of its av.video.stream.VideoStream.
    """

    uri: str
    container: Any
    stream: Any

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of pts."""
        return Fraction(self.stream.time_base)

    @property
    def sample_aspect_ratio(self) -> Fraction:
        """Width over height of a stored pixel."""
        return self.stream.sample_aspect_ratio or Fraction(1)

    def packets(self) -> Iterator[Any]:
        """The packets of the stream, av.packet.Packet, from the current position."""
        return iter(self.container.demux(self.stream))


@contextlib.contextmanager
def open_video(
    uri: str,
    *,
    max_pixels: int | None = None,
    segment: Segment | None = None,
    stream_index: int | None = None,
) -> Iterator[OpenVideo]:
    """Opens a video, with the stream that `segment` or `stream_index` names or the best one.

    Local files are read by FFmpeg itself, everything else through fsspec with read-ahead,
    which ends where `segment` does.

    Raises:
        SourceError: the bytes cannot be reached; NoRangesError, one of its kinds, where a copy
            on a disk could be read.
        ContainerError: they hold no video stream that FFmpeg knows, or not the one asked for.
        DecodingError: its frames have more than `max_pixels` pixels.
    """
    if segment is not None:
        stream_index = segment.metadata.stream_index
    with contextlib.ExitStack() as stack:
        fs, path, info = look_up(uri)
        if info.get("size") == 0:
            raise ContainerError("empty", f"{uri}: the file has no bytes")
        source: Any = f"file:{path}"
        if not is_local(fs):
            if info.get("size") is None or info.get("partial") is False:
                raise NoRangesError.of(uri)
            source = stack.enter_context(contextlib.closing(SourceFile(fs, path, uri, info)))
        container = stack.enter_context(_open_container(uri, source))
        stream = choose_stream(uri, container, stream_index)
        if stream_index is None and len(container.streams.video) > 1:
            index = int(stream.index)
            container.close()  # the choice may have read packets
            if isinstance(source, SourceFile):
                source.seek(0)
            container = stack.enter_context(_open_container(uri, source))
            stream = choose_stream(uri, container, index)
        check_size(uri, stream.codec_context, max_pixels)
        if segment is not None and isinstance(source, SourceFile):
            stop = _stop_byte(container, stream, segment)
            if stop is not None:
                source.expect_stop(stop)
        yield OpenVideo(uri, container, stream)


def _open_container(uri: str, source: Any) -> Any:
    """An av.container.InputContainer."""
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    try:
        return av.open(source, options=options, buffer_size=MIN_READ_BYTES)
    except (FFmpegError, ValueError) as error:
        if isinstance(error, FileNotFoundError | PermissionError) and is_read_error(error):
            raise SourceError("unreadable", f"{uri}: cannot be read: {error}") from error
        refused = _refused_format(source, options)
        if refused is not None and not refused.endswith(_STILLS):
            message = f"{uri}: its format, {refused}, is not supported"
            raise ContainerError("format_refused", message) from error
        brief = getattr(error, "strerror", None) or error
        what = f"FFmpeg knows no video container in it ({brief})"
        head = read_head(uri, _TEXT_BYTES)
        if all(byte >= ord(" ") or byte in b"\t\r\n" for byte in head):
            what += f"; it is text: the name of a manifest ends in {', '.join(MANIFEST_SUFFIXES)}"
        if head[4:8] in _FRAGMENTS:
            what = "it is a media segment (DASH, HLS) without its initialization segment"
        message = f"{uri}: {what}"
        raise ContainerError("not_a_video", message) from error


def is_read_error(error: Exception) -> bool:
    """Whether an error of FFmpeg says that bytes could not be read.

    EPERM (-1) does not: some demuxers return -1 for damaged data, and no read fails with it.
    """
    is_other = isinstance(error, av.error.EOFError) or getattr(error, "errno", None) == errno.EPERM
    return isinstance(error, OSError) and not is_other


def read_stream_metadata(
    opened: OpenVideo, *, first_pts: int | None = None, step_pts: int | None = None
) -> StreamMetadata:
    """The metadata of the stream; nothing is decoded.

    `first_pts` and `step_pts`, measured on packets, take precedence over the header.
    """
    stream = opened.stream
    start_pts = first_pts if first_pts is not None else stream.start_time or 0
    end_pts = _declared_end(opened)
    duration = None if end_pts is None else float(max(0, end_pts - start_pts) * opened.time_base)
    if step_pts is None:
        rate = stream.average_rate or _DEFAULT_FPS
        step_pts = round(1 / (rate * opened.time_base))
    return StreamMetadata(
        codec=stream.codec_context.name,
        pixel_format=stream.codec_context.pix_fmt or "",
        time_base=opened.time_base,
        average_fps=stream.average_rate or None,
        frames_expected=stream.frames or None,
        duration_seconds=duration,
        start_pts=start_pts,
        end_pts=end_pts,
        bytes_missing=_missing_bytes(opened),
        sample_aspect_ratio=opened.sample_aspect_ratio,
        step_pts=max(1, step_pts),
        stream_index=stream.index,
        streams=len(opened.container.streams.video),
    )


def first_packet_at(opened: OpenVideo, pts: int) -> Any | None:
    """The first video packet after seeking back to `pts`, if it is a keyframe."""
    try:
        opened.container.seek(pts, stream=opened.stream, backward=True)
        packet = next(opened.packets(), None)
    except (FFmpegError, IndexError, OverflowError):
        return None
    if packet is None or packet.pts is None or not packet.is_keyframe or packet.is_corrupt:
        return None
    return packet


def _stop_byte(container: Any, stream: Any, segment: Segment) -> int | None:
    """The approximate byte where reading a segment ends; None where it is unknown.

    Interpolated between two entries of the index, else by the share of time.
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


def _declared_end(opened: OpenVideo) -> int | None:
    """The end pts that the container declares for the stream, or for the whole file."""
    stream, container = opened.stream, opened.container
    start = stream.start_time or 0
    if stream.duration:
        return int(start + stream.duration)
    if not container.duration:
        return None
    duration = int(Fraction(container.duration, av.time_base) / opened.time_base)
    # Matroska counts from 0, wherever the first frame is.
    from_zero = container.format.name.startswith("matroska") and duration > start
    return duration if from_zero else int(start + duration)


def _missing_bytes(opened: OpenVideo) -> int:
    """Bytes missing from the declared size; 0 for a whole file or an unknown size."""
    size = opened.container.size
    if size <= 0:
        return 0
    declared = declared_bytes(partial(read_head, opened.uri), opened.stream) or 0
    return max(0, declared - int(size))


def check_size(uri: str, picture: Any, max_pixels: int | None) -> None:
    """Raises DecodingError for a frame, or a codec context, of more than `max_pixels` pixels."""
    if max_pixels is not None and picture.width * picture.height > max_pixels:
        size = f"{picture.width}x{picture.height}"
        message = f"{uri}: frames of {size} pixels, expected at most {max_pixels} in all"
        raise DecodingError("pixel_limit", message)


def _refused_format(source: Any, options: dict[str, str]) -> str | None:
    """FFmpeg's name of a format that our whitelist refused; None if there is none."""
    if isinstance(source, SourceFile):
        source.seek(0)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs, contextlib.suppress(Exception):
            av.open(source, options=options, buffer_size=MIN_READ_BYTES).close()
    finally:
        av.logging.set_level(level)
    return next((name for _, name, text in logs if _NOT_ALLOWED in text), None)
