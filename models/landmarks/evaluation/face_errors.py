"""Errors of many labelled faces, in total, by group and by face size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from models.landmarks.datasets.labelled_face import FaceOrigin
from models.landmarks.face_measures import eye_openings, mouth_opening
from models.landmarks.metrics import (
    Normalization,
    box_diagonal_px,
    interocular_px,
    mean_distance_px,
)
from schemas.landmarks import COMMON_LANDMARKS, LANDMARK_COUNT

#: Subsets of landmarks to average over, by size: all, and those shared with Talking Face.
LANDMARK_SUBSETS: Final[Mapping[int, Sequence[int]]] = {
    LANDMARK_COUNT: range(LANDMARK_COUNT),
    len(COMMON_LANDMARKS): COMMON_LANDMARKS,
}
_SCALES: Final = 5
Opening = Literal["eyes", "mouth"]
#: Aspect ratios of eyes and mouth.
OPENINGS: Final[Mapping[Opening, Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]]]] = {
    "eyes": lambda landmarks_px: eye_openings(landmarks_px).mean(-1),
    "mouth": mouth_opening,
}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class FaceErrors:
    """Errors of N faces; infinite for a face without a prediction.

    origins: (N,) where each face comes from.
    distance_px: mean distance to the labels over each of LANDMARK_SUBSETS, (N,) each; NaN where
        the labels lack some of them.
    length_px: the length of each normalization, (N,) each.
    opening_error: absolute errors of the aspect ratios of eyes and mouth, (N,) each; infinite for
        missed faces, NaN where the labels lack some of their landmarks.
    landmark_px: (N, 68) the distance of each landmark to its label.
    spread_px: (N, 68) the network's own estimate of that distance; NaN where it has none.
    """

    origins: Sequence[FaceOrigin]
    distance_px: Mapping[int, npt.NDArray[np.float64]]
    length_px: Mapping[Normalization, npt.NDArray[np.float64]]
    opening_error: Mapping[Opening, npt.NDArray[np.float64]]
    landmark_px: npt.NDArray[np.float64]
    spread_px: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        origins: Sequence[FaceOrigin],
        predicted_px: npt.NDArray[np.floating],
        truth_px: npt.NDArray[np.floating],
        spread_px: npt.NDArray[np.floating] | None = None,
    ) -> FaceErrors:
        """Compares (N, 68, 2) predictions, infinite for missed faces, with (N, 68, 2) labels.

        `spread_px` is the network's (N, 68) estimate of the distance.
        """
        if spread_px is None:
            spread_px = np.full(truth_px.shape[:2], np.nan)
        found = np.isfinite(predicted_px).all((1, 2))
        return cls(
            origins,
            {
                count: mean_distance_px(predicted_px[:, subset], truth_px[:, subset])
                for count, subset in LANDMARK_SUBSETS.items()
            },
            {"interocular": interocular_px(truth_px), "box-diagonal": box_diagonal_px(truth_px)},
            {
                name: _opening_error(opening, predicted_px, truth_px, found)
                for name, opening in OPENINGS.items()
            },
            np.linalg.norm(predicted_px.astype(np.float64) - truth_px, axis=-1),
            spread_px.astype(np.float64),
        )

    @classmethod
    def joined(cls, parts: Sequence[FaceErrors]) -> FaceErrors:
        """All faces of one or more parts."""
        return cls(
            [origin for part in parts for origin in part.origins],
            {n: np.concatenate([p.distance_px[n] for p in parts]) for n in LANDMARK_SUBSETS},
            {k: np.concatenate([p.length_px[k] for p in parts]) for k in parts[0].length_px},
            {k: np.concatenate([p.opening_error[k] for p in parts]) for k in OPENINGS},
            np.concatenate([part.landmark_px for part in parts]),
            np.concatenate([part.spread_px for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.origins)

    def __repr__(self) -> str:
        """How many faces, of how many data sets."""
        sets = len({origin.data_set for origin in self.origins})
        return f"FaceErrors({len(self)} faces of {sets} data sets)"

    def percent(
        self, normalization: Normalization, landmarks: int = LANDMARK_COUNT
    ) -> npt.NDArray[np.float64]:
        """(N,) errors in percent of the normalization's length; NaN where labels lack some."""
        return 100.0 * self.distance_px[landmarks] / self.length_px[normalization]

    def where(self, chosen: npt.NDArray[np.bool_]) -> FaceErrors:
        """The faces that an (N,) mask chooses."""
        return FaceErrors(
            [origin for origin, wanted in zip(self.origins, chosen, strict=True) if wanted],
            {count: distance[chosen] for count, distance in self.distance_px.items()},
            {name: length[chosen] for name, length in self.length_px.items()},
            {name: error[chosen] for name, error in self.opening_error.items()},
            self.landmark_px[chosen],
            self.spread_px[chosen],
        )


def _opening_error(
    opening: Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]],
    predicted_px: npt.NDArray[np.floating],
    truth_px: npt.NDArray[np.floating],
    found: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    errors = np.full(len(truth_px), np.inf)
    with np.errstate(invalid="ignore"):
        errors[found] = np.abs(opening(predicted_px[found]) - opening(truth_px[found]))
    return errors


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
    distance, eyes = errors.distance_px[LANDMARK_COUNT], errors.length_px["interocular"]
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
