"""External landmark networks in ONNX, run by onnxruntime behind `LandmarkNetwork`.

    FILE.onnx   the network: normalized crops (B, 3, S, S), or windows (B, T, 3, S, S) where
                window_frames is more than 1; or with the channels last; B open or fixed
    FILE.json   its card (`ExternalCard`)

The file is checked before it is loaded (`check_onnx`), and each output after it is computed: shape
and type must match the card, and a point that is not finite is missing (NaN).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.devices import resolve_device
from models.landmarks.card import LandmarkCard
from models.landmarks.external.card import ExternalCard, read_external_card
from models.landmarks.external.layouts import LAYOUTS
from models.landmarks.external.onnx_graph import check_onnx
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.onnx_session import CUDA_PROVIDER, onnx_runs_on_cuda, open_session
from schemas.errors import UsageError, WeightsError

_FLOATS: Final[Mapping[str, type[np.floating[Any]]]] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


class ExternalNetwork(LandmarkNetwork):
    """A session of onnxruntime as a network of L points of the card's layout.

    Raises:
        WeightsError: inputs or outputs do not match the card. The message does not name the file.
    """

    def __init__(self, session: Any, card: ExternalCard) -> None:
        layout = LAYOUTS[card.landmark_layout]
        super().__init__(layout.count, card.crop_size_px)
        self.layout = layout
        self.card = card
        self.frames_seen = card.window_frames
        self.heatmap_stride = card.heatmap_stride if card.output == "heatmaps" else None
        self._session = session
        self._input, self._dtype, self._channels_last, self._batch = self._checked_input()
        self._outputs = self._checked_outputs()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 3, S, S) windows to heatmaps (B, L, h, w) or crop units (B, L, 2), and spread.

        The spread is (B, L) float32 crop pixels, NaN where the network has none.

        Raises:
            WeightsError: shape or type of the output do not match the card.
        """
        output, *spreads = self._run(x)
        maps_or_points = torch.from_numpy(self._read_landmarks(output, len(x)))
        spread = np.full((len(x), self.landmark_count), np.nan, np.float32)
        if spreads:
            spread = self._read_spread(spreads[0], len(x))
        return maps_or_points.to(x.device), torch.from_numpy(spread).to(x.device)

    def _run(self, x: Tensor) -> list[npt.NDArray[Any]]:
        """The session's outputs for B windows, in batches of its fixed size if it has one."""
        if self.frames_seen == 1:
            x = x[:, -1]
        if self.card.color == "BGR":
            x = x.flip(-3)
        if self._channels_last:
            x = x.movedim(-3, -1)
        pixels = x.contiguous().cpu().numpy().astype(self._dtype, copy=False)
        size = self._batch or len(pixels)
        parts = []
        for begin in range(0, len(pixels), size):
            part = pixels[begin : begin + size]
            fill = np.repeat(part[-1:], size - len(part), axis=0)
            given = self._session.run(self._outputs, {self._input: np.concatenate([part, fill])})
            parts.append([self._checked_array(o, size)[: len(part)] for o in given])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _checked_array(self, output: object, batch: int) -> npt.NDArray[Any]:
        if not isinstance(output, np.ndarray) or output.dtype not in _FLOATS.values():
            kind = f"{type(output).__name__} of {getattr(output, 'dtype', None)}"
            raise WeightsError(f"its output is {kind}, expected floats")
        if output.ndim < 2 or len(output) != batch:
            raise WeightsError(f"its output is {output.shape} for a batch of {batch}")
        return output

    def _read_landmarks(self, output: npt.NDArray[Any], batch: int) -> npt.NDArray[np.float32]:
        """Maps (B, L, h, w), or points (B, L, 2) in crop units."""
        count, size = self.landmark_count, self.crop_size_px
        given: tuple[int, ...] = tuple(output.shape)
        if self.heatmap_stride is not None:
            side = size // self.heatmap_stride
            self._require(given, [(batch, count, side, side)])
            return output.astype(np.float32, copy=False)
        plain = (batch, *(n for n in given[1:] if n != 1))
        shapes = [(batch, *rest) for n in (2, 3) for rest in ((count, n), (count * n,))]
        self._require(plain, shapes, given)
        points: npt.NDArray[np.float32] = output.reshape(batch, count, -1)[..., :2]
        points = points.astype(np.float32)
        match self.card.output:
            case "crop_px":
                points = (points + np.float32(0.5)) / np.float32(size) - np.float32(0.5)
            case "zero_to_one":
                points = points - np.float32(0.5)
        return points

    def _read_spread(self, output: npt.NDArray[Any], batch: int) -> npt.NDArray[np.float32]:
        """(B, L) crop pixels; negative values become NaN."""
        plain = (batch, *(n for n in output.shape[1:] if n != 1))
        self._require(plain, [(batch, self.landmark_count)], output.shape, "spread_output")
        spread: npt.NDArray[np.float32] = output.reshape(batch, self.landmark_count)
        spread = spread.astype(np.float32)
        if self.card.output in ("zero_to_one", "crop_units"):
            spread = spread * np.float32(self.crop_size_px)
        return np.where(spread >= 0, spread, np.float32(np.nan))

    def _require(
        self,
        shape: tuple[int, ...],
        allowed: Sequence[tuple[int, ...]],
        given: tuple[int, ...] | None = None,
        what: str = "output",
    ) -> None:
        if shape not in allowed:
            raise WeightsError(
                f"its {what} is {given or shape}, but output {self.card.output!r}, "
                "landmark_layout, crop_size_px and heatmap_stride of the card say "
                + " or ".join(map(str, allowed))
            )

    def _checked_input(self) -> tuple[str, type[np.floating[Any]], bool, int | None]:
        """Name, type, whether the channels are last, and the batch where it is fixed."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in ("tensor(float)", "tensor(float16)"):
            got = ", ".join(f"{i.name}: {i.type}" for i in inputs)
            raise WeightsError(f"its inputs are {got or 'none'}, expected one of float or float16")
        shape, size = inputs[0].shape, self.crop_size_px
        frames = (self.card.window_frames,) if self.card.window_frames > 1 else ()
        for channels_last, sides in ((False, (3, size, size)), (True, (size, size, 3))):
            expected = (None, *frames, *sides)
            if len(shape) == len(expected) and all(
                not isinstance(n, int) or e is None or n == e
                for n, e in zip(shape, expected, strict=True)
            ):
                batch = shape[0] if isinstance(shape[0], int) else None
                if batch is None or 1 <= batch <= 1024:
                    return inputs[0].name, _FLOATS[inputs[0].type], channels_last, batch
        first, last = ", ".join(map(str, (*frames, 3, size, size))), f"{size}, {size}, 3"
        raise WeightsError(
            f"its input is {tuple(shape)}, but crop_size_px and window_frames of the card say "
            f"(batch, {first}), or (batch, ..., {last})"
        )

    def _checked_outputs(self) -> list[str]:
        """Names of the landmarks' output and, where there is one, of the spread's."""
        names = [output.name for output in self._session.get_outputs()]
        spread, landmarks = self.card.spread_output, self.card.landmarks_output
        rest = [name for name in names if name != spread]
        if landmarks is None and len(rest) == 1:
            landmarks = rest[0]
        for field, name in (("landmarks_output", landmarks), ("spread_output", spread)):
            if name not in names and (name is not None or field == "landmarks_output"):
                raise WeightsError(
                    f"its outputs are {', '.join(names)}, but {field} of the card is {name!r}"
                )
        return [name for name in (landmarks, spread) if name is not None]


def onnx_device(name: str | torch.device) -> torch.device:
    """Where a network in ONNX runs; `auto` is the CPU unless onnxruntime is its GPU build.

    Raises:
        UsageError: no such device, or onnxruntime without CUDA.
    """
    runs = onnx_runs_on_cuda()
    device = resolve_device("cpu" if str(name) == "auto" and not runs else name)
    if device.type == "cuda" and not runs:
        raise UsageError(
            f"device: got {name}, but onnxruntime here has no CUDA: install onnxruntime-gpu in "
            "place of onnxruntime"
        )
    return device


def read_external_network(
    path: Path, device: torch.device
) -> tuple[ExternalNetwork, LandmarkCard, str]:
    """The network on a device, its `LandmarkCard`, and the hex SHA-256 of both files.

    Raises:
        WeightsError: a file is missing or invalid; names the file and the field.
        UsageError: CUDA does not start.
    """
    if not path.is_file():
        raise WeightsError(f"landmark weights: no such file: {path}")
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise WeightsError(f"{path}: expected its card beside it: no such file: {card_path}")
    content, card_bytes = path.read_bytes(), card_path.read_bytes()
    external, card = read_external_card(card_path, card_bytes)
    try:
        check_onnx(content)
        network = ExternalNetwork(_session(content, device), external)
        _try_out(network)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error} (card: {card_path.name})") from error
    return network, card, hashlib.sha256(content + card_bytes).hexdigest()


def _session(content: bytes, device: torch.device) -> Any:
    on_cuda = device.type == "cuda"
    number = (device.index or 0) if on_cuda else None
    try:
        session = open_session(
            content, threads=torch.get_num_threads(), cuda_device=number, arena=True
        )
    except Exception as error:  # onnxruntime's errors have no common base class
        raise WeightsError(f"onnxruntime cannot load it: {_first_line(error)}") from error
    if on_cuda and CUDA_PROVIDER not in session.get_providers():
        raise UsageError(
            "onnxruntime could not start CUDA and would run on the CPU: its libraries are missing "
            "or of another version"
        )
    return session


@torch.inference_mode()
def _try_out(network: ExternalNetwork) -> None:
    """Runs the network on black windows, one and three at once, to check its outputs."""
    size, frames = network.crop_size_px, network.frames_seen
    for batch in (1, 3):
        try:
            output, _ = network(torch.zeros(batch, frames, 3, size, size))
        except WeightsError:
            raise
        except Exception as error:  # onnxruntime's errors have no common base class
            raise WeightsError(
                f"it does not run on a batch of {batch}: {_first_line(error)}"
            ) from error
        if not output.isfinite().all():
            raise WeightsError("its output for a black crop is not finite")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
