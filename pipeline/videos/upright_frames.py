"""The frames of a video whose tracks are at hand, upright and at the tracks' timestamps.

They come from a decoding child with limits: a video that hangs, crashes or fills the memory of
its decoder ends as a VideoError.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final, TypeAlias

from tqdm import tqdm

from models.frame_pixels import FramePixels, upright_aspect
from schemas.errors import ContainerError, UsageError
from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import lent_child
from transforms.decoding.reachable_sources import within_reach
from transforms.decoding.video_source import OpenVideo, open_video

#: Children that do not cut videos into segments.
_CHILD: Final = ChildSettings(segment_seconds=math.inf)

#: (pts, pixels) of frame after frame.
Frames: TypeAlias = Iterator[tuple[int, FramePixels]]


def whole_video(
    uri: str,
    stream_index: int | None = None,
    range_seconds: tuple[float | None, float | None] = (None, None),
) -> Segment:
    """All of a video, or [start, stop) of it from the first frame on, as one segment.

    stream_index is FFmpeg's number; None is the stream that a player would show.

    Raises VideoError: the video cannot be opened, or not within the limits of `annotate`.
    """
    with lent_child(replace(_CHILD, stream=stream_index)) as child:
        return child.plan(Video(uri, uri, *range_seconds))[0]


def upright_frames(whole: Segment, *, progress: bool = False) -> Frames:
    """(pts, pixels) of every frame of a `whole_video`, in the order in which `annotate` counts.

    Raises VideoError: reading fails midway, or decoding goes past the limits of `annotate`.
    """
    with lent_child(replace(_CHILD, stream=whole.metadata.stream_index)) as child:
        frames, total = child.frames(whole), whole.metadata.frames_expected
        yield from tqdm(frames, "frames", total, unit="frame", disable=not progress)


def tracked_frames(
    whole: Segment, times: Collection[int], *, progress: bool = False
) -> tuple[FramePixels, Frames]:
    """The pixels of the first of the `upright_frames`, and all of them, that one too.

    Raises:
        VideoError: there is no frame; or as `upright_frames`.
        UsageError: after the last frame, as `check_tracks_match`; `times` are those of the tracks.
    """
    video, frames = whole.video.uri, upright_frames(whole, progress=progress)
    first = next(frames, None)
    if first is None:
        raise ContainerError("no_frames", f"{video}: no frame could be decoded")

    def matched() -> Frames:
        seen = 0
        for pts, pixels in itertools.chain([first], frames):
            seen += pts in times
            yield pts, pixels
        check_tracks_match(video, times, seen / max(1, len(times)))

    return first[1], matched()


def check_sound(whole: Segment) -> None:
    """Reads all packets of a video's sound in a child: a trial before `opened_sound`.

    Raises VideoError: they cannot be read within the limits of `annotate`.
    """
    with lent_child(replace(_CHILD, stream=whole.metadata.stream_index)) as child:
        child.read_sound(whole)


@contextlib.contextmanager
def opened_sound(whole: Segment) -> Iterator[OpenVideo]:
    """The video, opened in this process, whose packets of sound are copied and not decoded.

    Call `check_sound` before: a container that hangs or crashes its reader does so in the child.
    """
    with within_reach(whole.video) as video, open_video(video.uri, segment=whole) as opened:
        yield opened


def pixel_aspect(stream: StreamMetadata, pixels: FramePixels) -> Fraction:
    """Width over height of an upright pixel."""
    return upright_aspect(stream.sample_aspect_ratio, pixels.rotation_deg)


def check_tracks_match(video: str, times: Collection[int], matched: float) -> None:
    """Raises UsageError if less than half of the tracks' times (pts) are frames of the video.

    The tracks of this video match all of them; some may match by chance. `matched` is the share.
    """
    if times and matched < 0.5:
        raise UsageError(
            f"{video}: got tracks with faces at {len(times)} times (pts {min(times)} to "
            f"{max(times)}), of which {matched:.0%} are frames of this video; expected its own"
        )
