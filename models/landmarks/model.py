"""A trained landmark network, ready to run: crops in, landmarks in crop pixels out.

A weights file is one safetensors file. Its metadata holds a `LandmarkCard`: everything
that a caller must know to cut the crops and to read the output.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from models.networks.coordinate_network import CROP_SIZE_PX, CoordinateNetwork2D, fold_batch_norm
from models.whole_file import replacing
from schemas.errors import UsageError, WeightsError
from schemas.landmarks import LANDMARK_COUNT, LANDMARK_LAYOUT

__all__ = [
    "DEFAULT_WEIGHTS",
    "LandmarkCard",
    "LandmarkModel",
    "load_landmark_model",
    "read_landmark_weights",
    "save_landmark_weights",
]

DEFAULT_WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "landmarks_2d.safetensors"
_FORMAT: Final = "facetracks landmark weights 1"
#: Crops that go through the network together: on a CPU few enough to stay in its caches.
_CHUNK_CROPS: Final = {"cpu": 32, "cuda": 1024}


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkCard:
    """What a weights file says about itself.

    network: which network the tensors belong to.
    crop_size_px, crop_scale: the square crop is `crop_scale` times the longer side of the
        face box, sampled to crop_size_px with `models.crops`.
    window_frames: frames that a prediction may look at, the predicted one last.
    pixel_mean_rgb, pixel_std_rgb: normalization of pixel values 0..255.
    licence: what the training data allows.
    training: where the weights come from, in a sentence.
    """

    network: str = "2d"
    crop_size_px: int = CROP_SIZE_PX
    crop_scale: float = 1.1
    window_frames: int = 3
    landmark_layout: str = LANDMARK_LAYOUT
    crop_convention: str = "(x, y) px of the crop, top-left pixel centre at (0, 0)"
    box_convention: str = "yunet: upright, hairline to just below the chin, ear to ear"
    color: str = "RGB"
    pixel_mean_rgb: tuple[float, float, float] = (127.0, 109.0, 101.0)
    pixel_std_rgb: tuple[float, float, float] = (69.0, 63.0, 64.0)
    licence: str = "research use only"
    training: str = ""


class LandmarkModel:
    """A landmark network in inference form, on one device.

    Attributes:
        card: what the weights file says about itself.
        device: where it runs.
        weights_sha256: hex digest of the weights file.
    """

    def __init__(
        self,
        network: CoordinateNetwork2D,
        card: LandmarkCard,
        device: str | torch.device = "cpu",
        weights_sha256: str = "",
    ) -> None:
        self.card = card
        self.device = _checked_device(device)
        self.weights_sha256 = weights_sha256
        folded: nn.Module = fold_batch_norm(network)
        self._network = folded.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(card.pixel_mean_rgb, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(card.pixel_std_rgb, device=self.device).view(1, 3, 1, 1)

    def __repr__(self) -> str:
        """Name, crop and device; no tensors."""
        size = self.card.crop_size_px
        return (
            f"LandmarkModel({self.card.network}, {size}x{size} crops, on {self.device}, "
            f"weights {self.weights_sha256[:12] or 'unsaved'})"
        )

    def predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """Landmarks of the last frame of each window, in crop pixels.

        Args:
            crops: (N, S, S, 3) uint8 RGB, S = card.crop_size_px.
            windows: (M, 3) intp indices into crops, oldest first. This network sees one
                frame, so only the last column counts.

        Returns: (M, 68, 2) float32 (x, y), the centre of the top-left crop pixel at (0, 0).

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
            return np.empty((0, LANDMARK_COUNT, 2), np.float32)
        if windows.min() < 0 or windows.max() >= len(crops):
            raise ValueError(
                f"windows: got indices {windows.min()}..{windows.max()} into {len(crops)} crops"
            )
        seen, inverse = np.unique(windows[:, -1], return_inverse=True)
        chunk = _CHUNK_CROPS[self.device.type]
        parts = [
            self._predict_crops(crops[seen[i : i + chunk]]) for i in range(0, len(seen), chunk)
        ]
        return np.concatenate(parts)[inverse]

    @torch.inference_mode()
    def _predict_crops(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)
        x = pixels.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, H, W), channels last in memory
        landmarks: Tensor = self._network((x - self._mean) / self._std)  # (B, L, 2)
        in_px = (landmarks + 0.5) * self.card.crop_size_px - 0.5
        return in_px.cpu().numpy()


def load_landmark_model(
    path: str | Path | None = None, device: str | torch.device = "cpu"
) -> LandmarkModel:
    """Loads weights for inference; None loads the weights that come with the package.

    Tensors may be stored in half precision; the network runs in float32.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or holds tensors
            of another network.
        UsageError: the device does not exist here.
    """
    file = Path(path) if path is not None else DEFAULT_WEIGHTS
    tensors, card = read_landmark_weights(file)
    network = CoordinateNetwork2D()
    network.load_state_dict(
        {name: tensor.to(torch.float32) for name, tensor in tensors.items()}, strict=False
    )
    return LandmarkModel(network, card, device, hashlib.sha256(file.read_bytes()).hexdigest())


def read_landmark_weights(path: Path) -> tuple[dict[str, Tensor], LandmarkCard]:
    """The tensors as they are stored, for this network, and the card.

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
    card = _card_from_metadata(path, metadata)
    expected = {
        name: tensor
        for name, tensor in CoordinateNetwork2D().state_dict().items()
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
    metadata = {name: json.dumps(value) for name, value in dataclasses.asdict(card).items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {"format": _FORMAT, **metadata}))


def _stored_type(tensor: Tensor) -> torch.dtype:
    return torch.float16 if tensor.ndim >= 2 else torch.float32


def _card_from_metadata(path: Path, metadata: Mapping[str, str]) -> LandmarkCard:
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path}: not a landmark weights file: metadata format is "
            f"{metadata.get('format')!r}, expected {_FORMAT!r}"
        )
    values: dict[str, Any] = {}
    for field in dataclasses.fields(LandmarkCard):
        if field.name not in metadata:
            raise WeightsError(f"{path}: metadata lacks {field.name!r}")
        try:
            value = json.loads(metadata[field.name])
        except json.JSONDecodeError as error:
            raise WeightsError(f"{path}: metadata {field.name!r} is not JSON: {error}") from error
        values[field.name] = tuple(value) if isinstance(value, list) else value
    card = LandmarkCard(**values)
    expected = LandmarkCard()
    for name in ("network", "crop_size_px", "window_frames", "landmark_layout", "color"):
        if getattr(card, name) != getattr(expected, name):
            raise WeightsError(
                f"{path}: {name} is {getattr(card, name)!r}, expected {getattr(expected, name)!r}"
            )
    if not isinstance(card.crop_scale, float) or not 0.5 <= card.crop_scale <= 4:
        raise WeightsError(f"{path}: crop_scale is {card.crop_scale!r}, expected 0.5 to 4.0")
    for name in ("pixel_mean_rgb", "pixel_std_rgb"):
        channels = getattr(card, name)
        if np.shape(channels) != (3,) or not np.all(np.isfinite(channels)):
            raise WeightsError(f"{path}: {name} is {channels!r}, expected three numbers")
    return card


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


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        checked = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device {str(device)!r}: expected cpu, cuda or cuda:N") from error
    if checked.type == "cuda":
        count = torch.cuda.device_count()
        if (checked.index or 0) >= count:
            raise UsageError(f"device {str(device)!r}: this machine has {count} CUDA devices")
    elif checked.type != "cpu":
        raise UsageError(f"device {str(device)!r}: expected cpu, cuda or cuda:N")
    return checked
