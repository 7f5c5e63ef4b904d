"""Stability of finished tracks on a labelled video."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from models.landmarks.evaluation.face_errors import LANDMARK_SUBSETS, FaceErrors
from models.landmarks.metrics import interocular_px


def stability_percent(faces: FaceErrors) -> Mapping[int, float]:
    """The consistency of the faces' movement with the labels' (FHR, "Ablation Study").

    The mean of |dx - dp| over the interocular distance, over landmarks and the steps from a
    frame to the next in which the face has rows; for each of LANDMARK_SUBSETS. NaN where
    there is no such step. `faces` are those of one video, in the order of frames.
    """
    of_face: dict[int, list[int]] = {}
    for place, origin in enumerate(faces.origins):
        of_face.setdefault(origin.face, []).append(place)
    steps = [
        (before, now)
        for places in of_face.values()
        for before, now in itertools.pairwise(places)
        if faces.origins[now].frame == faces.origins[before].frame + 1
        and np.isfinite(faces.predicted_px[[before, now]]).all()
    ]
    if not steps:
        return dict.fromkeys(LANDMARK_SUBSETS, float("nan"))
    before, now = np.array(steps).T
    off = faces.predicted_px - faces.truth_px
    change = np.linalg.norm(off[now] - off[before], axis=-1)  # (steps, 68)
    percent = 100 * change / interocular_px(faces.truth_px[now])[:, None]
    return {count: float(percent[:, subset].mean()) for count, subset in LANDMARK_SUBSETS.items()}
