"""Errors and stability of finished tracks on a labelled video."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.evaluation.face_errors import LANDMARK_SUBSETS, FaceErrors
from models.landmarks.metrics import interocular_px

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class MatchedFaces:
    """The N labelled faces of a video, in the order of frames, and the tracks' landmarks of them.

    origins: (N,) where each is from.
    truth_px: (N, 68, 2) labels, NaN for landmarks that are not labelled.
    predicted_px: (N, 68, 2) landmarks of the tracks, infinite where a face has no row.
    """

    origins: Sequence[FaceOrigin]
    truth_px: Array
    predicted_px: Array

    def __repr__(self) -> str:
        """How many faces."""
        return f"MatchedFaces({len(self.origins)} faces)"

    def errors(self) -> FaceErrors:
        """Errors of the faces; those without a row are missed."""
        return FaceErrors.of(self.origins, self.predicted_px, self.truth_px)

    def stability_percent(self) -> Mapping[int, float]:
        """The consistency of their movement with the labels' (FHR, "Ablation Study").

        The mean of |dx - dp| over the interocular distance, over landmarks and the steps from a
        frame to the next in which the face has rows; for each of LANDMARK_SUBSETS. NaN where
        there is no such step.
        """
        of_face: dict[int, list[int]] = {}
        for place, origin in enumerate(self.origins):
            of_face.setdefault(origin.face, []).append(place)
        steps = [
            (before, now)
            for places in of_face.values()
            for before, now in itertools.pairwise(places)
            if self.origins[now].frame == self.origins[before].frame + 1
            and np.isfinite(self.predicted_px[[before, now]]).all()
        ]
        if not steps:
            return dict.fromkeys(LANDMARK_SUBSETS, float("nan"))
        before, now = np.array(steps).T
        off = self.predicted_px - self.truth_px
        change = np.linalg.norm(off[now] - off[before], axis=-1)  # (steps, 68)
        percent = 100 * change / interocular_px(self.truth_px[now])[:, None]
        return {
            count: float(percent[:, subset].mean()) for count, subset in LANDMARK_SUBSETS.items()
        }
