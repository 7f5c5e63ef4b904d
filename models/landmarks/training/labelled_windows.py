"""Training windows of labelled data sets, and their validation split.

    video, every frame labelled   [0 1 2] [3 4 5] [6 7 8] ...   no frame in two windows
    stills                        a window each, of one frame

(local-motion paper, section 4.1: "non-overlapping image sequences of size 3"; "20 % of randomly
selected training data was used for validation": here 20 % of the videos, so that no video is on
both sides.)
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.datasets.labelled_video import LabelledSet, LabelledVideo
from schemas.errors import UsageError


def windows_of_video(
    video: LabelledVideo,
    *,
    frames: int,
    at_most: int | None = None,
    skipped: list[str] | None = None,
) -> Iterator[LabelledFace]:
    """The windows of a video's faces, in order, with pictures; of a face no frame is in two.

    Args:
        video: read once, from its start.
        frames: of a window; frames of a face whose window is not full are left out.
        at_most: about how many windows of a face to give, evenly spaced; None: all.
        skipped: see `LabelledVideo.faces`.

    Raises:
        AnnotationError: see `LabelledVideo.faces`.
    """
    stride = 1 if at_most is None else math.ceil(len(video.labels) / frames / at_most)
    next_free: dict[int, int] = {}
    found: Counter[int] = Counter()
    for face in video.faces(window_frames=frames, skipped=skipped):
        shown = (*face.earlier, face)
        number = face.origin.face
        if len(shown) < frames or shown[0].origin.frame < next_free.get(number, 0):
            continue
        next_free[number] = face.origin.frame + 1
        found[number] += 1
        if (found[number] - 1) % stride == 0:
            yield face


def hold_out(
    sets: Sequence[LabelledSet], share: float, *, seed: int
) -> tuple[list[LabelledSet], list[LabelledSet]]:
    """Splits each set by videos and pictures into a training part and a held-out `share`.

    A set of two or more videos (or pictures) has at least one on each side; a set of one is used
    for training. Two pictures of one person may fall on both sides.

    Raises:
        UsageError: nothing would be held out.
    """
    rng = np.random.default_rng(seed)
    kept: list[LabelledSet] = []
    held: list[LabelledSet] = []
    for data in sets:
        videos = _chosen([video.origin.video for video in data.videos], share, rng)
        pictures = _chosen([still.origin.video for still in data.stills], share, rng)
        for parts, inside in ((kept, False), (held, True)):
            parts.append(
                dataclasses.replace(
                    data,
                    videos=[v for v in data.videos if (v.origin.video in videos) is inside],
                    stills=[s for s in data.stills if (s.origin.video in pictures) is inside],
                )
            )
    if not any(data.videos or data.stills for data in held):
        raise UsageError(
            f"got {sum(len(d.videos) + len(d.stills) for d in sets)} videos and pictures in "
            f"{len(sets)} data sets, expected two in one of them: one to train on, one held out"
        )
    return kept, held


def _chosen(names: Sequence[str], share: float, rng: np.random.Generator) -> set[str]:
    different = sorted(set(names))
    if len(different) < 2:
        return set()
    count = min(max(1, round(share * len(different))), len(different) - 1)
    return {different[index] for index in rng.permutation(len(different))[:count]}
