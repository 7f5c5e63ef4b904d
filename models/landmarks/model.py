"""A trained landmark network, ready to run: crops in, landmarks in crop pixels out.

A weights file is one safetensors file. Its metadata holds a `LandmarkCard`: everything
that a caller needs to cut the crops and to read the output.

    U-net, on a CPU, in float32      `OnnxLandmarkModel`: onnxruntime; torch is not imported
    any other network, CUDA, ...     `TorchLandmarkModel`
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.devices import device_name
from models.landmarks.card import check_frames, read_arrays
from models.landmarks.landmark_model import LandmarkModel
from schemas.errors import UsageError, WeightsError

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


def landmark_device(weights: str | Path | None, device: str) -> str:
    """Where the weights run: `models.devices.device_name`, and `onnx_device` of ONNX.

    Raises UsageError where they cannot.
    """
    if _is_onnx(weights):
        from models.landmarks.external.onnx_network import onnx_device

        return str(onnx_device(device))
    return device_name(device)


def load_landmark_model(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    precision: str = "float32",
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
        precision: float32; bfloat16, which suits GPUs; or int8, half the time on a CPU, for a
            U-net whose file has ranges of activations, as `train landmarks` writes them.
        compiled: by torch.compile, at the first predictions; needs a C++ compiler. Neither
            applies to external networks.
        batch_windows: windows in a call of the network; None: a size that suits the device.
        threads: CPU threads of a call; None: OMP_NUM_THREADS, or all cores.

    Raises:
        WeightsError: the file is missing, is not a landmark weights file, or does not hold what
            its card says.
        UsageError: the device does not exist, or the network does not run in this precision
            there, or cannot be compiled.
    """
    file = NAMED_WEIGHTS.get(str(path or "default")) or Path(str(path))
    if _is_onnx(file):
        if precision != "float32" or compiled:
            raise UsageError(f"{file}: external networks run in the form they were saved in")
        return _load_external(file, device, batch_windows)
    if file.suffix in _TORCH_SUFFIXES:
        raise WeightsError(
            f"{file}: got a torch file, expected .onnx: export the network with torch.onnx.export"
        )
    arrays, card = read_arrays(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    as_trained = card.network == "unet" and card.codec == "soft_argmax"
    on_cpu = device_name(device) == "cpu"
    if as_trained and on_cpu and precision != "bfloat16" and not compiled:
        from models.landmarks.onnx_model import OnnxLandmarkModel

        check_frames(file, card, 1)
        try:
            return OnnxLandmarkModel(
                arrays,
                card,
                sha256,
                batch_windows=batch_windows,
                threads=threads,
                int8=precision == "int8",
            )
        except (UsageError, WeightsError) as error:
            raise type(error)(f"{file}: {error}") from error
    if precision == "int8":
        raise UsageError(
            f"{file}: int8 is for U-nets read by soft-argmax, on a CPU and not compiled; got "
            f"{card.network}, {card.codec}, {device_name(device)}" + (", compiled" * compiled)
        )
    import torch

    from models.landmarks.torch_model import TorchLandmarkModel, checked_tensors, loaded_network

    if threads is not None:
        torch.set_num_threads(threads)
    return TorchLandmarkModel(
        loaded_network(card, checked_tensors(file, arrays, card)),
        card,
        device,
        sha256,
        bfloat16=precision == "bfloat16",
        compiled=compiled,
        batch_windows=batch_windows,
    )


def _is_onnx(weights: str | Path | None) -> bool:
    """Whether the file name is that of an external network."""
    return Path(str(weights)).suffix.lower() == ".onnx"


def _load_external(path: Path, device: str, batch_windows: int | None) -> LandmarkModel:
    from models.landmarks.external.onnx_network import onnx_device, read_external_network
    from models.landmarks.torch_model import TorchLandmarkModel

    resolved = onnx_device(device)
    network, card, sha256 = read_external_network(path, resolved)
    return TorchLandmarkModel(network, card, resolved, sha256, batch_windows=batch_windows)
