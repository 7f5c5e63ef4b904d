"""The frames of a segment, decoded packet by packet: a bad packet loses its own frames only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import av
from av.error import FFmpegError

from models.frame_pixels import Orientation, StoredPlanes, frame_orientation
from models.timestamps import PtsCounter
from schemas.errors import ContainerError, DecodingError
from schemas.records import Segment
from transforms.decoding.lost_frames import LostFrames
from transforms.decoding.packet_content import starts_decoding
from transforms.decoding.reach import OVERHANG_SECONDS
from transforms.decoding.video_source import (
    OpenVideo,
    check_size,
    first_packet_at,
    is_read_error,
)

#: Limits of the search for the first keyframe: some streams have none.
_MAX_LEADING_PACKETS: Final = 600
_MAX_LEADING_BYTES: Final = 32 << 20
#: A rest of this size at the end of a file is no picture: the final boundary of a multipart stream.
_MAX_TRAILER_BYTES: Final = 128
#: FFmpeg's limit for the header of a Y4M's frame.
_Y4M_HEADER_BYTES: Final = 80


@dataclass(slots=True)
class FrameStream:
    """The frames of a segment in display order, with strictly increasing pts.

    Packets are decoded one by one: the frames of a bad one are lost and counted, the others kept.
    Frames before the keyframe of the seek, or outside the video's [start_seconds, stop_seconds),
    are left out. So are those more than OVERHANG_SECONDS before the segment's own, except the last:
    no own frame depends on them, unless boxes are given, possibly by frame number.
    An orientation holds until another one: H.264 and HEVC may state it with some frames only.
    `lost` tells which frames are missing.
    """

    segment: Segment
    opened: OpenVideo
    max_pixels: int | None = None
    lost: LostFrames = field(init=False)

    def __post_init__(self) -> None:
        self.lost = LostFrames(self.segment, self.opened.container.format.name)

    def __iter__(self) -> Iterator[tuple[int, StoredPlanes]]:
        """Yields (pts, StoredPlanes).

        Raises DecodingError if reading the source fails.
        """
        segment, metadata = self.segment, self.segment.metadata
        self.opened.stream.codec_context.thread_count = 1
        low_pts, high_pts = segment.range_pts
        last_pts = warm_up_pts = None
        if segment.own_start_pts is not None and segment.video.boxes_uri is None:
            warm_up_pts = segment.own_start_pts - int(OVERHANG_SECONDS / metadata.time_base)
        before: tuple[int, Any, Orientation] | None = None
        orientation: Orientation = (0, False)
        in_range = False
        for pts, frame in self._decoded():
            last_pts = pts
            self.lost.frame_shown(pts, frame)
            stored = frame_orientation(frame)
            orientation = orientation if stored is None else stored
            if high_pts is not None and pts >= high_pts:
                break
            if low_pts is not None and pts < low_pts:
                continue
            in_range = True
            if warm_up_pts is not None and pts <= warm_up_pts:
                before = pts, frame, orientation
                continue
            if before is not None:
                yield before[0], StoredPlanes.of(*before[1:])
                before = None
            yield pts, StoredPlanes.of(frame, orientation)
        else:
            self.lost.end(None if last_pts is None else last_pts + metadata.step_pts)
        if before is not None:
            yield before[0], StoredPlanes.of(*before[1:])
        if last_pts is not None and not in_range and segment.own_start_pts is None:
            raise ContainerError("empty_range", self._outside(last_pts))

    def _outside(self, last_pts: int) -> str:
        """Why no frame is in the video's range; `last_pts` is the last one that was read."""
        video, metadata = self.segment.video, self.segment.metadata
        start, stop = video.start_seconds or 0.0, video.stop_seconds
        asked = f"from {start:g} s on" if stop is None else f"in [{start:g}, {stop:g}) s"
        at = float((last_pts - metadata.start_pts) * metadata.time_base)
        return f"{video.uri}: no frame {asked}; the last one read is at {at:.3f} s"

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        segment = self.segment
        metadata = segment.metadata
        counter, waiting = PtsCounter(metadata.step_pts, metadata.start_pts), list[Any]()
        start_pts, started = segment.seek_pts or 0, segment.seek_pts is None
        for packet in self._from_first_keyframe():
            self.lost.packet_in(packet)
            if not packet.is_discard and (started or (packet.pts or 0) >= start_pts):
                counter.packet_in(packet.pts)
            try:
                for frame in packet.decode():
                    check_size(segment.video.uri, frame, self.max_pixels)
                    if not started and (frame.pts is None or frame.pts < start_pts):
                        continue  # leading frames of an open GOP: the segment before owns them
                    started = True
                    waiting.append(frame)
                    timed = counter.frame_out(frame.pts)
                    yield from zip(timed, waiting, strict=False)
                    del waiting[: len(timed)]
            except FFmpegError:
                self.lost.packet_rejected(packet)
        yield from zip(counter.end(), waiting, strict=True)

    def _from_first_keyframe(self) -> Iterator[Any]:
        """The packets from the first keyframe on; all packets if none is near.

        Earlier packets lack their references: some decoders output grey, others fail for good.
        """
        # An empty packet repeats the previous picture; to a decoder it would be the end.
        packets = (p for p in self._packets() if p.size or p.pts is None)
        leading: list[Any] = []
        if self.segment.seek_pts is None:
            codec, size = self.segment.metadata.codec, 0
            for packet in packets:
                leading.append(packet)
                size += packet.size
                if packet.is_keyframe or starts_decoding(codec, bytes(packet)):
                    leading = [packet]
                    break
                if len(leading) > _MAX_LEADING_PACKETS or size > _MAX_LEADING_BYTES:
                    break
        yield from leading
        yield from packets

    def _packets(self) -> Iterator[Any]:
        seek_pts = self.segment.seek_pts
        if seek_pts is not None:
            first = first_packet_at(self.opened, seek_pts)
            if first is None or first.pts != seek_pts:
                # A second seek did not lead here: read from the beginning.
                self.opened.container.seek(0, stream=self.opened.stream)
            else:
                yield first
        packets, container = self.opened.packets(), self.opened.container
        all_one_size = container.format.name == "yuv4mpegpipe"
        read_to, trailer_bytes = 0, _MAX_TRAILER_BYTES
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):
                # PyAV raises IndexError for a stream that appears midway.
                if all_one_size and container.size - read_to > _Y4M_HEADER_BYTES:
                    self.lost.reading_failed()  # the last frame is cut off
                return
            except FFmpegError as error:
                if is_read_error(error):
                    uri = self.segment.video.uri
                    what = getattr(error, "strerror", None) or error
                    message = f"{uri}: reading stopped midway: {what}"
                    raise DecodingError("unreadable", message) from error
                if not 0 <= container.size - read_to <= trailer_bytes:
                    self.lost.reading_failed()
                end = av.Packet()
                end.stream = self.opened.stream
                yield end  # the decoder still has frames
                return
            if packet.size:
                read_to = (packet.pos or 0) + packet.size
                trailer_bytes = packet.size if all_one_size else trailer_bytes
            yield packet
