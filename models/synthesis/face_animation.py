"""A photograph of a face, animated: frames and the exact place of every landmark.

    photograph --expression--> photograph --head--> photograph --camera--> frame
                (mesh, holes)              (smooth)             (similarity)

The landmarks go forward through the three maps, the pixels are fetched through their
inverses, so a landmark is where its pixel is. The head's map is an orthographic rotation
of a face with depth that fades out around the head, so the body and the wall stay.
"""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import image_to_crop, sample_plane
from models.landmarks.datasets.labelled_face import LabelledFace
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX
from models.synthesis.expression_mesh import ExpressionMesh
from models.synthesis.face_motion import Pose

Points = npt.NDArray[np.float64]

#: Canvas pixels a photograph pixel: expressions are drawn enlarged, then reduced.
_CANVAS_SCALE: Final = 4
_MOUTH_DARK_RGB: Final = (52, 20, 20)
_PHOTOGRAPH_PX: Final = 512

# The head in the photograph: an ellipse over hair and chin, the neck it turns on, and
# depth (px towards the camera) as a dome with a nose.
_HEAD_CENTRE_PX: Final = np.array([226.0, 100.0])
_HEAD_RADII_PX: Final = np.array([75.0, 88.0])
_FADES_AT_RADII: Final = 2.3
_NECK_PX: Final = np.array([224.0, 185.0])
_FACE_CENTRE_PX: Final = np.array([224.0, 120.0])
_DOME: Final = (42.0, np.array([224.0, 122.0]), np.array([48.0, 62.0]))
_NOSE: Final = (9.0, np.array([223.8, 125.0]), np.array([9.0, 12.0]))

#: What the camera sees: the photograph around this point, so many pixels wide.
_VIEW_CENTRE_PX: Final = np.array([224.0, 152.0])
_VIEW_SIDE_PX: Final = 290.0


