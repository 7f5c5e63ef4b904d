"""Planning: a video is cut at keyframes, found by seeking; nothing is decoded.

Durations, rates and counts in headers are hints only: seeks stop at the last keyframe that a seek
finds, and their number grows with the keyframes in the file, not with the declared duration.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from statistics import median
from typing import Any, Final

from av.error import FFmpegError
from av.format import Flags

from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.packet_content import orients_frames
from transforms.decoding.reach import OVERHANG_SECONDS
from transforms.decoding.video_source import OpenVideo, first_packet_at, read_stream_metadata

#: Containers without an index.
_BISECTED: Final = ("mpegts", "mpeg", "ogg")
#: Packets from which the start and the frame step of a stream are measured.
_TIMED_PACKETS: Final = 24
#: Limits of the search for a first pts, where a container lacks those of the first packets.
_MAX_UNTIMED_PACKETS: Final = 600
_MAX_UNTIMED_BYTES: Final = 32 << 20
#: No packet after so many with a pts is shown before the first of them.
_TIMED_RUN: Final = 8
#: Steps without a new keyframe after which the steps grow.
_PATIENCE: Final = 8


def plan_segments(video: Video, opened: OpenVideo, segment_seconds: float) -> list[Segment]:
    """Cuts a video at keyframes at least `segment_seconds` apart, reading one packet a cut.

    Seeks to a grid of times and looks at the first packet there. A grid point that does
    not lead to a keyframe gives no cut, so a container without reliable seeking (a raw stream, an
    unknown duration, a broken index) stays one segment, as does every video with infinite seconds.
    The position of the container is undefined afterwards: reopen the video to decode it.
    """
    first_pts, step_pts = _first_times(opened)
    metadata = read_stream_metadata(opened, first_pts=first_pts, step_pts=step_pts)
    time_base = metadata.time_base
    whole = Segment(video, metadata, 0, 1)
    low_pts, high_pts = whole.range_pts
    start_pts = metadata.start_pts if low_pts is None else low_pts
    end_pts = metadata.end_pts
    if end_pts is not None and high_pts is not None:
        end_pts = min(end_pts, high_pts)
    seconds = 0.0 if end_pts is None else float(max(0, end_pts - start_pts) * time_base)
    sound = _times_rise(opened, int(min(32, 4 + seconds / segment_seconds)))
    keyframes: list[int] = []
    is_long = seconds > segment_seconds
    if end_pts is not None and is_long and sound and _may_be_cut(opened, metadata):
        least_pts = max(1, round(Fraction(segment_seconds) / time_base))
        keyframes = _keyframes(opened, start_pts, end_pts, least_pts)
    overhang = int(OVERHANG_SECONDS / time_base)
    first = None
    if low_pts is not None and low_pts > metadata.start_pts and sound:
        first = _keyframe_before(opened, start_pts)
    seeks = [first, *keyframes]
    owned = [None, *(pts + overhang for pts in keyframes), None]
    if end_pts is not None:  # time limits depend on it
        metadata = replace(metadata, duration_seconds=seconds)
    return [
        Segment(video, metadata, i, len(seeks), seek, owned[i], owned[i + 1])
        for i, seek in enumerate(seeks)
    ]


def _keyframes(opened: OpenVideo, start_pts: int, end_pts: int, least_pts: int) -> list[int]:
    """Keyframes in (start_pts, end_pts) that are `least_pts` apart or more."""
    final_pts = _keyframe_before(opened, end_pts)
    if final_pts is None:
        final_pts = end_pts
    found: list[int] = []
    last, goal, stride, misses = start_pts, start_pts + least_pts, least_pts, 0
    below = start_pts
    while goal < end_pts and final_pts - last >= least_pts:
        pts = _keyframe_before(opened, goal)
        if pts is None or pts - last < least_pts:
            misses += 1
            stride *= 2 if misses > _PATIENCE else 1
            below, goal = goal, goal + stride
            if stride > least_pts and below < final_pts:
                goal = min(goal, final_pts)
            continue
        if stride > least_pts:  # other keyframes may lie between here and the goal before
            pts = goal = _earliest(opened, last, below, goal, least_pts) or pts
        found.append(pts)
        last, goal, stride, misses = pts, max(goal, pts) + least_pts, least_pts, 0
    return found


def _earliest(opened: OpenVideo, last: int, low: int, high: int, least_pts: int) -> int | None:
    """The first keyframe `least_pts` after `last`: a seek to `low` finds none, to `high` one."""
    found = None
    while high - low > least_pts:
        middle = (low + high) // 2
        pts = _keyframe_before(opened, middle)
        if pts is not None and pts - last >= least_pts:
            found, high = pts, middle
        else:
            low = middle
    return found


def _keyframe_before(opened: OpenVideo, pts: int) -> int | None:
    packet = first_packet_at(opened, pts)
    return None if packet is None else int(packet.pts)


def _first_times(opened: OpenVideo) -> tuple[int | None, int | None]:
    """The first pts of a stream and the usual step of its frames, by its first packets.

    An MP4 has all of them in its index, from which its start is known without reading on.
    """
    entries = opened.stream.index_entries
    if opened.container.format.name.startswith("mov") and len(entries) > 1:
        stored = [entries[i].timestamp for i in range(min(_TIMED_PACKETS, len(entries)))]
        return None, _usual_step(stored)
    first = [(p.pts, p.duration, p.size, p.is_discard) for p in _first_packets(opened)]
    stored = [pts for pts, _, _, discarded in first if pts is not None and not discarded]
    times = set(stored)
    lengths = [duration for _, duration, _, _ in first if duration]
    step = _usual_step(times) or (int(median(lengths)) if lengths else None)
    if step is not None and len(stored) >= 2 * len(times) > 2:  # several frames have each time
        step = step * len(times) // len(stored)
    if not times:
        return None, step or None
    untimed = 0
    if first[0][0] is None:  # FFmpeg drops negative times of Matroska: frames without come first
        untimed = sum(pts is None and size > 0 for pts, _, size, _ in first)
    return min(times) - untimed * (step or 0), step or None


def _first_packets(opened: OpenVideo) -> Iterator[Any]:
    """The first packets of a stream; where the first lacks a pts, up to those that have one."""
    may_be_timed = not opened.container.format.flags & Flags.no_timestamps.value
    run = size = 0
    with contextlib.suppress(FFmpegError, IndexError):
        for count, packet in enumerate(opened.packets()):
            if count == 0:
                may_be_timed &= packet.pts is None
            searches = may_be_timed and run < _TIMED_RUN and size <= _MAX_UNTIMED_BYTES
            if count >= (_MAX_UNTIMED_PACKETS if searches else _TIMED_PACKETS):
                return
            run = 0 if packet.pts is None else run + 1
            size += packet.size
            yield packet


def _may_be_cut(opened: OpenVideo, metadata: StreamMetadata) -> bool:
    """Whether frames have times of their own, and no message at the start orients all of them."""
    count = 1 if opened.container.format.name.startswith("mov") else _TIMED_PACKETS
    times: list[int] = []
    with contextlib.suppress(FFmpegError, IndexError):
        opened.container.seek(metadata.start_pts, stream=opened.stream, backward=True)
        for number, packet in enumerate(itertools.islice(opened.packets(), count)):
            if number == 0 and orients_frames(metadata.codec, bytes(packet)):
                return False
            times += [] if packet.pts is None else [packet.pts]
    return len(set(times)) == len(times)


def _usual_step(times: Iterable[int]) -> int | None:
    steps = [b - a for a, b in itertools.pairwise(sorted(times)) if b > a]
    return int(median(steps)) if steps else None


def _times_rise(opened: OpenVideo, places: int) -> bool:
    """Whether timestamps rise with the byte position, in containers where seeks bisect bytes.

    Concatenated recordings restart their timestamps; a seek could land in either.
    """
    container = opened.container
    if container.format.name not in _BISECTED or container.size <= 0:
        return True
    times: list[int] = []
    with contextlib.suppress(FFmpegError, IndexError):
        for place in range(places):
            container.seek(container.size * place // places, unsupported_byte_offset=True)
            timed = (p.pts for p in opened.packets() if p.pts is not None)
            times += itertools.islice(timed, 1)
        container.seek(0, unsupported_byte_offset=True)  # as it was
    return len(times) == places and times == sorted(times)
