"""Errors of many labelled faces, in total, by group and by face size; stability of tracks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.face_measures import eye_openings, mouth_opening
from models.landmarks.metrics import (
    NORMALIZING_PX,
    Normalization,
    interocular_px,
    mean_distance_px,
)
from schemas.landmarks import COMMON_LANDMARKS, LANDMARK_COUNT

Array = npt.NDArray[np.float64]

#: Subsets of landmarks to average over, by size: all, and those shared with Talking Face.
LANDMARK_SUBSETS: Final[Mapping[int, Sequence[int]]] = {
    LANDMARK_COUNT: range(LANDMARK_COUNT),
    len(COMMON_LANDMARKS): COMMON_LANDMARKS,
}
_SCALES: Final = 5
Opening = Literal["eyes", "mouth"]
#: Aspect ratios of eyes and mouth.
OPENINGS: Final[Mapping[Opening, Callable[[Array], Array]]] = {
    "eyes": lambda landmarks_px: eye_openings(landmarks_px).mean(-1),
    "mouth": mouth_opening,
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class FaceErrors:
    """The labels of N faces and what was predicted for them.

    origins: (N,) where each face comes from.
    predicted_px: (N, 68, 2) float64, infinite for a face without a prediction.
    truth_px: (N, 68, 2) float64 labels, NaN for landmarks that are not labelled.
    spread_px: (N, 68) float64, the network's own estimate of the distance between the two; NaN
        where it has none.
    """

    origins: Sequence[FaceOrigin]
    predicted_px: Array
    truth_px: Array
    spread_px: Array

    @classmethod
    def of(cls, origins: Sequence[FaceOrigin], predicted_px: Array, truth_px: Array) -> FaceErrors:
        """Faces without spreads."""
        return cls(origins, predicted_px, truth_px, np.full(truth_px.shape[:2], np.nan))

    @classmethod
    def joined(cls, parts: Sequence[FaceErrors]) -> FaceErrors:
        """All faces of one or more parts."""
        return cls(
            [origin for part in parts for origin in part.origins],
            np.concatenate([part.predicted_px for part in parts]),
            np.concatenate([part.truth_px for part in parts]),
            np.concatenate([part.spread_px for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.origins)

    def __repr__(self) -> str:
        sets = len({origin.data_set for origin in self.origins})
        return f"FaceErrors({len(self)} faces of {sets} data sets)"

    def distance_px(self, landmarks: int = LANDMARK_COUNT) -> Array:
        """(N,) mean distance to the labels over one of LANDMARK_SUBSETS.

        Infinite for missed faces, NaN where the labels lack some.
        """
        subset = LANDMARK_SUBSETS[landmarks]
        return mean_distance_px(self.predicted_px[:, subset], self.truth_px[:, subset])

    def percent(self, normalization: Normalization, landmarks: int = LANDMARK_COUNT) -> Array:
        """(N,) `distance_px` in percent of the normalization's length."""
        return 100.0 * self.distance_px(landmarks) / NORMALIZING_PX[normalization](self.truth_px)

    def opening_errors(self) -> dict[Opening, Array]:
        """(N,) absolute errors of the aspect ratios of eyes and of mouth.

        Infinite for missed faces, NaN where the labels lack some of their landmarks.
        """
        found = np.isfinite(self.predicted_px).all((1, 2))
        predicted, truth = self.predicted_px[found], self.truth_px[found]
        errors: dict[Opening, Array] = {}
        with np.errstate(invalid="ignore"):
            for name, opening in OPENINGS.items():
                errors[name] = np.full(len(self), np.inf)
                errors[name][found] = np.abs(opening(predicted) - opening(truth))
        return errors

    def where(self, chosen: npt.NDArray[np.bool_]) -> FaceErrors:
        """The faces that an (N,) mask chooses."""
        origins = list(itertools.compress(self.origins, chosen))
        arrays = self.predicted_px, self.truth_px, self.spread_px
        return FaceErrors(origins, *(array[chosen] for array in arrays))


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


def labelled_groups(errors: FaceErrors) -> Iterator[tuple[str, FaceErrors]]:
    """(name, faces) of every category, movement and expression in the labels.

    As in the local-motion paper's Tables 2 and 3: movements with a neutral expression,
    expressions without a movement, where the labels know both.
    """
    origins = errors.origins
    still = np.array([origin.movement in ("", "nothing") for origin in origins], bool)
    neutral = np.array([origin.expression in ("", "neutral") for origin in origins], bool)
    everything = np.ones(len(origins), bool)
    for kind, among in (("category", everything), ("movement", neutral), ("expression", still)):
        labels = np.array([getattr(origin, kind) for origin in origins], object)
        for label in sorted({str(label) for label in labels[among]} - {""}):
            yield f"{kind} {label}", errors.where(among & (labels == label))


@dataclasses.dataclass(frozen=True, slots=True)
class ScaleErrors:
    """Faces of similar size (FHR Table 2).

    faces: different ones; `missed` counts one once for each box that it was measured on.
    interocular_px: their mean distance of the outer eye corners.
    error_px: the paper's RMSE, which is a mean as its NRMSE is: the distance to the labels over
        68 landmarks and the faces with a prediction; NaN where there is none.
    """

    faces: int
    missed: int
    interocular_px: float
    error_px: float


def errors_by_scale(errors: FaceErrors) -> list[ScaleErrors]:
    """Five groups of as many faces each, from the smallest faces to the largest.

    Empty where the labels lack landmarks, or there are fewer than five faces.
    """
    distance, eyes = errors.distance_px(), interocular_px(errors.truth_px)
    faces: dict[FaceOrigin, list[int]] = {}  # a face may have been measured on several boxes
    for place, origin in enumerate(errors.origins):
        faces.setdefault(origin, []).append(place)
    if len(faces) < _SCALES or np.isnan(distance).any():
        return []
    by_size = sorted(faces.values(), key=lambda places: float(eyes[places[0]]))
    scales = []
    for group in np.array_split(np.arange(len(by_size)), _SCALES):
        places = np.concatenate([by_size[face] for face in group])
        found = distance[places][np.isfinite(distance[places])]
        scales.append(
            ScaleErrors(
                faces=len(group),
                missed=len(places) - len(found),
                interocular_px=float(eyes[places].mean()),
                error_px=float(found.mean()) if len(found) else float("nan"),
            )
        )
    return scales
