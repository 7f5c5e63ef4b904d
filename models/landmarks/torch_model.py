"""A landmark network run by torch: any network, on a CPU or on CUDA, and its weights file.

`models.landmarks.model` has the common base class, and loads them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.checkpoints import float_arrays
from models.devices import resolve_device
from models.landmarks.card import (
    ACTIVATION_RANGES,
    LandmarkCard,
    card_metadata,
    check_frames,
    read_arrays,
)
from models.landmarks.external.onnx_network import ExternalNetwork
from models.landmarks.landmark_model import Crops, LandmarkModel, Points, Windows
from models.landmarks.networks.fast_inference import compile_form, fast_form, in_bfloat16
from models.landmarks.networks.heatmap_codecs import decode_heatmaps, read_places_and_spreads
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.tensor_file import Tensors, write_tensors
from schemas.errors import UsageError, WeightsError

#: Pixels of crops that go through the network together: on a CPU few enough for its caches.
_BATCH_PIXELS: Final = {"cpu": 32 * 64 * 64, "cuda": 256 * 64 * 64}
#: With fewer windows and one thread, torch leaves oneDNN for 1x1 convolutions.
_MIN_BATCH_WINDOWS: Final = 16


class TorchLandmarkModel(LandmarkModel):
    """A landmark network in torch's inference form, on one device.

    Args:
        network: any network of either paper, or an external one; it is not changed.
        card: the metadata of the weights file.
        device: auto, cpu, cuda or cuda:i.
        weights_sha256: hex digest of the weights file.
        bfloat16: compute in bfloat16; see `PrecisionCheck`.
        compiled: by torch.compile, at the first predictions; needs a C++ compiler.
        batch_windows: windows in a call of the network; None: a size that suits the device.
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
        self._device = resolve_device(device)
        suits = max(_MIN_BATCH_WINDOWS, _BATCH_PIXELS[self._device.type] // card.crop_size_px**2)
        form = fast_form(network)
        super().__init__(
            card,
            device=str(self._device),
            weights_sha256=weights_sha256,
            batch_windows=batch_windows or suits,
            frames_seen=form.frames_seen,
            makes_heatmaps=network.heatmap_stride is not None,
        )
        self._form = form.to(self._device)
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        if bfloat16:
            in_bfloat16(self._form)
        if compiled:
            compile_form(self._form)
        self._heatmap_stride = network.heatmap_stride
        self._makes_spread = network.makes_spread
        self._layout = network.layout if isinstance(network, ExternalNetwork) else None
        self._trained_codec = card.codec
        self._mean = torch.tensor(card.pixel_mean_rgb, device=self._device)
        self._std = torch.tensor(card.pixel_std_rgb, device=self._device)

    def read_by(self, codec: str) -> TorchLandmarkModel:
        """See `LandmarkModel`.

        The softmax of maps that were trained for soft-argmax is a Gaussian, which the other codecs
        decode.

        Raises:
            UsageError: the network makes no heatmaps, or none that soft-argmax can decode.
        """
        if not self.makes_heatmaps:
            raise UsageError(f"{self!r}: makes no heatmaps for {codec} to decode")
        if codec == "soft_argmax" and self._trained_codec != codec:
            raise UsageError(f"{self!r}: its heatmaps were not trained for {codec}")
        other = copy.copy(self)
        other.card = dataclasses.replace(self.card, codec=codec)
        return other

    @torch.inference_mode()
    def _predict(self, crops: Crops, windows: Windows) -> Points:
        """(M, 68, 3) x, y, spread; every crop is used, no two windows are equal."""
        with _whole_float32():
            shared = self._on_device(np.require(crops, None, ["C", "W"]))  # (N, S, S, 3)
            read_crops = self._form.read_crops
            if read_crops is not None:
                batches = torch.split(shared, self.batch_windows)
                shared = torch.cat([read_crops(self._normalized(part)) for part in batches])
            parts = []
            for part in torch.split(self._on_device(windows), self.batch_windows):
                gathered = shared[part]  # (B, F, ...)
                if read_crops is None:
                    gathered = self._normalized(gathered)  # (B, F, 3, S, S)
                parts.append(self._read_output(self._form.read_windows(gathered)))
            return torch.cat(parts).cpu().numpy()

    def _on_device(self, array: npt.NDArray[Any]) -> Tensor:
        """A tensor of the array; to CUDA it goes from pinned memory, and nothing waits for it."""
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)

    def _normalized(self, pixels: Tensor) -> Tensor:
        """(..., S, S, 3) uint8 to (..., 3, S, S) floating, channels last in memory."""
        normalized = (pixels.to(torch.float32) - self._mean) / self._std
        return normalized.to(self._dtype).movedim(-1, -3)

    def _read_output(self, output: Any) -> Tensor:
        """A network's output to (B, 68, 3) x, y, spread in crop pixels.

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


def _whole_float32() -> contextlib.AbstractContextManager[None]:
    """Convolutions in float32 as it is: cuDNN's TF32 moves landmarks by up to 0.2 px."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )


def read_landmark_weights(path: Path) -> tuple[dict[str, Tensor], LandmarkCard]:
    """The tensors as they are stored, for the network that the card names, and the card.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or holds tensors
            of another network.
    """
    arrays, card = read_arrays(path)
    return checked_tensors(path, arrays, card), card


def checked_tensors(path: Path, arrays: Tensors, card: LandmarkCard) -> dict[str, Tensor]:
    """The result of `read_arrays` as tensors for the network that the card names.

    Raises WeightsError as `read_landmark_weights` does.
    """
    tensors = {
        name: torch.from_numpy(array) for name, array in arrays.items() if name != ACTIVATION_RANGES
    }
    try:
        with torch.device("meta"):
            network = card.build_network()
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    check_frames(path, card, network.frames_seen)
    expected = {
        name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()
    }
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
    return tensors


def loaded_network(card: LandmarkCard, tensors: Mapping[str, Tensor]) -> LandmarkNetwork:
    """The network that the card names, in float32, with these tensors."""
    network = card.build_network()
    network.load_state_dict(
        {name: t.to(torch.float32) for name, t in tensors.items()}, strict=False
    )
    return network


def save_landmark_weights(
    path: str | Path,
    network: nn.Module,
    card: LandmarkCard,
    ranges: npt.NDArray[np.float32] | None = None,
) -> None:
    """Writes a weights file: matrices in half precision, vectors in float32, the card as metadata.

    The file appears whole or not at all. `ranges` of a U-net's activations, from `unet_ranges`,
    allow int8.
    """
    tensors = float_arrays(network) | ({} if ranges is None else {ACTIVATION_RANGES: ranges})
    stored = {
        name: tensor.astype(np.float16 if tensor.ndim >= 2 else np.float32)
        for name, tensor in tensors.items()
    }
    write_tensors(path, stored, card_metadata(card))
