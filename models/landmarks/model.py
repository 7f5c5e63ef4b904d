"""A trained landmark network, ready to run: crops in, landmarks in crop pixels out.

A weights file is one safetensors file. Its metadata holds a `LandmarkCard`: everything
that a caller must know to cut the crops and to read the output.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from models.atomic_write import atomic_write
from models.devices import resolve_device
from models.landmarks.card import LandmarkCard, card_from_metadata, card_metadata
from models.landmarks.external.onnx_network import (
    ExternalNetwork,
    is_onnx,
    onnx_device,
    read_external_network,
)
from models.landmarks.networks.fast_inference import compile_form, fast_form, in_bfloat16
from models.landmarks.networks.heatmap_codecs import decode_heatmaps, read_places_and_spreads
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.errors import UsageError, WeightsError
from schemas.landmarks import LANDMARK_COUNT

__all__ = [
    "DEFAULT_WEIGHTS",
    "NAMED_WEIGHTS",
    "LandmarkCard",
    "LandmarkModel",
    "landmark_device",
    "load_landmark_model",
    "read_landmark_weights",
    "save_landmark_weights",
]

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
#: Pixels of crops that go through the network together: on a CPU few enough for its caches.
_BATCH_PIXELS: Final = {"cpu": 32 * 64 * 64, "cuda": 256 * 64 * 64}
#: With fewer windows and one thread, torch leaves oneDNN for 1x1 convolutions.
_SMALLEST_BATCH: Final = 16


class LandmarkModel:
    """A landmark network in inference form, on one device.

    Args:
        network: any network of either paper, or an external one; it is left as it is.
        card: what the weights file says about itself.
        device: auto, cpu, cuda or cuda:i.
        weights_sha256: hex digest of the weights file.
        bfloat16: compute in half the precision; see `models.landmarks.precision`.
        compiled: by torch.compile, at the first predictions; needs a C++ compiler.
        batch_windows: windows in a call of the network; None: what suits the device.

    Attributes:
        card: what the weights file says about itself.
        device: where it runs.
        weights_sha256: hex digest of the weights file.
        batch_windows: windows in a call of the network.
    """

    def __init__(
        self,
        network: LandmarkNetwork,
        card: LandmarkCard,
        device: str | torch.device = "cpu",
        weights_sha256: str = "",
        *,
        bfloat16: bool = False,
        compiled: bool = False,
        batch_windows: int | None = None,
    ) -> None:
        self.card = card
        self.device = resolve_device(device)
        suits = max(_SMALLEST_BATCH, _BATCH_PIXELS[self.device.type] // card.crop_size_px**2)
        self.batch_windows = batch_windows or suits
        self.weights_sha256 = weights_sha256
        self._form = fast_form(network).to(self.device)
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        if bfloat16:
            in_bfloat16(self._form)
        if compiled:
            compile_form(self._form)
        self._heatmap_stride = network.heatmap_stride
        self._makes_spread = network.makes_spread
        self._layout = network.layout if isinstance(network, ExternalNetwork) else None
        self._trained_codec = card.codec
        self._mean = torch.tensor(card.pixel_mean_rgb, device=self.device)
        self._std = torch.tensor(card.pixel_std_rgb, device=self.device)

    def __repr__(self) -> str:
        """Name, crop and device; no tensors."""
        size = self.card.crop_size_px
        return (
            f"LandmarkModel({self.card.network}, {size}x{size} crops, on {self.device}, "
            f"weights {self.weights_sha256[:12] or 'unsaved'})"
        )

    @property
    def makes_heatmaps(self) -> bool:
        """Whether a codec reads the network's output."""
        return self._heatmap_stride is not None

    def read_by(self, codec: str) -> LandmarkModel:
        """The same network, its heatmaps read by another of CODECS.

        Maps that were trained to be read by soft-argmax are Gaussians after their softmax, and so
        are they read.

        Raises:
            UsageError: the network makes no heatmaps, or not such as soft-argmax reads.
        """
        if not self.makes_heatmaps:
            raise UsageError(f"{self!r}: makes no heatmaps to be read by {codec}")
        if codec == "soft_argmax" and self._trained_codec != codec:
            raise UsageError(f"{self!r}: its heatmaps are not made to be read by {codec}")
        other = copy.copy(self)
        other.card = dataclasses.replace(self.card, codec=codec)
        return other

    def predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """Landmarks of the last frame of each window: (M, 68, 2), see `predict_with_spread`."""
        return self.predict_with_spread(crops, windows)[0]

    def predict_with_spread(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Landmarks of the last frame of each window, and how far off each may be.

        Args:
            crops: (N, S, S, 3) uint8 RGB, S = card.crop_size_px.
            windows: (M, T) intp indices into crops, oldest first, T = card.window_frames. Of
                the columns those count that the network sees: all, or the last.

        Returns:
            (M, 68, 2) float32 (x, y) crop pixels, the centre of the top-left one at (0, 0); NaN
            where a network from elsewhere gives nothing finite.
            (M, 68) float32, the expected distance from the truth in crop pixels; NaN of networks
            that do not tell.

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
        seen, inverse = np.unique(
            windows[:, -self._form.frames_seen :], axis=0, return_inverse=True
        )
        used, local = np.unique(seen, return_inverse=True)
        found = self._predict(crops[used], local.reshape(seen.shape))[inverse.ravel()]
        return found[..., :2], found[..., 2]

    @torch.inference_mode()
    def _predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """(M, 68, 3) x, y, spread where every crop is used and every window another."""
        shared = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)  # (N, S, S, 3)
        read_crops = self._form.read_crops
        if read_crops is not None:
            read = [
                read_crops(self._normalized(part))
                for part in torch.split(shared, self.batch_windows)
            ]
            shared = torch.cat(read)  # (N, ...)
        parts = []
        for part in torch.split(torch.from_numpy(windows).to(self.device), self.batch_windows):
            gathered = shared[part]  # (B, F, ...)
            if read_crops is None:
                gathered = self._normalized(gathered)  # (B, F, 3, S, S)
            parts.append(self._read_output(self._form.read_windows(gathered)))
        return torch.cat(parts).cpu().numpy()

    def _normalized(self, pixels: Tensor) -> Tensor:
        """(..., S, S, 3) uint8 to (..., 3, S, S) floating, channels last in memory."""
        normalized = (pixels.to(torch.float32) - self._mean) / self._std
        return normalized.to(self._dtype).movedim(-1, -3)

    def _read_output(self, output: Any) -> Tensor:
        """What a network gives to (B, 68, 3) x, y, spread in crop pixels.

        Coordinates (B, L, 2), maps (B, L or 2 L, h, w), or a pair of one of them with the spread.
        """
        if self._layout is not None:
            given, spread = output
            missing = ~given.isfinite().flatten(2).all(-1, keepdim=True)
            points = self._landmarks_px(given).masked_fill(missing, torch.nan)
            return self._layout.to_ibug68(points, spread)
        if self._makes_spread:
            output = output.float()
            points, spread = read_places_and_spreads(output)
            spread = self.card.spread_scale * self.card.crop_size_px * spread
            if self.card.codec == "soft_argmax":
                points = (points + 0.5) * self.card.crop_size_px / output.shape[-1] - 0.5
            else:
                points = self._landmarks_px(output.chunk(2, dim=1)[0])
        else:
            points = self._landmarks_px(output)
            spread = points.new_full(points.shape[:2], torch.nan)
        return torch.cat([points, spread[..., None]], dim=-1)

    def _landmarks_px(self, output: Tensor) -> Tensor:
        """Coordinates (B, L, 2) or heatmaps (B, L, h, w) to (B, L, 2) crop pixels."""
        if self._heatmap_stride is None:
            return (output + 0.5) * self.card.crop_size_px - 0.5
        if "soft_argmax" == self._trained_codec != self.card.codec:
            output = output.flatten(-2).softmax(-1).reshape(output.shape)
        points = decode_heatmaps(output, self.card.codec, self.card.sigma_px)
        return (points + 0.5) * self._heatmap_stride - 0.5


