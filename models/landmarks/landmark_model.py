"""What every landmark network in inference form has in common."""

from __future__ import annotations

import abc
from typing import Final

import numpy as np
import numpy.typing as npt

from models.crops import turned_back
from models.landmarks.card import LandmarkCard
from schemas.landmarks import LANDMARK_COUNT

Crops = npt.NDArray[np.uint8]  # (N, S, S, 3) RGB
Windows = npt.NDArray[np.intp]  # (M, T) indices into crops, oldest first
Points = npt.NDArray[np.float32]

_EYES: Final = slice(36, 48)
_MOUTH: Final = slice(48, 68)


class LandmarkModel(abc.ABC):
    """A landmark network in inference form, on one device.

    Attributes:
        card: the metadata of the weights file.
        device: where it runs: cpu or cuda:i.
        weights_sha256: hex digest of the weights file.
        batch_windows: windows in a call of the network.
        makes_heatmaps: whether the network's output is heatmaps, to be decoded by a codec.
    """

    def __init__(
        self,
        card: LandmarkCard,
        *,
        device: str,
        weights_sha256: str,
        batch_windows: int,
        frames_seen: int,
        makes_heatmaps: bool,
    ) -> None:
        self.card = card
        self.device = device
        self.weights_sha256 = weights_sha256
        self.batch_windows = batch_windows
        self.makes_heatmaps = makes_heatmaps
        self._frames_seen = frames_seen

    def __repr__(self) -> str:
        size = self.card.crop_size_px
        return (
            f"LandmarkModel({self.card.network}, {size}x{size} crops, on {self.device}, "
            f"weights {self.weights_sha256[:12] or 'unsaved'})"
        )

    @abc.abstractmethod
    def read_by(self, codec: str) -> LandmarkModel:
        """The same network with its heatmaps decoded by another of CODECS.

        Raises:
            UsageError: the network makes no heatmaps, or none that soft-argmax can decode.
        """

    @abc.abstractmethod
    def _predict(self, crops: Crops, windows: Windows) -> Points:
        """(M, 68, 3) x, y, spread; every crop is used, no two windows are equal."""

    def predict(self, crops: Crops, windows: Windows) -> Points:
        """Landmarks of the last frame of each window: (M, 68, 2), see `predict_with_spread`."""
        return self.predict_with_spread(crops, windows)[0]

    def predict_with_spread(self, crops: Crops, windows: Windows) -> tuple[Points, Points]:
        """Landmarks of the last frame of each window, and the expected error of each.

        Args:
            crops: (N, S, S, 3) uint8 RGB, S = card.crop_size_px.
            windows: (M, T) intp indices into crops, oldest first, T = card.window_frames. A
                single-frame network uses the last column only.

        Returns:
            (M, 68, 2) float32 (x, y) crop pixels, the centre of the top-left one at (0, 0); NaN
            where the output of an external network is not finite.
            (M, 68) float32, the expected distance from the truth in crop pixels; NaN for
            networks that do not predict it.

        Raises:
            ValueError: an array has another shape or type, or an index is out of range.
        """
        size = self.card.crop_size_px
        if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3):
            raise ValueError(
                f"crops: got {crops.dtype} {crops.shape}, expected uint8 (N, {size}, {size}, 3)"
            )
        if windows.ndim != 2 or windows.shape[1] != self.card.window_frames:
            raise ValueError(
                f"windows: got shape {windows.shape}, expected (M, {self.card.window_frames})"
            )
        if not len(windows):
            return (
                np.empty((0, LANDMARK_COUNT, 2), np.float32),
                np.empty((0, LANDMARK_COUNT), np.float32),
            )
        if windows.min() < 0 or windows.max() >= len(crops):
            raise ValueError(
                f"windows: got indices {windows.min()}..{windows.max()} into {len(crops)} crops"
            )
        seen, inverse = np.unique(windows[:, -self._frames_seen :], axis=0, return_inverse=True)
        used, local = np.unique(seen, return_inverse=True)
        found = self._predict_any_roll(crops_at(crops, used), local.reshape(seen.shape))
        found = found[inverse.ravel()]
        return found[..., :2], found[..., 2]

    def _predict_any_roll(self, crops: Crops, windows: Windows) -> Points:
        """As `_predict`; the crops of rolled faces are turned upright and predicted again.

        Networks are best at upright faces. Where a first prediction shows a face that is rolled by
        more than 45 degrees, its crop is turned by quarter turns, without resampling. The second
        prediction is used where the face is upright in it.
        """
        found = self._predict(crops, windows)
        quarters = quarters_to_upright(found[..., :2])
        for turns in (1, 2, 3):
            rolled = np.flatnonzero(quarters == turns)
            if not len(rolled):
                continue
            used, local = np.unique(windows[rolled], return_inverse=True)
            turned = np.ascontiguousarray(np.rot90(crops[used], turns, axes=(1, 2)))
            again = self._predict(turned, local.reshape(len(rolled), -1))
            upright = quarters_to_upright(again[..., :2]) == 0
            again[..., :2] = turned_back(again[..., :2], turns, crops.shape[1:3])
            found[rolled[upright]] = again[upright]
        return found


def crops_at(crops: Crops, used: npt.NDArray[np.intp]) -> Crops:
    """`crops[used]` for rising indices; a view where no crop in between is left out."""
    first, last = int(used[0]), int(used[-1])
    return crops[first : last + 1] if last - first + 1 == len(used) else crops[used]


def quarters_to_upright(landmarks_px: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Counterclockwise quarter turns after which each face is upright: (M, 68, 2) to (M,), 0 to 3.

    By the line from the middle of the eyes to that of the mouth, which turned heads have too.
    0 where landmarks are not finite.
    """
    down = landmarks_px[:, _MOUTH].mean(1) - landmarks_px[:, _EYES].mean(1)  # (M, 2)
    clockwise = np.arctan2(-down[:, 0], down[:, 1])  # 0 where the mouth is below the eyes
    quarters = np.round(np.nan_to_num(clockwise) / (np.pi / 2)).astype(np.intp)
    return np.asarray(quarters % 4, np.intp)
