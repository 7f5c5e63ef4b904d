"""Face tracking: detections on key frames are linked, boxes in between interpolated.

Each decision about a frame depends only on frames less than LINK_SECONDS around it,
so a video cut in segments that overlap gives the same boxes as one decoded at once.

      key frames    k-2 ------- k-1 ------- k ------- k+1
      direct link    a --------- a --------- a
      bridge         b ......... (missed) .. b            one missed detection is bridged
      lone           c                                     kept only with a high score

Detections are linked by the Hungarian method on IoU. No link crosses a shot cut.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.boxes import match_boxes

#: Two detections further apart in time are never linked.
LINK_SECONDS = 0.5
#: Boxes that overlap less are not the same face.
LINK_IOU = 0.2
#: A detection without a link in either direction needs this score to count as a face.
LONE_SCORE = 0.8

_UNTRACKED = -1
#: Track, box, score, and whether it was detected.
_Face = tuple[np.int32, npt.NDArray[np.float32], np.float32, bool]


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The faces on one frame: K rows; `detected` is false where a box was interpolated."""

    frame: int
    track: npt.NDArray[np.int32]  # (K,)
    boxes_xyxy_px: npt.NDArray[np.float32]  # (K, 4)
    scores: npt.NDArray[np.float32]  # (K,)
    detected: npt.NDArray[np.bool_]  # (K,)


@dataclass(slots=True)
class _Key:
    frame: int
    seconds: float
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    after_cut: bool  # a cut lies between the previous key frame and this one
    following: dict[int, tuple[_Key, int]] = field(default_factory=dict)
    preceding: dict[int, tuple[_Key, int]] = field(default_factory=dict)
    track: npt.NDArray[np.int32] | None = None


class FaceTracker:
    """Turns key-frame detections into boxes on every frame, a little later.

    Push every frame in order. A frame's faces come back once the two key frames after
    it are known; `flush` gives the rest.
    """

    def __init__(self) -> None:
        self._keys: deque[_Key] = deque()  # the last three at most
        self._frames: deque[tuple[int, float]] = deque()  # not given back yet
        self._cut_pending = False
        self._next_track = 0

    def push(
        self,
        frame: int,
        seconds: float,
        detections: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None,
        *,
        cut: bool,
    ) -> list[FrameFaces]:
        """Takes one frame; `detections` are (K, 4) boxes and (K,) scores on a key frame.

        `cut`: a new shot starts with this frame. Returns the frames that are
        final after it, in order.
        """
        self._frames.append((frame, seconds))
        self._cut_pending |= cut
        if detections is None:
            # Frames too old for any link need not wait.
            waits = self._keys and seconds - self._keys[-1].seconds <= LINK_SECONDS
            return [] if waits else self.flush()
        key = _Key(frame, seconds, *detections, after_cut=self._cut_pending)
        self._cut_pending = False
        if self._keys and not key.after_cut:
            last = self._keys[-1]
            _join(last, key)
            if len(self._keys) >= 2 and not last.after_cut:
                _join(self._keys[-2], key)
        self._keys.append(key)
        return self._settle(keep=2)

    def flush(self) -> list[FrameFaces]:
        """The frames that are left; no box reaches past the last key frame."""
        settled = self._settle(keep=0)
        rest = [_frame_faces(frame, []) for frame, _ in self._frames]
        self._frames.clear()
        return settled + rest

    def _settle(self, keep: int) -> list[FrameFaces]:
        """Gives back the frames before the last `keep` key frames, dropping older keys."""
        settled: list[FrameFaces] = []
        keys = list(self._keys)
        for key, following in zip(keys[: len(keys) - keep], [*keys[1:], None], strict=False):
            if key.track is not None:
                continue  # kept only to interpolate a bridge that starts here
            self._name_tracks(key)
            end = following.frame if following else key.frame + 1
            while self._frames and self._frames[0][0] < end:
                frame, seconds = self._frames.popleft()
                settled.append(self._faces(frame, seconds, key))
        while len(self._keys) > 3:
            self._keys.popleft()
        return settled

    def _name_tracks(self, key: _Key) -> None:
        key.track = np.full(len(key.boxes), _UNTRACKED, np.int32)
        for i in range(len(key.boxes)):
            if i in key.preceding:
                previous, j = key.preceding[i]
                if previous.track is not None:
                    key.track[i] = previous.track[j]
            elif i in key.following or key.scores[i] >= LONE_SCORE:
                key.track[i] = self._next_track
                self._next_track += 1
        key.preceding.clear()  # or each key would keep all before it

    def _faces(self, frame: int, seconds: float, key: _Key) -> FrameFaces:
        found: list[_Face] = []
        if frame == key.frame:
            assert key.track is not None
            for i in np.flatnonzero(key.track != _UNTRACKED).tolist():
                found.append((key.track[i], key.boxes[i], key.scores[i], True))
        for start in self._keys:
            if start.frame > key.frame or start.track is None:
                break
            for i, (stop, j) in start.following.items():
                if start.frame < frame < stop.frame:
                    a = (seconds - start.seconds) / (stop.seconds - start.seconds)
                    box = (1 - a) * start.boxes[i] + a * stop.boxes[j]
                    score = (1 - a) * start.scores[i] + a * stop.scores[j]
                    found.append((start.track[i], box, score, False))
        return _frame_faces(frame, found)


def _join(a: _Key, b: _Key) -> None:
    """Links the detections of `a` without a successor to those of `b` without a predecessor."""
    if b.seconds - a.seconds > LINK_SECONDS:
        return
    free_a = [i for i in range(len(a.boxes)) if i not in a.following]
    free_b = [j for j in range(len(b.boxes)) if j not in b.preceding]
    for i, j in match_boxes(a.boxes[free_a], b.boxes[free_b], min_iou=LINK_IOU):
        a.following[free_a[i]] = (b, free_b[j])
        b.preceding[free_b[j]] = (a, free_a[i])


def _frame_faces(frame: int, found: list[_Face]) -> FrameFaces:
    track, boxes, scores, detected = zip(*found, strict=True) if found else ((),) * 4
    return FrameFaces(
        frame,
        np.array(track, np.int32),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(detected, np.bool_),
    )