def landmark_device(weights: str | Path | None, device: str | torch.device) -> torch.device:
    """Where the weights run: `models.devices.resolve_device`, and `onnx_device` of ONNX.

    Raises UsageError where they cannot.
    """
    return onnx_device(device) if is_onnx(weights) else resolve_device(device)


def load_landmark_model(
    path: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    bfloat16: bool = False,
    compiled: bool = False,
    batch_windows: int | None = None,
) -> LandmarkModel:
    """Loads a network for inference.

    Args:
        path: a weights file of ours, a network from elsewhere (`models.landmarks.external`), or
            one of NAMED_WEIGHTS; None is the default. Tensors may be stored in half precision;
            the network runs in float32.
        device: where it runs.
        bfloat16, compiled: see `LandmarkModel`; not for networks from elsewhere.
        batch_windows: see `LandmarkModel`.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or does not hold what
            its card says.
        UsageError: the device does not exist here, or a network from elsewhere was asked for in
            another form.
    """
    file = NAMED_WEIGHTS.get(str(path or "default")) or Path(str(path))
    if is_onnx(file):
        if bfloat16 or compiled:
            raise UsageError(f"{file}: networks from elsewhere run in the form they were saved in")
        device = onnx_device(device)
        external, card, sha256 = read_external_network(file, device)
        return LandmarkModel(external, card, device, sha256, batch_windows=batch_windows)
    if file.suffix in _TORCH_SUFFIXES:
        raise WeightsError(
            f"{file}: got a file of torch's own, expected .onnx: export the network with "
            "torch.onnx.export"
        )
    tensors, card = read_landmark_weights(file)
    network = card.build_network()
    network.load_state_dict(
        {name: tensor.to(torch.float32) for name, tensor in tensors.items()}, strict=False
    )
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return LandmarkModel(
        network,
        card,
        device,
        sha256,
        bfloat16=bfloat16,
        compiled=compiled,
        batch_windows=batch_windows,
    )


def read_landmark_weights(path: Path) -> tuple[dict[str, Tensor], LandmarkCard]:
    """The tensors as they are stored, for the network that the card names, and the card.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or holds tensors
            of another network.
    """
    if not path.is_file():
        raise WeightsError(f"landmark weights: no such file: {path}")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file: {error}") from error
    card = card_from_metadata(path, metadata)
    with torch.device("meta"):
        expected = {
            name: tensor
            for name, tensor in card.build_network().state_dict().items()
            if tensor.is_floating_point()
        }
    _check_shapes(path, tensors, expected)
    return tensors, card


def save_landmark_weights(path: str | Path, network: nn.Module, card: LandmarkCard) -> None:
    """Writes a weights file: matrices in half precision, vectors in float32, the card as metadata.

    The file appears whole or not at all.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().to(_stored_type(tensor))
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    metadata = card_metadata(card)
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, metadata))


def _stored_type(tensor: Tensor) -> torch.dtype:
    return torch.float16 if tensor.ndim >= 2 else torch.float32


def _check_shapes(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise WeightsError(
            f"{path}: tensors of another network: missing {missing[:4]}, unexpected {extra[:4]}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{path}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
