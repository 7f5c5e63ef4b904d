"""Which rows of a video's tracks are cropped, and by which transforms.

    crop pixel --- (2, 3) ---> pixel of the upright frame

The crop of a face is a square in square pixels, centred on the mean of its landmarks. Its side is
constant over a track, so the face does not breathe. It is turned so that the eyes are level, unless
the rotation is to be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import square_affine
from pipeline.videos.track_file import TrackRows
from schemas.errors import UsageError
from schemas.landmarks import LANDMARKS

#: Fields of a CropFilter -> the column that each limits.
_COLUMNS: Final = {
    "min_score": "score",
    "max_blur": "blur",
    "max_cut_off": "cut_off",
    "max_yaw_deg": "yaw_deg",
}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CropFilter:
    """Limits of rows; None is none.

    Attributes:
        min_face_px: the least longer side of the face's box, in pixels of the frame.
        min_score: the least score, 0..1.
        max_spread: the largest median spread of the landmarks, as a share of that side.
        max_blur: the largest `blur` of the tracks.
        max_cut_off: the largest share of the face outside the picture, 0..1.
        max_yaw_deg: how far the head may be turned to either side.
    """

    min_face_px: float | None = None
    min_score: float | None = None
    max_spread: float | None = None
    max_blur: float | None = None
    max_cut_off: float | None = None
    max_yaw_deg: float | None = None


def face_sizes_px(tracks: TrackRows, pixel_aspect: float = 1.0) -> Array:
    """(N,): the longer side of each row's box, in units of a pixel's height."""
    width, height = (tracks.boxes_xyxy_px[:, 2:] - tracks.boxes_xyxy_px[:, :2]).T
    sizes: Array = np.maximum(width * pixel_aspect, height)
    return sizes


def kept_rows(tracks: TrackRows, limits: CropFilter) -> npt.NDArray[np.bool_]:
    """(N,): the rows within the limits. What is not known of a row is not within a limit.

    Raises UsageError: a limit of a column that the tracks do not have.
    """
    kept = np.asarray(np.isfinite(tracks.landmarks_px).all(axis=(1, 2)), np.bool_)
    sizes = face_sizes_px(tracks)
    if limits.min_face_px is not None:
        kept &= sizes >= limits.min_face_px
    if limits.max_spread is not None:
        known = np.isfinite(tracks.spread_px).all(axis=1, keepdims=True)
        spread = np.median(np.where(known, tracks.spread_px, np.inf), axis=1)
        kept &= spread <= limits.max_spread * sizes
    for name, column in _COLUMNS.items():
        if (limit := getattr(limits, name)) is None:
            continue
        if column not in tracks.quality:
            raise UsageError(
                f"{name}: got tracks without the column {column}, which a newer version writes; "
                "annotate again, or leave this limit out"
            )
        values = tracks.quality[column]
        kept &= values >= limit if name.startswith("min_") else np.abs(values) <= limit
    return kept


def runs_of(tracks: TrackRows, kept: npt.NDArray[np.bool_], least: int) -> list[list[int]]:
    """The kept rows as runs of frames that follow one another, a face each, by first pts.

    Where only some frames were annotated (`annotate --fps`), those follow that are about as far
    apart as most are. Runs of fewer than `least` rows are left out.
    """
    steps = np.diff(np.unique(tracks.frame_index))
    usual = float(np.median(steps)) if len(steps) else 1.0
    furthest = 1 if usual <= 1 else math.ceil(1.5 * usual)
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((tracks.frame_index[rows], tracks.face_id[rows]))]
    apart = np.diff(tracks.frame_index[rows]) > furthest
    apart |= np.diff(tracks.face_id[rows]) != 0
    parts = np.split(rows, np.flatnonzero(apart) + 1)
    runs = [part.tolist() for part in parts if len(part) >= max(1, least)]
    return sorted(runs, key=lambda run: (tracks.pts[run[0]], tracks.face_id[run[0]]))


def crop_transforms(
    tracks: TrackRows,
    *,
    size_px: int,
    margin: float,
    pixel_aspect: float = 1.0,
    keep_rotation: bool = False,
) -> Array:
    """(N, 2, 3): the map of each row from its crop to the upright frame.

    margin: on each side of the face, as a share of the median longer side of its track's boxes.
    pixel_aspect: width of a pixel of the frame over its height.
    keep_rotation: the crop stays upright as the frame is.
    """
    sizes = face_sizes_px(tracks, pixel_aspect)
    centres = tracks.landmarks_px.mean(1)
    right, left = (
        tracks.landmarks_px[:, eye].mean(1) for eye in (LANDMARKS.right_eye, LANDMARKS.left_eye)
    )
    across = (left - right) * [pixel_aspect, 1.0]
    transforms = np.empty((len(tracks), 2, 3))
    for _, rows in tracks.by_face():
        half = float(np.median(sizes[rows])) * (0.5 + margin)
        reach = np.array([half / pixel_aspect, half])
        for row in rows:
            angle_deg = 0.0 if keep_rotation else math.degrees(math.atan2(*across[row][::-1]))
            box = np.concatenate([centres[row] - reach, centres[row] + reach])
            transforms[row] = square_affine(
                box, scale=1.0, size_px=size_px, pixel_aspect=pixel_aspect, angle_deg=angle_deg
            )
    return transforms
