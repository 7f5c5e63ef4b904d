"""A decoded frame's pixels: sampled where a crop needs them, in the frame's own planes.

    upright pixel -> stored luma pixel -> chroma pixel      (affine maps, pixel centres)

Only the crop is converted to RGB. Planar YUV of 8 to 16 bits is read in place; every
other format goes through FFmpeg's conversion to RGB first.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from models.crops import Affine, compose_affines, sample_plane

#: The clockwise turn that makes a stored frame upright, and whether a mirroring follows it.
Orientation: TypeAlias = tuple[int, bool]
_AS_STORED: Final = (0, False)

#: Sampling of chroma -> log2 of its step in x, in y.
_CHROMA: Final = {
    "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0), "411": (2, 0), "410": (2, 2),
}  # fmt: skip
#: Planar formats: grey, or the sampling of their chroma; then their depth, if it is not 8.
_PLANAR: Final = re.compile(rf"(?:gray|yuv[ja]?({'|'.join(_CHROMA)})p)(?:(9|10|12|14|16)le)?")

#: FFmpeg's AVColorSpace -> (Kr, Kb) of the luma equation.
_LUMA_WEIGHTS: Final = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
_LIMITED_RANGE: Final = 1  # AVCOL_RANGE_MPEG
_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG


#: A change is measured on at least so many rows of a frame that has them ...
_CHANGE_ROWS: Final = 240
#: ... in blocks of so many columns and measured rows.
_BLOCK_PX: Final = 16


_HISTOGRAM_BINS: Final = 32
#: Mean change of a pixel, 0..255, that motion inside a shot does not reach at 25 fps ...
_SURE_CHANGE: Final = 48.0
#: ... or a smaller one when the distribution of brightness changes with it.
_LIKELY_CHANGE: Final = 22.0
_HISTOGRAM_CHANGE: Final = 0.35


class FrameChange(NamedTuple):
    """Differences of two frames' luma, 0..255: of all pixels, and where it is largest."""

    mean: float
    largest_block: float  # mean of a block of 16 px


#: Of frames that cannot be compared.
NOTHING_ALIKE: Final = FrameChange(math.inf, math.inf)


def upright_size(width_px: int, height_px: int, rotation_deg: int) -> tuple[int, int]:
    """Width and height of the upright frame, from those of the stored one."""
    return (height_px, width_px) if rotation_deg in (90, 270) else (width_px, height_px)


def upright_aspect(sample_aspect_ratio: Fraction, rotation_deg: int) -> Fraction:
    """Width over height of an upright pixel, from that of a stored one."""
    return 1 / sample_aspect_ratio if rotation_deg in (90, 270) else sample_aspect_ratio


def upright_affine(
    width_px: int, height_px: int, rotation_deg: int, *, mirrored: bool = False
) -> Affine:
    """The (2, 3) map from upright to stored pixels.

    `width_px` and `height_px` are those of the stored frame. The upright frame is the stored
    one turned clockwise by `rotation_deg` (0, 90, 180 or 270), then, where `mirrored`,
    mirrored left to right.
    """
    w, h = width_px - 1.0, height_px - 1.0
    maps = {
        0: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        90: [[0.0, 1.0, 0.0], [-1.0, 0.0, h]],
        180: [[-1.0, 0.0, w], [0.0, -1.0, h]],
        270: [[0.0, -1.0, w], [1.0, 0.0, 0.0]],
    }
    to_stored = np.array(maps[rotation_deg])
    if not mirrored:
        return to_stored
    upright_width, _ = upright_size(width_px, height_px, rotation_deg)
    return compose_affines(to_stored, np.array([[-1.0, 0.0, upright_width - 1.0], [0.0, 1.0, 0.0]]))


def orientation_of(display_matrix: Sequence[int]) -> Orientation:
    """The clockwise turn in degrees (0, 90, 180, 270) and whether a mirroring follows it.

    Args:
        display_matrix: the 9 numbers of FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX (a b u, c d v,
            x y w): stored (p, q) is shown at (a p + c q, b p + d q), y down. Other turns than
            quarter turns become the nearest one; a matrix that shows nothing, none.
    """
    a, b, _, c, d = (float(number) for number in display_matrix[:5])
    determinant = a * d - b * c
    if determinant == 0:
        return 0, False
    mirrored = determinant < 0
    turn_deg = math.degrees(math.atan2(b, -a if mirrored else a))
    return round(turn_deg / 90) * 90 % 360, mirrored


