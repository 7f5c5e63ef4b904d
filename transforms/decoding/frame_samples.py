"""A segment's frames without those that repeat the one before: the input of detectors and filters.

    frames    A A B B B C C ...     rate conversion, telecine, screen capture
    samples   A   B     C   ...     each with the pts of its repeats, which get its rows

Whether a frame is a repeat follows from how much it and its neighbours differ from the frame
before each, and from the boxes given for it. A picture that stands still for longer than
REFRESH_SECONDS gives a new sample in every step of a grid. So no decision depends on frames
further back than `reach` states, and a segment finds the same samples as the whole video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from models.frame_pixels import NOTHING_ALIKE, FrameChange, FramePixels, is_cut
from transforms.decoding.reach import CONTEXT_SECONDS, REFRESH_SECONDS, WINDOW_SECONDS

#: Frames that differ by no more than this are equal. A face moving 0.05 px per frame differs more.
_STILL: Final = FrameChange(mean=0.02, largest_block=0.4)
#: A repeat after encoding: the largest change, and the largest share of the changes around it.
#: Noise and small movements change every frame alike, so they are not repeats.
_REPEATS: Final = (
    (FrameChange(mean=0.05, largest_block=0.85), FrameChange(mean=0.5, largest_block=0.7)),
    (FrameChange(mean=1.2, largest_block=4.0), FrameChange(mean=0.4, largest_block=0.3)),
)
#: Frames to look ahead for the next change.
_LOOKAHEAD: Final = 3


@dataclass(slots=True)
class Sample:
    """A frame that shows something new.

    number: among the samples, from 0.
    frame: among all frames that were decoded, from 0.
    cut: a new shot starts with it.
    ends: the last sample of its shot, or the last before a gap longer than WINDOW_SECONDS.
    """

    number: int
    frame: int
    pts: int
    pixels: FramePixels
    thumbnail: Any
    previous_pts: int | None
    cut: bool = False
    ends: bool = False
    repeats_pts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Frame:
    number: int
    pts: int
    pixels: FramePixels
    change: FrameChange


def frame_samples(
    frames: Iterable[tuple[int, Any]],
    time_base: Fraction,
    *,
    same_boxes: Callable[[int, int, int, int], bool] = lambda *places: True,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> Iterator[Sample]:
    """Yields the samples of a frame sequence; each when the next one is known.

    frames: (pts, av.VideoFrame or StoredPlanes) in display order.
    same_boxes: whether two frames have the same given boxes, by number and pts of each.
    on_progress: called with the number of frames decoded so far.
    """
    last: Sample | None = None
    new_pts = 0  # of the last frame that changed
    window_pts = WINDOW_SECONDS / time_base
    for frame, alike in _compared(frames, time_base, on_progress):
        if last is not None and alike and same_boxes(last.frame, last.pts, frame.number, frame.pts):
            last_pts = last.repeats_pts[-1] if last.repeats_pts else last.pts
            before, now = (pts * time_base // REFRESH_SECONDS for pts in (last_pts, frame.pts))
            stands = (frame.pts - new_pts) * time_base >= REFRESH_SECONDS
            if not stands or before == now:
                last.repeats_pts.append(frame.pts)
                continue
        else:
            new_pts = frame.pts
        thumbnail = frame.pixels.luma_thumbnail()
        number, previous_pts, cut = 0, None, False
        if last is not None:
            number, previous_pts = last.number + 1, last.pts
            cut = not _have_one_size(last.pixels, frame.pixels) or is_cut(last.thumbnail, thumbnail)
            last.ends = cut or frame.pts - last.pts > window_pts
            yield last
        last = Sample(number, frame.number, frame.pts, frame.pixels, thumbnail, previous_pts, cut)
    if last is not None:
        last.ends = True
        yield last


def _compared(
    frames: Iterable[tuple[int, Any]], time_base: Fraction, on_progress: Callable[[int], None]
) -> Iterator[tuple[_Frame, bool]]:
    """Every frame, and whether it repeats the previous one."""
    context_pts = CONTEXT_SECONDS / time_base
    past: deque[tuple[int, FrameChange]] = deque(maxlen=_LOOKAHEAD)
    ahead: deque[_Frame] = deque()

    def settled() -> tuple[_Frame, bool]:
        frame = ahead.popleft()
        near = [change for pts, change in past if frame.pts - pts <= context_pts]
        alike = _is_alike(frame.change, near, [f.change for f in ahead])
        past.append((frame.pts, frame.change))
        return frame, alike

    before: FramePixels | None = None
    for number, (pts, picture) in enumerate(frames):
        pixels = FramePixels(picture)
        change = NOTHING_ALIKE if before is None else pixels.change_since(before)
        before = pixels
        ahead.append(_Frame(number, pts, pixels, change))
        on_progress(number + 1)
        if len(ahead) > _LOOKAHEAD:
            yield settled()
    while ahead:
        yield settled()


def _have_one_size(one: FramePixels, other: FramePixels) -> bool:
    """Whether both have the same coordinates: upright size, rotation and mirroring."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("width_px", "height_px", "rotation_deg", "mirrored")
    )


def _is_alike(change: FrameChange, past: list[FrameChange], ahead: list[FrameChange]) -> bool:
    """Whether a frame repeats the previous one, by its change and those around it."""
    if _is_within(change, _STILL):
        return True
    if len(ahead) < 2:
        ahead = []  # the video ends: a picture shown three times has no larger change behind it
    around = [
        FrameChange(max(c.mean for c in side), max(c.largest_block for c in side))
        for side in (past, ahead)
        if side
    ]
    if not around:
        return False
    mean, block = min(c.mean for c in around), min(c.largest_block for c in around)
    return any(
        _is_within(change, most)
        and _is_within(change, FrameChange(share.mean * mean, share.largest_block * block))
        for most, share in _REPEATS
    )


def _is_within(change: FrameChange, most: FrameChange) -> bool:
    return change.mean <= most.mean and change.largest_block <= most.largest_block
