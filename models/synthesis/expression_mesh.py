"""A face's expressions as a mesh with holes, so pixels and landmarks move by one map.

    brow                    .___.             The skin is a mesh whose vertices include the
    lid      ,-''-.         landmarks         landmarks. Between the lids and between the
    eyeball  (hole )        and lip and       lips it has holes; what lies behind (eyeballs,
    lid      `-..-'         lid curves        teeth, dark) does not move with the skin.

A vertex moves by a sum of five fixed displacement fields (thin-plate splines through
the landmarks' displacements, and through nothing else), so a landmark's place is exact.
Coordinates are pixels of the photograph.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline, RBFInterpolator
from scipy.spatial import Delaunay

from models.synthesis.face_motion import Pose
from schemas.landmarks import LANDMARK_COUNT

Points = npt.NDArray[np.float64]

#: Upper and lower lid of the right eye, then of the left one; upper and lower inner lip.
_LIDS: Final = ((36, 37, 38, 39), (36, 41, 40, 39), (42, 43, 44, 45), (42, 47, 46, 45))
_INNER_LIPS: Final = ((60, 61, 62, 63, 64), (60, 67, 66, 65, 64))
_EYES: Final = slice(36, 48)

_LID_POINTS: Final = 13
_LIP_POINTS: Final = 25
_GRID_SPACING_PX: Final = 4.0
#: How far the mesh reaches beyond the landmarks' bounding box: left, top, right, bottom.
_MARGIN_PX: Final = (14, 24, 14, 30)

# Displacements of landmarks (px of a face whose outer eye corners are 65 px apart).
_OPEN: Final = {
    4: (0, 0.8), 5: (0.4, 2.6), 6: (0.4, 4.8), 7: (0.2, 6.4), 8: (0, 7.0), 9: (-0.2, 6.4),
    10: (-0.4, 4.8), 11: (-0.4, 2.6), 12: (0, 0.8),
    48: (1.0, 1.0), 54: (-1.0, 1.0), 60: (1.0, 1.2), 64: (-1.0, 1.2),
    49: (0.4, 0), 50: (0, -0.4), 51: (0, -0.5), 52: (0, -0.4), 53: (-0.4, 0),
    61: (0, -0.3), 62: (0, -0.3), 63: (0, -0.3),
    55: (-1.0, 4.8), 56: (-0.3, 7.2), 57: (0, 7.8), 58: (0.3, 7.2), 59: (1.0, 4.8),
    65: (-0.3, 6.8), 66: (0, 7.6), 67: (0.3, 6.8),
}  # fmt: skip
_CLOSE: Final = {
    6: (0, -0.4), 7: (0, -0.8), 8: (0, -1.0), 9: (0, -0.8), 10: (0, -0.4),
    50: (0, 0.8), 51: (0, 1.0), 52: (0, 0.8), 61: (0, 1.3), 62: (0, 1.4), 63: (0, 1.2),
    55: (0, -1.6), 56: (0, -3.2), 57: (0, -3.8), 58: (0, -3.2), 59: (0, -1.6),
    65: (0, -3.9), 66: (0, -4.6), 67: (0, -4.6),
}  # fmt: skip
_NARROW: Final = {
    48: (4.2, 1.2), 54: (-4.2, 1.2), 60: (4.2, 1.2), 64: (-4.2, 1.2),
    49: (2.6, 0.5), 53: (-2.6, 0.5), 50: (1.0, 0), 52: (-1.0, 0), 61: (1.6, 0), 63: (-1.6, 0),
    59: (2.8, 0.6), 55: (-2.8, 0.6), 58: (1.2, 0.5), 56: (-1.2, 0.5), 57: (0, 0.5),
    67: (1.6, 0.2), 65: (-1.6, 0.2), 66: (0, 0.2),
    3: (0.4, 0.2), 13: (-0.4, 0.2), 4: (0.6, 0.4), 12: (-0.6, 0.4),
}  # fmt: skip
_RAISE: Final = {
    17: (0, -2.2), 18: (0, -3.4), 19: (0, -3.8), 20: (0, -3.6), 21: (0, -3.0),
    22: (0, -3.0), 23: (0, -3.6), 24: (0, -3.8), 25: (0, -3.4), 26: (0, -2.2),
}  # fmt: skip
#: The lashes above the lid's edge go with it instead of being stretched.
_LASHES_ABOVE_PX: Final = 2.2
#: Of the gap between the lids, what the upper and the lower lid close.
_UPPER_LID_SHARE: Final = 0.86
_LOWER_LID_SHARE: Final = 0.08


class ExpressionMesh:
    """The skin of one face, photographed with these (68, 2) float64 landmarks."""

    def __init__(self, landmarks_px: Points) -> None:
        self.landmarks_px = np.asarray(landmarks_px, np.float64)
        x0, y0 = np.floor(self.landmarks_px.min(0)).astype(int) - _MARGIN_PX[:2]
        x1, y1 = np.ceil(self.landmarks_px.max(0)).astype(int) + _MARGIN_PX[2:]
        #: The mesh covers pixels [x0, x1) x [y0, y1); its border does not move.
        self.region_xyxy_px = (int(x0), int(y0), int(x1), int(y1))

        lids = [_arc(self.landmarks_px[list(arc)], _LID_POINTS) for arc in _LIDS]
        lips = [_arc(self.landmarks_px[list(arc)], _LIP_POINTS) for arc in _INNER_LIPS]
        holes = [np.vstack([upper, lower[-2:0:-1]]) for upper, lower in (lids[:2], lids[2:], lips)]
        #: (P, 2) the inner lips as photographed.
        self.mouth_polygon_px = holes[-1]

        curves = np.vstack([*lids, *lips])
        self.vertices_px = _vertices(self.landmarks_px, curves, self.region_xyxy_px)
        self.triangles = Delaunay(self.vertices_px).simplices.astype(np.int32)
        self._fields = self._displacement_fields(lids)
        #: The vertices around each hole: right eye, left eye, mouth.
        self.hole_contours = [_nearest(self.vertices_px, polygon) for polygon in holes]

    def move(self, pose: Pose) -> Points:
        """Where the pose's expression takes the vertices, (V, 2); the first 68 are landmarks."""
        opening, closing = max(pose.mouth_open, 0.0), max(-pose.mouth_open, 0.0)
        amounts = np.array([opening, closing, pose.mouth_narrow, pose.brow_raise, pose.blink])
        return self.vertices_px + np.tensordot(amounts, self._fields, 1)

    def _displacement_fields(self, lids: list[Points]) -> npt.NDArray[np.float64]:
        """(5, V, 2): open, close, narrow, raise, blink; zero at the mesh's border."""
        scale = float(np.linalg.norm(self.landmarks_px[36] - self.landmarks_px[45])) / 65.0
        border = _border(self.region_xyxy_px, 6.0)
        still = [*lids, border]
        fields = []
        for displacements in (_OPEN, _CLOSE, _NARROW, _RAISE):
            steps = np.zeros((LANDMARK_COUNT, 2))
            for landmark, xy in displacements.items():
                steps[landmark] = np.multiply(xy, scale)
            fields.append(self._field([(self.landmarks_px, steps)], still))
        blink = []
        for upper, lower in zip(lids[::2], lids[1::2], strict=True):
            gap, inner = lower - upper, slice(2, -2)
            blink += [(upper, _UPPER_LID_SHARE * gap), (lower, -_LOWER_LID_SHARE * gap)]
            lashes = upper[inner] - np.array([0, _LASHES_ABOVE_PX * scale])
            blink.append((lashes, _UPPER_LID_SHARE * gap[inner]))
        fields.append(self._field(blink, [np.delete(self.landmarks_px, _EYES, axis=0), border]))
        return np.stack(fields)

    def _field(
        self, moves: list[tuple[Points, Points]], still: list[Points]
    ) -> npt.NDArray[np.float64]:
        """(V, 2): the smooth field with the given (places, displacements), 0 at `still`."""
        places = np.vstack([place for place, _ in moves] + still)
        steps = np.zeros_like(places)
        moving = np.vstack([step for _, step in moves])
        steps[: len(moving)] = moving
        places, first = np.unique(places.round(9), axis=0, return_index=True)
        spline = RBFInterpolator(places, steps[first], kernel="thin_plate_spline")
        field = np.asarray(spline(self.vertices_px), np.float64)
        x0, y0, x1, y1 = self.region_xyxy_px
        x, y = self.vertices_px.T
        field[(x <= x0) | (x >= x1 - 1) | (y <= y0) | (y >= y1 - 1)] = 0.0
        return field