def frame_orientation(frame: Any) -> Orientation | None:
    """`orientation_of` the display matrix of an av.VideoFrame; None without one."""
    from av.sidedata.sidedata import SideDataContainer  # already imported: the frame comes from it

    # Not frame.side_data, which the frame would keep: each would refer to the other, and the
    # pixels stay until the garbage collector finds the two.
    held = SideDataContainer(frame)  # type: ignore[call-arg]  # its stub has no __init__
    matrix = held.get("DISPLAYMATRIX")
    return None if matrix is None else orientation_of(np.frombuffer(matrix, "<i4").tolist())


def upright_picture(
    stored: npt.NDArray[np.uint8], rotation_deg: int, mirrored: bool
) -> npt.NDArray[np.uint8]:
    """A stored picture, (H, W, 3), turned and mirrored as in `upright_affine`."""
    turned = np.rot90(stored, -rotation_deg // 90)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


@dataclass(frozen=True, slots=True, eq=False)
class StoredPlanes:
    """The pixels of one frame as its decoder stored them: all that `FramePixels` needs of it.

    Attributes:
        rotation_deg, mirrored: as in `upright_affine`.
        bits: of a sample, 8 to 16.
        chroma: log2 of the chroma step in x, in y; None where there is no chroma.
        planes: luma and two of chroma, (H, W) uint8 or little-endian uint16 of `bits`; or one,
            (H, W) luma, or (H, W, 3) uint8 RGB where `to_rgb` is None.
        to_rgb: (3, 4) float32 from (Y, U, V, 1) to 8-bit RGB.
    """

    rotation_deg: int
    mirrored: bool
    bits: int
    chroma: tuple[int, int] | None
    planes: list[npt.NDArray[Any]]
    to_rgb: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, frame: Any, orientation: Orientation | None = None) -> StoredPlanes:
        """The stored pixels of an av.VideoFrame, as views where possible.

        orientation: (rotation_deg, mirrored); None is the frame's own.
        """
        orientation = orientation or frame_orientation(frame) or _AS_STORED
        name = frame.format.name
        planar = _PLANAR.fullmatch(name)
        if planar is None:
            return cls(*orientation, 8, None, [frame.to_ndarray(format="rgb24")], None)
        sampling, depth = planar.groups()
        chroma, bits = _CHROMA[sampling] if sampling else None, int(depth or 8)
        grey = chroma is None and int(frame.color_range) != _LIMITED_RANGE
        full = name.startswith("yuvj") or grey or int(frame.color_range) == _FULL_RANGE
        to_rgb = _yuv_to_rgb(int(frame.colorspace), max(frame.width, frame.height), bits, full=full)
        return cls(*orientation, bits, chroma, _plane_views(frame, chroma, bits), to_rgb)


