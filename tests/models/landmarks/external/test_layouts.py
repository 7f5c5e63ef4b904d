"""Conversion of hand-made points in other layouts, with exact expected values."""

import numpy as np
import pytest
import torch

from models.landmarks.external.layouts import LAYOUTS
from schemas.landmarks import FLIP_PERMUTATION


def _face68() -> np.ndarray:
    """A face drawn of lines and ellipses, landmarks where the 68's definition puts them."""

    def arc(count, start, stop, centre, radii):
        angle = np.deg2rad(np.linspace(start, stop, count))
        return np.stack([np.cos(angle), np.sin(angle)], -1) * radii + centre

    def eye(x):
        """Lids of straight lines: a third of the lid is two thirds of the way to its middle."""
        a, b = np.array([x, 40.0]), np.array([x + 16.0, 40])
        up, down = (a + b) / 2 - [0, 4], (a + b) / 2 + [0, 4]
        lids = [a + (up - a) * 2 / 3, b + (up - b) * 2 / 3]
        lower = [b + (down - b) * 2 / 3, a + (down - a) * 2 / 3]
        return np.array([a, *lids, b, *lower])

    return np.concatenate(
        [
            arc(17, 180, 0, (50, 45), (40, 45)),
            np.linspace([25, 30], [45, 28], 5),
            np.linspace([55, 28], [75, 30], 5),
            np.linspace([50, 40], [50, 55], 4),
            np.linspace([44, 60], [56, 60], 5),
            *(eye(30), eye(54)),
            arc(13, 180, 540, (50, 72), (14, 6))[:12],
            arc(9, 180, 540, (50, 72), (10, 2))[:8],
        ]
    )


def _eight_of_lids(eye: np.ndarray) -> np.ndarray:
    """The eight points of an eye, at quarters of its straight lids, from the six at thirds."""
    a, up_a, _, b, _, down_a = eye
    up, down = a + (up_a - a) * 3 / 2, a + (down_a - a) * 3 / 2
    return np.array([a, (a + up) / 2, up, (up + b) / 2, b, (b + down) / 2, down, (down + a) / 2])


def _contour33(jaw: np.ndarray) -> np.ndarray:
    """The jaw and the middles between its points."""
    out = np.empty((33, 2))
    out[::2], out[1::2] = jaw, (jaw[1:] + jaw[:-1]) / 2
    return out


def _brow9(upper: np.ndarray) -> np.ndarray:
    """Five points of the upper edge and four of the lower."""
    return np.concatenate([upper, upper[:0:-1] + [0, 3]])


def _wflw98(face: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            *(_contour33(face[:17]), _brow9(face[17:22]), _brow9(face[22:27]), face[27:36]),
            *(_eight_of_lids(face[36:42]), _eight_of_lids(face[42:48]), face[48:68]),
            *(face[36:42].mean(0)[None], face[42:48].mean(0)[None]),
        ]
    )


def _jd106(face: np.ndarray) -> np.ndarray:
    pupils = face[36:42].mean(0)[None], face[42:48].mean(0)[None]
    beside = np.array([[46.0, 42], [44, 50], [42, 57]])  # the nose's right edge
    return np.concatenate(
        [
            *(_contour33(face[:17]), _brow9(face[17:22]), _brow9(face[22:27])),
            *(face[27:31], beside, face[31:36], beside[::-1] * [-1, 1] + [100, 0]),
            *(_eight_of_lids(face[36:42]), pupils[0], _eight_of_lids(face[42:48]), pupils[1]),
            *(face[48:68], *pupils),
        ]
    )


#: Vertices of MediaPipe's mesh, by the equal landmark of the 68.
_VERTICES = (
    {0: 127, 8: 152, 16: 356}
    | {17: 70, 18: 63, 19: 105, 20: 66, 23: 296, 24: 334, 25: 293, 26: 300}
    | {29: 5, 30: 1, 31: 98, 32: 97, 33: 2, 34: 326, 35: 327}
    | {36: 33, 37: 160, 38: 158, 39: 133, 40: 153, 41: 144}
    | {42: 362, 43: 385, 44: 387, 45: 263, 46: 373, 47: 380}
    | {48: 61, 50: 37, 51: 0, 52: 267, 54: 291, 55: 321, 56: 314, 57: 17, 58: 84, 59: 91}
    | {60: 78, 61: 82, 62: 13, 63: 312, 64: 308, 65: 317, 66: 14, 67: 87}
)
#: Landmarks in the middle between two vertices.
_BETWEEN = {21: (107, 55), 22: (336, 285), 27: (168, 6), 28: (197, 195)} | {
    49: (39, 40),
    53: (269, 270),
}
#: The oval from each ear to the chin, and from there to the other.
_OVALS = (
    (range(9), (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)),
    (range(8, 17), (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)),
)
_INNER_JAW = [*range(1, 8), *range(9, 16)]


def _mediapipe478(face: np.ndarray) -> np.ndarray:
    """A mesh whose oval has two straight sides, unevenly divided."""
    mesh = np.full((478, 2), 1e3)
    for landmark, vertex in _VERTICES.items():
        mesh[vertex] = face[landmark]
    for landmark, pair in _BETWEEN.items():
        mesh[list(pair)] = face[landmark] + [[-1, -2], [1, 2]]
    for jaw, oval in _OVALS:
        start, end = face[jaw[0]], face[jaw[-1]]
        mesh[list(oval)] = start + ((np.arange(12) / 11) ** 1.5)[:, None] * (end - start)
    return mesh