class FaceAnimation:
    """Renders poses of a (512, 512, 3) uint8 RGB photograph with (68, 2) float64 landmarks."""

    def __init__(self, photograph: npt.NDArray[np.uint8], landmarks_px: Points) -> None:
        self._mesh = ExpressionMesh(landmarks_px)
        height, width = photograph.shape[:2]
        enlarge = np.array([[1 / _CANVAS_SCALE, 0, 0], [0, 1 / _CANVAS_SCALE, 0]])
        self._canvas = cv2.warpAffine(  # canvas pixel c is photograph pixel c / scale
            photograph,
            enlarge,
            (width * _CANVAS_SCALE, height * _CANVAS_SCALE),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        x0, y0, x1, y1 = (v * _CANVAS_SCALE for v in self._mesh.region_xyxy_px)
        self._region = (slice(y0, y1 - _CANVAS_SCALE + 1), slice(x0, x1 - _CANVAS_SCALE + 1))
        self._origin = np.array([x0, y0], np.float64)
        self._still = self._canvas[self._region].copy()
        self._behind = self._draw_behind()

    def landmarks(self, pose: Pose, size_px: int) -> Points:
        """(68, 2) float64: the landmarks in pixels of the frame of that pose."""
        places = self._mesh.move(pose)[: len(self._mesh.landmarks_px)]
        linear, offset = _camera(pose, size_px)
        return head_map(places, pose) @ linear.T + offset

    def render(self, pose: Pose, size_px: int) -> npt.NDArray[np.uint8]:
        """The frame of a pose, (size_px, size_px, 3) uint8 RGB."""
        self._canvas[self._region] = self._draw_expression(self._mesh.move(pose))
        # Small frames are drawn larger and averaged, so that nothing between pixels is lost.
        finer = max(1, round(_VIEW_SIDE_PX * _CANVAS_SCALE / (2 * size_px)))
        places = self._photograph_places(pose, finer * size_px) * _CANVAS_SCALE
        frame = cv2.remap(
            self._canvas,
            places.astype(np.float32),
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        reduced: npt.NDArray[np.uint8] = cv2.resize(
            frame, (size_px, size_px), interpolation=cv2.INTER_AREA
        )
        return reduced

    def _photograph_places(self, pose: Pose, size_px: int) -> Points:
        """(size, size, 2): the photograph pixel (expression apart) that each frame pixel shows.

        The inverse is solved on every fourth pixel and interpolated: the map is smooth.
        """
        nodes, weights = _nodes_and_weights(size_px)
        linear, offset = _camera(pose, size_px)
        frame_xy = np.stack(np.meshgrid(nodes, nodes), -1)
        coarse = invert_head_map((frame_xy - offset) @ np.linalg.inv(linear).T, pose)
        full = [weights @ coarse[..., axis] @ weights.T for axis in (0, 1)]
        return np.stack(full, axis=-1)

    def _draw_expression(self, moved_px: Points) -> npt.NDArray[np.uint8]:
        """The canvas region with the mesh's vertices at `moved_px`."""
        triangles = self._mesh.triangles
        target = moved_px * _CANVAS_SCALE - self._origin
        source = self._mesh.vertices_px * _CANVAS_SCALE - self._origin
        to_source = _triangle_maps(target[triangles], source[triangles])  # (N, 2, 3)
        height, width = self._still.shape[:2]
        owner = np.zeros((height, width), np.int32)
        fixed = np.round(target * 16).astype(np.int32)
        for index, corners in enumerate(fixed[triangles]):
            cv2.fillConvexPoly(owner, corners, index, shift=4)
        maps = to_source[owner].astype(np.float32)  # (H, W, 2, 3)
        ys, xs = np.indices((height, width), np.float32)
        places = maps[..., 0] * xs[..., None] + maps[..., 1] * ys[..., None] + maps[..., 2]
        skin = cv2.remap(
            self._still, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        hole = np.zeros((height, width, 1), np.float32)
        for contour in self._mesh.hole_contours:
            _cover(hole[..., 0], target[contour])
        return np.asarray(hole * self._behind + (1 - hole) * skin, np.uint8)

    def _draw_behind(self) -> npt.NDArray[np.uint8]:
        """What the holes show: the eyeballs as photographed, teeth, and dark around them."""
        polygon = self._mesh.mouth_polygon_px * _CANVAS_SCALE - self._origin
        teeth = np.zeros(self._still.shape[:2], np.float32)
        cv2.fillPoly(teeth, [np.round(polygon * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
        teeth = cv2.GaussianBlur(teeth, (0, 0), 0.4 * _CANVAS_SCALE)[..., None]
        around = np.zeros(self._still.shape[:2], np.uint8)
        x0, y0 = polygon.min(0) - 10 * _CANVAS_SCALE
        x1, y1 = polygon.max(0) + 14 * _CANVAS_SCALE
        around[int(y0) : int(y1), int(x0) : int(x1)] = 1
        dark = teeth * self._still + (1 - teeth) * np.array(_MOUTH_DARK_RGB, np.float32)
        return np.asarray(np.where(around[..., None] > 0, dark, self._still), np.uint8)


def animate_still(face: LabelledFace) -> FaceAnimation:
    """A labelled still as an animated photograph.

    The still is turned, scaled and shifted so that its landmarks lie as the astronaut's do,
    since the animation's head and camera are placed for that photograph.
    """
    landmarks = face.landmarks_px.astype(np.float64)
    affine = similarity(ASTRONAUT_LANDMARKS_PX, landmarks)
    photograph = sample_plane(face.load(), affine, _PHOTOGRAPH_PX, _PHOTOGRAPH_PX)
    return FaceAnimation(photograph.astype(np.uint8), image_to_crop(landmarks, affine))


def similarity(source: Points, target: Points) -> Points:
    """(2, 3): the rotation, scale and shift that takes (N, 2) source nearest to target."""
    a, b = source - source.mean(0), target - target.mean(0)
    turn = (a[:, 0] + 1j * a[:, 1]).conj() @ (b[:, 0] + 1j * b[:, 1]) / (a**2).sum()
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


def head_map(points_px: Points, pose: Pose) -> Points:
    """Where the head's motion takes (..., 2) pixels of the photograph."""
    return points_px + _head_displacement(points_px, pose)


def invert_head_map(points_px: Points, pose: Pose) -> Points:
    """The (..., 2) pixels that `head_map` takes to `points_px` (fixed-point iteration)."""
    places = points_px.copy()
    for _ in range(60):
        previous = places
        places = points_px - _head_displacement(places, pose)
        if float(np.abs(places - previous).max()) < 1e-4:
            break
    return places


def _head_displacement(points: Points, pose: Pose) -> Points:
    radius = np.linalg.norm((points - _HEAD_CENTRE_PX) / _HEAD_RADII_PX, axis=-1)
    fade = np.clip((_FADES_AT_RADII - radius) / (_FADES_AT_RADII - 1), 0, 1)
    belongs = (fade * fade * (3 - 2 * fade))[..., None]
    depth = _bump(points, *_DOME) + _bump(points, *_NOSE)
    yaw, pitch, roll = np.deg2rad([-pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    x, y = np.moveaxis(points - _FACE_CENTRE_PX, -1, 0)
    turned_x = x * np.cos(yaw) + depth * np.sin(yaw)
    turned_y = y * np.cos(pitch) + depth * np.sin(pitch)
    turned = np.stack([turned_x, turned_y], -1)
    c, s = pose.head_scale * np.cos(roll), pose.head_scale * np.sin(roll)
    about_neck = turned + _FACE_CENTRE_PX - _NECK_PX
    rolled = about_neck @ np.array([[c, -s], [s, c]]).T + _NECK_PX + pose.head_shift_xy_px
    return np.asarray(belongs * (rolled - points), np.float64)


def _bump(points: Points, height: float, centre: Points, radii: Points) -> Points:
    return np.asarray(height * np.exp(-(((points - centre) / radii) ** 2).sum(-1)), np.float64)


def _camera(pose: Pose, size_px: int) -> tuple[Points, Points]:
    """(2, 2) and (2,): frame_xy = linear @ photograph_xy + offset."""
    zoom = size_px / _VIEW_SIDE_PX * pose.camera_zoom
    angle = np.deg2rad(pose.camera_roll_deg)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    seen = _VIEW_CENTRE_PX + pose.camera_shift_xy_px
    return linear, np.full(2, (size_px - 1) / 2) - linear @ seen


@functools.cache
def _nodes_and_weights(size_px: int) -> tuple[Points, Points]:
    """(N,) every fourth pixel, and the (size, N) cubic (Lagrange) interpolation between them.

    OpenCV's bicubic resizing would not even keep a straight line straight.
    """
    step = 4
    nodes = np.arange(-1, -(-size_px // step) + 3, dtype=np.float64) * step
    whole, rest = np.divmod(np.arange(size_px), step)
    t = rest / step
    weights = np.zeros((size_px, len(nodes)))
    rows = np.arange(size_px)
    weights[rows, whole] = -t * (t - 1) * (t - 2) / 6
    weights[rows, whole + 1] = (t + 1) * (t - 1) * (t - 2) / 2
    weights[rows, whole + 2] = -(t + 1) * t * (t - 2) / 2
    weights[rows, whole + 3] = (t + 1) * t * (t - 1) / 6
    return nodes, weights


def _cover(image: npt.NDArray[np.float32], polygon: Points) -> None:
    """Paints 1 inside a polygon onto `image` (H, W), in place, with a soft edge.

    The edge is a ramp, as wide as a photograph pixel, with its middle on the polygon, by
    distance: OpenCV's polygons are half a pixel too wide and would move lids and lips.
    """
    height, width = image.shape
    x0, y0 = np.maximum(np.floor(polygon.min(0)).astype(int) - _CANVAS_SCALE, 0)
    x1, y1 = np.minimum(np.ceil(polygon.max(0)).astype(int) + _CANVAS_SCALE + 1, [width, height])
    x, y = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
    nearest = np.full((y1 - y0, x1 - x0), np.inf, np.float32)  # squared distance
    inside = np.zeros(nearest.shape, bool)
    for start, stop in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        (along_x, along_y), rise = (stop - start).astype(np.float32), y - np.float32(start[1])
        run = x - np.float32(start[0])
        share = np.clip((run * along_x + rise * along_y) / (along_x**2 + along_y**2), 0, 1)
        gap = (run - share * along_x) ** 2 + (rise - share * along_y) ** 2
        np.minimum(nearest, gap, out=nearest)
        crosses = (start[1] > y) != (stop[1] > y)
        if along_y:
            inside ^= crosses & (run < rise * (along_x / along_y))
    distance = np.sqrt(nearest) / _CANVAS_SCALE
    cover = np.clip(0.5 + np.where(inside, distance, -distance), 0, 1)
    image[y0:y1, x0:x1] = np.maximum(image[y0:y1, x0:x1], cover)


def _triangle_maps(target: Points, source: Points) -> Points:
    """(N, 2, 3) affine maps that take (N, 3, 2) target corners to source corners.

    A triangle that closed lips or lids flattened to nothing maps to its first corner.
    """
    edges = np.swapaxes(target[:, 1:] - target[:, :1], 1, 2)  # (N, 2, 2)
    flat = np.abs(np.linalg.det(edges)) < 1e-6
    edges[flat] = np.eye(2)
    linear = np.swapaxes(source[:, 1:] - source[:, :1], 1, 2) @ np.linalg.inv(edges)
    linear[flat] = 0.0
    offset = source[:, 0] - np.einsum("nij,nj->ni", linear, target[:, 0])
    return np.concatenate([linear, offset[..., None]], axis=2)
