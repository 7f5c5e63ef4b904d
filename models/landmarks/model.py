"""A trained landmark network, ready to run: crops in, landmarks in crop pixels out.

A weights file is one safetensors file. Its metadata holds a `LandmarkCard`: everything
that a caller needs to cut the crops and to read the output.

    U-net, on a CPU, in float32      `OnnxLandmarkModel`: onnxruntime; torch is not imported
    any other network, CUDA, ...     `TorchLandmarkModel`
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.devices import device_name
from models.landmarks.card import LandmarkCard, card_from_metadata, check_frames
from models.landmarks.external.file_names import is_onnx
from models.landmarks.quarter_turns import landmarks_turned_back, quarters_to_upright
from models.tensor_file import read_tensors
from schemas.errors import UsageError, WeightsError
from schemas.landmarks import LANDMARK_COUNT

_WEIGHTS: Final = Path(__file__).parents[1] / "weights"
DEFAULT_WEIGHTS: Final = _WEIGHTS / "landmarks_fast.safetensors"
#: Weights that come with the package, by the name that `--weights` takes.
NAMED_WEIGHTS: Final[Mapping[str, Path]] = {
    "default": DEFAULT_WEIGHTS,
    "fast": DEFAULT_WEIGHTS,
    "accurate": _WEIGHTS / "landmarks_accurate.safetensors",
}
#: Torch's own formats, which hold pickles or code.
_TORCH_SUFFIXES: Final = (".pt2", ".pt", ".pth", ".ts", ".torchscript")


class LandmarkModel(abc.ABC):
    """A landmark network in inference form, on one device.

    Attributes:
        card: the metadata of the weights file.
        device: where it runs: cpu or cuda:i.
        weights_sha256: hex digest of the weights file.
        batch_windows: windows in a call of the network.
    """

    def __init__(
        self,
        card: LandmarkCard,
        *,
        device: str,
        weights_sha256: str,
        batch_windows: int,
        frames_seen: int,
    ) -> None:
        self.card = card
        self.device = device
        self.weights_sha256 = weights_sha256
        self.batch_windows = batch_windows
        self._frames_seen = frames_seen

    def __repr__(self) -> str:
        """Name, crop and device; no tensors."""
        size = self.card.crop_size_px
        return (
            f"LandmarkModel({self.card.network}, {size}x{size} crops, on {self.device}, "
            f"weights {self.weights_sha256[:12] or 'unsaved'})"
        )

    @property
    @abc.abstractmethod
    def makes_heatmaps(self) -> bool:
        """Whether the network's output is heatmaps, to be decoded by a codec."""

    @abc.abstractmethod
    def read_by(self, codec: str) -> LandmarkModel:
        """The same network with its heatmaps decoded by another of CODECS.

        Raises:
            UsageError: the network makes no heatmaps, or none that soft-argmax can decode.
        """

    @abc.abstractmethod
    def _predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """(M, 68, 3) x, y, spread; every crop is used, no two windows are equal."""

    def predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """Landmarks of the last frame of each window: (M, 68, 2), see `predict_with_spread`."""
        return self.predict_with_spread(crops, windows)[0]

    def predict_with_spread(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
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
        found = self._predict_any_roll(crops[used], local.reshape(seen.shape))[inverse.ravel()]
        return found[..., :2], found[..., 2]

    def _predict_any_roll(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """As `_predict`; faces that do not stand are turned and looked at again.

        The second look counts where it says that the face stands now.
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
            stands = quarters_to_upright(again[..., :2]) == 0
            again[..., :2] = landmarks_turned_back(again[..., :2], turns, self.card.crop_size_px)
            found[rolled[stands]] = again[stands]
        return found


def landmark_device(weights: str | Path | None, device: str) -> str:
    """Where the weights run: `models.devices.device_name`, and `onnx_device` of ONNX.

    Raises UsageError where they cannot.
    """
    if is_onnx(weights):
        from models.landmarks.external.onnx_network import onnx_device

        return str(onnx_device(device))
    return device_name(device)


def load_landmark_model(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    bfloat16: bool = False,
    compiled: bool = False,
    batch_windows: int | None = None,
    threads: int | None = None,
) -> LandmarkModel:
    """Loads a network for inference.

    Args:
        path: a weights file, an external network (`models.landmarks.external`), or one of
            NAMED_WEIGHTS; None is the default. Tensors may be stored in half precision;
            the network runs in float32.
        device: where it runs.
        bfloat16: compute in bfloat16; see `models.landmarks.precision`.
        compiled: by torch.compile, at the first predictions; needs a C++ compiler. Neither
            applies to external networks.
        batch_windows: windows in a call of the network; None: a size that suits the device.
        threads: CPU threads of a call; None: OMP_NUM_THREADS, or all cores.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or does not hold what
            its card says.
        UsageError: the device does not exist, or bfloat16 or compilation was requested for an
            external network.
    """
    file = NAMED_WEIGHTS.get(str(path or "default")) or Path(str(path))
    if is_onnx(file):
        if bfloat16 or compiled:
            raise UsageError(f"{file}: external networks run in the form they were saved in")
        return _load_external(file, device, batch_windows)
    if file.suffix in _TORCH_SUFFIXES:
        raise WeightsError(
            f"{file}: got a torch file, expected .onnx: export the network with torch.onnx.export"
        )
    arrays, card = read_arrays(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    as_trained = card.network == "unet" and card.codec == "soft_argmax"
    if as_trained and not (bfloat16 or compiled) and device_name(device) == "cpu":
        from models.landmarks.onnx_model import OnnxLandmarkModel

        check_frames(file, card, 1)
        try:
            return OnnxLandmarkModel(
                arrays, card, sha256, batch_windows=batch_windows, threads=threads
            )
        except WeightsError as error:
            raise WeightsError(f"{file}: {error}") from error
    import torch

    from models.landmarks.torch_model import TorchLandmarkModel, checked_tensors

    if threads is not None:
        torch.set_num_threads(threads)
    tensors = checked_tensors(file, arrays, card)
    network = card.build_network()
    network.load_state_dict(
        {name: tensor.to(torch.float32) for name, tensor in tensors.items()}, strict=False
    )
    return TorchLandmarkModel(
        network,
        card,
        device,
        sha256,
        bfloat16=bfloat16,
        compiled=compiled,
        batch_windows=batch_windows,
    )


def _load_external(path: Path, device: str, batch_windows: int | None) -> LandmarkModel:
    from models.landmarks.external.onnx_network import onnx_device, read_external_network
    from models.landmarks.torch_model import TorchLandmarkModel

    resolved = onnx_device(device)
    network, card, sha256 = read_external_network(path, resolved)
    return TorchLandmarkModel(network, card, resolved, sha256, batch_windows=batch_windows)


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], LandmarkCard]:
    """The tensors of a weights file as they are stored, and its card.

    Raises:
        WeightsError: the file is missing, or is not a landmark weights file.
    """
    if not path.is_file():
        raise WeightsError(f"landmark weights: no such file: {path}")
    arrays, metadata = read_tensors(path)
    return arrays, card_from_metadata(path, metadata)