def _arc(knots: Points, count: int) -> Points:
    """`count` points along a smooth curve through the knots; knots are among the points."""
    lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    apart = np.r_[True, np.diff(lengths) > 0]  # labels are whole pixels: two knots may coincide
    curve = CubicSpline(lengths[apart], knots[apart])
    pieces = len(knots) - 1
    steps = (count - 1) // pieces
    places = [np.linspace(lengths[i], lengths[i + 1], steps, endpoint=False) for i in range(pieces)]
    points = np.asarray(curve(np.r_[np.concatenate(places), lengths[-1]]), np.float64)
    points[::steps] = knots
    return points


def _border(region: tuple[int, int, int, int], spacing: float) -> Points:
    x0, y0, x1, y1 = region
    xs = np.linspace(x0, x1 - 1, int((x1 - x0) / spacing) + 1)
    ys = np.linspace(y0, y1 - 1, int((y1 - y0) / spacing) + 1)
    return np.vstack(
        [np.column_stack([xs, np.full_like(xs, y)]) for y in (y0, y1 - 1)]
        + [np.column_stack([np.full_like(ys[1:-1], x), ys[1:-1]]) for x in (x0, x1 - 1)]
    )


def _vertices(landmarks: Points, curves: Points, region: tuple[int, int, int, int]) -> Points:
    """Landmarks, then curve points, then a grid that keeps its distance, then the border."""
    border = _border(region, _GRID_SPACING_PX)
    x0, y0, x1, y1 = region
    xs = np.arange(x0 + _GRID_SPACING_PX, x1 - _GRID_SPACING_PX / 2, _GRID_SPACING_PX)
    ys = np.arange(y0 + _GRID_SPACING_PX, y1 - _GRID_SPACING_PX / 2, _GRID_SPACING_PX)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    chosen = landmarks
    for candidates, distance in ((curves, 0.3), (grid, 0.5 * _GRID_SPACING_PX), (border, 0.5)):
        gaps = np.linalg.norm(candidates[:, None] - chosen[None], axis=-1).min(1)
        kept = candidates[gaps > distance]
        chosen = np.vstack([chosen, np.unique(kept.round(9), axis=0)])
    return chosen


def _nearest(vertices: Points, polygon: Points) -> npt.NDArray[np.intp]:
    """The polygon as indices of vertices, none twice in a row."""
    indices = np.linalg.norm(polygon[:, None] - vertices[None], axis=-1).argmin(1)
    return np.asarray(indices[indices != np.roll(indices, 1)], np.intp)