def _to68(name: str, points: np.ndarray, spread: np.ndarray | None = None) -> np.ndarray:
    known = np.full(len(points), np.nan) if spread is None else spread
    found = LAYOUTS[name].to_ibug68(torch.from_numpy(points)[None], torch.from_numpy(known)[None])
    return found[0].numpy()


@pytest.mark.parametrize(
    ("name", "make"), [("ibug68", np.copy), ("wflw98", _wflw98), ("jd106", _jd106)]
)
def test_a_face_in_another_layout_is_the_face(name, make) -> None:
    face = _face68()
    points = make(face)
    assert points.shape == (LAYOUTS[name].count, 2)
    found = _to68(name, points)
    np.testing.assert_allclose(found[:, :2], face, atol=1e-9)
    assert np.isnan(found[:, 2]).all()


def test_spreads_go_where_their_points_go() -> None:
    spread = _to68("wflw98", _wflw98(_face68()), np.arange(98.0))[:, 2]
    np.testing.assert_allclose(spread[:4], [0, 2, 4, 6])
    np.testing.assert_allclose(spread[36:39], [60, 61 + 1 / 3, 62 + 2 / 3])


def test_mediapipes_jaw_is_interpolated_and_unsure() -> None:
    face = _face68()
    for jaw, _ in _OVALS:
        face[jaw] = np.linspace(face[jaw[0]], face[jaw[-1]], len(jaw))
    found = _to68("mediapipe478", _mediapipe478(face))
    np.testing.assert_allclose(found[:, :2], face, atol=1e-9)
    half = np.linalg.norm(face[1] - face[0]) / 2
    np.testing.assert_allclose(found[_INNER_JAW, 2], half)
    rest = np.setdiff1d(np.arange(68), _INNER_JAW)
    assert np.isnan(found[rest, 2]).all()
    of_the_network = _to68("mediapipe478", _mediapipe478(face), np.full(478, 3.0))
    np.testing.assert_allclose(of_the_network[rest, 2], 3.0)
    np.testing.assert_allclose(of_the_network[_INNER_JAW, 2], np.hypot(half, 3.0))


def test_parts_of_a_bent_curve_are_equal() -> None:
    """Two sides of a square, from (0, 0) over (12, 0) to (12, 12), in eight parts of three."""
    mesh = _mediapipe478(_face68())
    along = np.array([0, 1, 2, 4, 7, 9, 12, 15, 16, 20, 23, 24.0])
    mesh[list(_OVALS[0][1])] = np.stack([np.minimum(along, 12), np.maximum(along - 12, 0)], -1)
    found = _to68("mediapipe478", mesh)
    expected = [[3, 0], [6, 0], [9, 0], [12, 0], [12, 3], [12, 6], [12, 9]]
    np.testing.assert_allclose(found[1:8, :2], expected)
    np.testing.assert_allclose(found[1:8, 2], 1.5)


def test_a_mesh_that_is_one_point_has_a_finite_jaw() -> None:
    found = _to68("mediapipe478", np.full((478, 2), 5.0))
    np.testing.assert_array_equal(found[:, :2], 5.0)
    np.testing.assert_array_equal(found[_INNER_JAW, 2], 0.0)


def test_a_missing_point_is_missing_only_where_it_is_used() -> None:
    points = _wflw98(_face68())
    points[[61, 96]] = np.nan  # a lid's quarter, and a pupil; neither is among the 68
    found = _to68("wflw98", points)
    assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == [37]


def _mirror(name: str) -> np.ndarray:
    """The mirror partner of each point, from the layouts' definitions."""
    contour = [*range(32, -1, -1)]
    brows = [46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38]
    eye = np.array([4, 3, 2, 1, 0, 7, 6, 5])
    mouth = np.array([6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 16, 15, 14, 13, 12, 19, 18, 17])
    if name == "wflw98":
        nose = [51, 52, 53, 54, 59, 58, 57, 56, 55]
        return np.array([*contour, *brows, *nose, *(68 + eye), *(60 + eye), *(76 + mouth), 97, 96])
    nose = [51, 52, 53, 54, 65, 64, 63, 62, 61, 60, 59, 58, 57, 56, 55]
    eyes = [*(75 + eye), 83, *(66 + eye), 74]
    return np.array([*contour, *brows, *nose, *eyes, *(84 + mouth), 105, 104])


@pytest.mark.parametrize("name", ["wflw98", "jd106"])
def test_mirrored_points_are_mirrored_landmarks(name) -> None:
    points, mirror = np.random.default_rng(0).normal(size=(LAYOUTS[name].count, 2)), _mirror(name)
    np.testing.assert_array_equal(np.sort(mirror), np.arange(len(points)))
    found = _to68(name, points[mirror] * [-1, 1])[:, :2]
    np.testing.assert_allclose(found, _to68(name, points)[FLIP_PERMUTATION, :2] * [-1, 1])
