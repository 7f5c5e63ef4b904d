"""The frames of a video whose tracks are at hand, upright and at the tracks' timestamps.

They come from a decoding child with limits: a video that hangs, crashes or fills the memory of
its decoder ends as a VideoError.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from tqdm import tqdm

from models.frame_pixels import FramePixels, upright_aspect
from schemas.errors import UsageError
from schemas.records import Segment, StreamMetadata, Video
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import lent_child
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.reachable_sources import within_reach
from transforms.decoding.video_source import OpenVideo, open_video

#: Children that crop nothing, and do not cut.
_CHILD: Final = ChildSettings(CropSpec(1, 1.0, 1), segment_seconds=math.inf)


def whole_video(
    uri: str,
    stream_index: int | None = None,
    *,
    start_seconds: float | None = None,
    stop_seconds: float | None = None,
) -> Segment:
    """All of a video, or of a range of it, as one segment.

    Args:
        uri: the video.
        stream_index: of the stream, as FFmpeg counts; None is the one that a player would show.
        start_seconds, stop_seconds: the range, from the first frame on.

    Raises:
        VideoError: the video cannot be opened, or not within the limits of `annotate`.
    """
    video = Video(uri, uri, start_seconds, stop_seconds)
    with lent_child(_settings(stream_index)) as child:
        return child.plan(video)[0]


def upright_frames(whole: Segment, *, progress: bool = False) -> Iterator[tuple[int, FramePixels]]:
    """(pts, pixels) of every frame, numbered just as `facetracks annotate` numbers them.

    Args:
        whole: as `whole_video` returns it.
        progress: whether a bar on stderr counts them.

    Raises:
        VideoError: reading fails midway, or decoding goes past the limits of `annotate`.
    """
    with lent_child(_settings(whole.metadata.stream_index)) as child:
        frames, total = child.frames(whole), whole.metadata.frames_expected
        yield from tqdm(frames, "frames", total, unit="frame", disable=not progress)


def check_sound(whole: Segment) -> None:
    """Reads all packets of a video's sound in a child: a trial before `opened_sound`.

    Raises:
        VideoError: they cannot be read within the limits of `annotate`.
    """
    with lent_child(_settings(whole.metadata.stream_index)) as child:
        child.read_sound(whole)


@contextlib.contextmanager
def opened_sound(whole: Segment) -> Iterator[OpenVideo]:
    """The video, opened in this process, whose packets of sound are copied and not decoded.

    Call `check_sound` before: what hangs or crashes the reader of a container has done so there.
    """
    with (
        within_reach(whole.video) as reachable,
        open_video(reachable.uri, segment=whole) as opened,
    ):
        yield opened


def pixel_aspect(stream: StreamMetadata, pixels: FramePixels) -> Fraction:
    """Width over height of an upright pixel."""
    return upright_aspect(stream.sample_aspect_ratio, pixels.rotation_deg)


def check_tracks_match(video: str, times: Collection[int], matched: float) -> None:
    """Tracks of this very video match every frame with a face; some may be a coincidence.

    Args:
        video: names it in the message.
        times: the pts at which the tracks have faces.
        matched: the share of them, 0..1, that are frames of the video.

    Raises:
        UsageError: less than half of them are.
    """
    if times and matched < 0.5:
        raise UsageError(
            f"{video}: got tracks with faces at {len(times)} times (pts {min(times)} to "
            f"{max(times)}), of which {matched:.0%} are frames of this video; expected its own"
        )


def _settings(stream_index: int | None) -> ChildSettings:
    return _CHILD if stream_index is None else replace(_CHILD, stream=stream_index)
