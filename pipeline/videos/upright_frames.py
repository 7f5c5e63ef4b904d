"""The frames of a video whose tracks are at hand, upright and at the tracks' timestamps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction

from models.frame_pixels import FramePixels, upright_aspect
from schemas.errors import UsageError
from schemas.records import Segment, StreamMetadata
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.video_source import open_video

__all__ = ["check_tracks_match", "pixel_aspect", "upright_frames"]


def upright_frames(whole: Segment) -> Iterator[tuple[int, FramePixels]]:
    """(pts, pixels) of every frame, numbered just as `facetracks annotate` numbers them.

    Args:
        whole: as `transforms.decoding.segment_plan.whole_video` returns it.

    Raises:
        VideoError: the video cannot be opened, or reading it fails midway.
    """
    with open_video(whole.video.uri, segment=whole) as opened:
        for pts, frame in FrameStream(whole, opened):
            yield pts, FramePixels(frame)


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
