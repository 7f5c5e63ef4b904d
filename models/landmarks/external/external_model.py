"""Landmark networks from elsewhere: exported by torch, with a JSON card beside them.

    FILE.pt2   saved by torch.export.save              FILE.json   the card
    FILE.pt    TorchScript; .pth, .ts and .torchscript likewise

Both are read without unpickling: see `exported_program` and `torch_script`, whose checks keep
a file from doing anything but compute. The network takes normalized crops (B, 3, S, S), or
windows (B, T, 3, S, S) where window_frames is more than 1, for any B.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.landmarks.card import LandmarkCard, check_crop_card
from models.landmarks.external.exported_program import read_exported_program
from models.landmarks.external.torch_script import read_torch_script
from models.landmarks.networks.landmark_network import LandmarkNetwork
from schemas.errors import WeightsError
from schemas.landmarks import LANDMARK_COUNT

__all__ = [
    "EXTERNAL_FORMAT",
    "EXTERNAL_SUFFIXES",
    "ExternalCard",
    "ExternalNetwork",
    "read_external_model",
]

EXTERNAL_FORMAT: Final = "facetracks external landmarks 1"
EXTERNAL_SUFFIXES: Final = (".pt2", ".pt", ".pth", ".ts", ".torchscript")
_OUTPUTS: Final = ("heatmaps", "crop_px", "zero_to_one", "crop_units")
_COLORS: Final = ("RGB", "BGR")


@dataclasses.dataclass(frozen=True, slots=True)
class ExternalCard:
    """What the JSON beside an exported network says; fields without a default are needed.

    format: EXTERNAL_FORMAT.
    crop_size_px: side of the square input.
    output: what comes out: heatmaps (B, 68, h, w), or coordinates (B, 68, 2) or (B, 136), (x, y)
        in crop_px (the centre of the top-left pixel at (0, 0)), zero_to_one (of the crop's edges)
        or crop_units (-0.5 to 0.5 of the crop's edges).
    heatmap_stride: crop pixels a heatmap pixel; heatmaps only.
    pixel_mean_rgb, pixel_std_rgb: of pixel values 0..255, by which the input is normalized.
    color: order of the input's channels.
    codec, sigma_px: see LandmarkCard; heatmaps only.
    crop_scale, window_frames, landmark_layout, licence, training: see LandmarkCard.
    """

    format: str
    crop_size_px: int
    output: str
    landmark_layout: str
    pixel_mean_rgb: tuple[float, float, float]
    pixel_std_rgb: tuple[float, float, float]
    crop_scale: float
    heatmap_stride: int = 1
    color: str = "RGB"
    codec: str = LandmarkCard().codec
    sigma_px: float = LandmarkCard().sigma_px
    window_frames: int = 1
    licence: str = "unknown"
    training: str = ""


class ExternalNetwork(LandmarkNetwork):
    """Another network, in the form that ours have."""

    def __init__(self, network: nn.Module, card: ExternalCard) -> None:
        super().__init__(LANDMARK_COUNT, card.crop_size_px)
        self.network = network
        self.card = card
        self.frames_seen = card.window_frames
        self.heatmap_stride = card.heatmap_stride if card.output == "heatmaps" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 3, S, S) windows to heatmaps (B, L, h, w) or crop units (B, L, 2)."""
        if self.frames_seen == 1:
            x = x[:, -1]
        if self.card.color == "BGR":
            x = x.flip(-3)
        output: Tensor = self.network(x.contiguous())
        if self.heatmap_stride is not None:
            return output
        points = output.reshape(len(output), LANDMARK_COUNT, 2)
        match self.card.output:
            case "crop_px":
                return (points + 0.5) / self.crop_size_px - 0.5
            case "zero_to_one":
                return points - 0.5
        return points


def read_external_model(path: Path) -> tuple[ExternalNetwork, LandmarkCard, str]:
    """The network, its card in our terms, and the hex SHA-256 of both files.

    Raises:
        WeightsError: a file is missing or not what it must be; names the file and the field.
    """
    if not path.is_file():
        raise WeightsError(f"landmark weights: no such file: {path}")
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise WeightsError(f"{path}: expected its card beside it: no such file: {card_path}")
    content, card_bytes = path.read_bytes(), card_path.read_bytes()
    external, card = _read_card(card_path, card_bytes)
    read = read_exported_program if path.suffix == ".pt2" else read_torch_script
    try:
        network = ExternalNetwork(read(content), external)
        _check_output(network, card_path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return network, card, hashlib.sha256(content + card_bytes).hexdigest()


def _read_card(path: Path, content: bytes) -> tuple[ExternalCard, LandmarkCard]:
    try:
        values: Any = json.loads(content)
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: got {type(values).__name__}, expected an object")
    fields = {field.name: field for field in dataclasses.fields(ExternalCard)}
    needed = {name for name, f in fields.items() if f.default is dataclasses.MISSING}
    for name in sorted(needed - values.keys()):
        raise WeightsError(f"{path}: lacks {name!r}")
    for name in sorted(values.keys() - fields.keys()):
        raise WeightsError(f"{path}: {name!r} is no field of a card; {', '.join(fields)} are")
    lists: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
    }
    external = ExternalCard(**lists)
    choices = {"format": (EXTERNAL_FORMAT,), "output": _OUTPUTS, "color": _COLORS}
    for name, allowed in choices.items():
        if getattr(external, name) not in allowed:
            raise WeightsError(
                f"{path}: {name} is {getattr(external, name)!r}, expected "
                f"{' or '.join(map(repr, allowed))}"
            )
    stride, size = external.heatmap_stride, external.crop_size_px
    card = LandmarkCard(
        network="external",
        **{
            field.name: getattr(external, field.name)
            for field in dataclasses.fields(LandmarkCard)
            if field.name in fields and field.name != "color"
        },
    )
    check_crop_card(path, card)
    if type(stride) is not int or stride < 1 or size % stride:
        raise WeightsError(f"{path}: heatmap_stride is {stride!r}, expected a divisor of {size}")
    return external, card


@torch.inference_mode()
def _check_output(network: ExternalNetwork, card_path: Path) -> None:
    """Runs the network on black windows, one and three at once, to see what comes out."""
    card, size = network.card, network.crop_size_px
    side = size // card.heatmap_stride
    shapes: list[tuple[int, ...]] = [(LANDMARK_COUNT, side, side)]
    if card.output != "heatmaps":
        shapes = [(LANDMARK_COUNT, 2), (2 * LANDMARK_COUNT,)]
    shape_in = (*((card.window_frames,) if card.window_frames > 1 else ()), 3, size, size)
    for batch in (1, 3):
        try:
            output = network.network(torch.zeros(batch, *shape_in))
        except (RuntimeError, WeightsError, ValueError, TypeError, IndexError) as error:
            raise WeightsError(
                f"it does not take {(batch, *shape_in)}, as crop_size_px and window_frames of "
                f"{card_path.name} say: {str(error).splitlines()[0]}"
            ) from error
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if got not in [(batch, *shape) for shape in shapes]:
            expected = " or ".join(str((batch, *shape)) for shape in shapes)
            raise WeightsError(
                f"its output is {got}, but output {card.output!r}, crop_size_px and "
                f"heatmap_stride of {card_path.name} say {expected}"
            )