class FramePixels:
    """The planes of one frame, sampled in upright coordinates.

    Args:
        frame: an av.VideoFrame, or what is stored of one.

    Attributes: `width_px` and `height_px` of the upright frame, `rotation_deg` and `mirrored`
    as in `upright_affine`.
    """

    def __init__(self, frame: Any) -> None:
        stored = frame if isinstance(frame, StoredPlanes) else StoredPlanes.of(frame)
        self.rotation_deg, self.mirrored = stored.rotation_deg, stored.mirrored
        height, width = stored.planes[0].shape[:2]
        self.width_px, self.height_px = upright_size(width, height, self.rotation_deg)
        self._to_stored = upright_affine(width, height, self.rotation_deg, mirrored=self.mirrored)
        maps = [np.eye(2, 3)]
        if stored.chroma is not None:
            maps += [_to_chroma(*stored.chroma)] * 2
        self._planes = list(zip(stored.planes, maps, strict=True))
        self._to_rgb, self._bits = stored.to_rgb, stored.bits

    def sample(self, affine: Affine, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
        """The pixels under a crop: (height_px, width_px, 3) uint8 RGB.

        `affine` maps crop pixels to upright pixels, (2, 3) float64.
        """
        stored = compose_affines(self._to_stored, affine)
        parts = [
            sample_plane(plane, compose_affines(to_plane, stored), width_px, height_px)
            for plane, to_plane in self._planes
        ]
        if self._to_rgb is None:
            return parts[0].astype(np.uint8, copy=False)
        if len(parts) == 1:
            parts = [parts[0], *(np.full_like(parts[0], 1 << (self._bits - 1)),) * 2]
        rgb = cv2.transform(cv2.merge(parts), self._to_rgb)  # rounds and saturates
        eight_bit: npt.NDArray[np.uint8] = np.minimum(rgb, 255).astype(np.uint8, copy=False)
        return eight_bit

    def change_since(self, before: FramePixels) -> FrameChange:
        """How much the stored luma, or RGB, differs from that of an earlier frame.

        Rows are left out where a frame has many, so that it costs a fraction of decoding.
        """
        old, new = before._planes[0][0], self._planes[0][0]
        if old.shape != new.shape or old.dtype != new.dtype:
            return NOTHING_ALIKE
        step = max(1, new.shape[0] // _CHANGE_ROWS)
        apart = cv2.absdiff(new[::step], old[::step])
        if apart.ndim == 3:
            apart = apart.max(-1)
        height, width = apart.shape
        size = max(1, width // _BLOCK_PX), max(1, height // _BLOCK_PX)
        covered = apart[: max(height // _BLOCK_PX * _BLOCK_PX, 1)]
        blocks = cv2.resize(covered.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        scale = 2.0 ** (8 - self._bits)
        return FrameChange(float(blocks.mean()) * scale, float(blocks.max()) * scale)

    def luma_thumbnail(self, side_px: int = 48) -> npt.NDArray[np.float32]:
        """A coarse thumbnail for shot-cut detection: about side x side, 0..255.

        Pixels are picked, not averaged, so that it costs next to nothing.
        """
        plane = self._planes[0][0]
        step_y, step_x = (max(1, n // side_px) for n in plane.shape[:2])
        picked = plane[step_y // 2 :: step_y, step_x // 2 :: step_x]
        if picked.ndim == 3:
            picked = picked[..., 1]
        return picked.astype(np.float32) * np.float32(2.0 ** (8 - self._bits))


def _plane_views(frame: Any, chroma: tuple[int, int] | None, bits: int) -> list[npt.NDArray[Any]]:
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    views = []
    for plane in frame.planes[: 1 if chroma is None else 3]:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
        views.append(rows[:, : plane.width])
    return views


def _to_chroma(log2_step_x: int, log2_step_y: int) -> Affine:
    """From a luma pixel to its place in a plane of chroma."""
    # Chroma sits on the left luma column and between luma rows (MPEG-2, H.264).
    step_x, step_y = 1 << log2_step_x, 1 << log2_step_y
    return np.array([[1 / step_x, 0.0, 0.0], [0.0, 1 / step_y, 0.5 / step_y - 0.5]])


@functools.lru_cache(16)
def _yuv_to_rgb(colorspace: int, side_px: int, bits: int, *, full: bool) -> npt.NDArray[np.float32]:
    """(3, 4) map from (Y, U, V, 1) to 8-bit RGB. Untagged video: BT.709 from 1280 px up."""
    kr, kb = _LUMA_WEIGHTS.get(colorspace, _LUMA_WEIGHTS[1 if side_px >= 1280 else 6])
    kg = 1 - kr - kb
    y_scale, c_scale, y_zero = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    v_r, u_b = 2 * (1 - kr) * c_scale, 2 * (1 - kb) * c_scale
    matrix = np.array(
        [[y_scale, 0.0, v_r], [y_scale, -u_b * kb / kg, -v_r * kr / kg], [y_scale, u_b, 0.0]]
    )
    offset = -matrix @ np.array([y_zero, 128.0, 128.0])
    return np.column_stack([matrix * 2.0 ** (8 - bits), offset]).astype(np.float32)


def is_cut(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> bool:
    """Whether two luma thumbnails, (h, w) float32 0..255, belong to different shots.

    Depends on the two frames alone. A change of frame size is a cut.
    """
    if before.shape != after.shape:
        return True
    change = float(np.abs(after - before).mean())
    if change < _LIKELY_CHANGE:
        return False
    return change > _SURE_CHANGE or _histogram_change(before, after) > _HISTOGRAM_CHANGE


def _histogram_change(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Distance of two histograms: the share of pixels that change bins, 0..1."""
    edges = np.linspace(0, 256, _HISTOGRAM_BINS + 1)
    ha, hb = (np.histogram(x, bins=edges)[0] / x.size for x in (a, b))
    return float(np.abs(ha - hb).sum() / 2)
