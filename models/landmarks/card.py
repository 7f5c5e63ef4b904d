"""The card of a landmark weights file: what a caller must know to cut crops and read output.

A weights file is one safetensors file; the card is its metadata, one JSON value a field.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.tensor_file import read_tensors
from schemas.choices import CODECS, NETWORK_NAMES, NETWORK_SETTINGS, SIGMA_PX
from schemas.errors import WeightsError
from schemas.landmarks import LANDMARK_COUNT, LANDMARK_LAYOUT

if TYPE_CHECKING:
    from models.landmarks.networks.landmark_network import LandmarkNetwork

WEIGHTS_FORMAT: Final = "facetracks landmark weights 1"
#: The tensor with the ranges of activations, which int8 needs; not one of the network's.
ACTIVATION_RANGES: Final = "activation_ranges"
#: Fields added after the first weights files were written; a file without them gets the defaults.
_LATER_FIELDS: Final = ("settings", "codec", "sigma_px", "spread_scale")
_FIXED_FIELDS: Final = ("landmark_layout", "crop_convention", "color")
_MAX: Final = {
    "crop_size_px": 1024,
    "window_frames": 16,
    "stacks": 16,
    "features": 1024,
    "channels": 1024,
    "blocks": 16,
}


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkCard:
    """What a weights file says about itself.

    network: the architecture, one of NETWORK_NAMES.
    settings: further constructor arguments: stacks and features of the hourglass, channels
        and blocks of the U-net.
    crop_size_px, crop_scale: the square crop is `crop_scale` times the longer side of the
        face box, sampled to crop_size_px with `models.crops`.
    window_frames: frames of a window, the predicted one last. Single-frame networks use the
        last.
    codec, sigma_px: how heatmaps are decoded, and the standard deviation in heatmap pixels of
        the training targets; coordinate networks need neither.
    spread_scale: calibration factor of predicted spreads: it makes their mean equal to the mean
        error on held-out faces.
    pixel_mean_rgb, pixel_std_rgb: normalization of pixel values 0..255.
    licence: what the training data allows.
    training: provenance of the weights, one sentence.
    """

    network: str = "2d"
    settings: Mapping[str, int | Sequence[int]] = dataclasses.field(default_factory=dict)
    crop_size_px: int = 64
    crop_scale: float = 1.1
    window_frames: int = 3
    codec: str = "taylor"
    sigma_px: float = SIGMA_PX
    spread_scale: float = 1.0
    landmark_layout: str = LANDMARK_LAYOUT
    crop_convention: str = "(x, y) px of the crop, top-left pixel centre at (0, 0)"
    box_convention: str = "yunet: upright, hairline to just below the chin, ear to ear"
    color: str = "RGB"
    pixel_mean_rgb: tuple[float, float, float] = (127.0, 109.0, 101.0)
    pixel_std_rgb: tuple[float, float, float] = (69.0, 63.0, 64.0)
    licence: str = "research use only"
    training: str = ""

    def build_network(self) -> LandmarkNetwork:
        """The network that the card names, freshly initialized."""
        from models.landmarks.networks.construction import build_network  # torch

        return build_network(
            self.network, LANDMARK_COUNT, crop_size_px=self.crop_size_px, **self.settings
        )


def card_metadata(card: LandmarkCard) -> dict[str, str]:
    """The card as metadata of a safetensors file.

    Raises TypeError where a field cannot be written as JSON.
    """
    values = {name: json.dumps(value) for name, value in dataclasses.asdict(card).items()}
    return {"format": WEIGHTS_FORMAT, **values}


def card_from_metadata(path: Path, metadata: Mapping[str, str]) -> LandmarkCard:
    """The card that a file's metadata holds.

    Raises:
        WeightsError: a field is missing or invalid; names the file and the field.
    """
    if metadata.get("format") != WEIGHTS_FORMAT:
        raise WeightsError(
            f"{path}: not a landmark weights file: metadata format is "
            f"{metadata.get('format')!r}, expected {WEIGHTS_FORMAT!r}"
        )
    values: dict[str, Any] = {}
    for field in dataclasses.fields(LandmarkCard):
        if field.name not in metadata:
            if field.name in _LATER_FIELDS:
                continue
            raise WeightsError(f"{path}: metadata lacks {field.name!r}")
        try:
            value = json.loads(metadata[field.name])
        except json.JSONDecodeError as error:
            raise WeightsError(f"{path}: metadata {field.name!r} is not JSON: {error}") from error
        values[field.name] = tuple(value) if isinstance(value, list) else value
    card = LandmarkCard(**values)
    check_crop_card(path, card)
    _check_network(path, card)
    return card


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], LandmarkCard]:
    """The tensors of a weights file as they are stored, and its card.

    Raises:
        WeightsError: the file is missing, or is not a landmark weights file.
    """
    if not path.is_file():
        raise WeightsError(f"landmark weights: no such file: {path}")
    arrays, metadata = read_tensors(path)
    return arrays, card_from_metadata(path, metadata)


def check_crop_card(path: Path, card: LandmarkCard) -> None:
    """Checks the fields about crops, pixels and heatmaps, which every network has.

    Raises:
        WeightsError: a value is invalid; names the file and the field.
    """

    def require(condition: object, name: str, expected: object) -> None:
        if not condition:
            raise WeightsError(f"{path}: {name} is {getattr(card, name)!r}, expected {expected}")

    for name in ("crop_size_px", "window_frames"):
        require(_whole(getattr(card, name), name), name, f"a whole number up to {_MAX[name]}")
    for name in _FIXED_FIELDS:
        expected = getattr(LandmarkCard(), name)
        require(getattr(card, name) == expected, name, repr(expected))
    require(_within(card.crop_scale, 0.5, 4.0), "crop_scale", "0.5 to 4.0")
    require(card.codec in CODECS, "codec", f"one of {', '.join(CODECS)}")
    require(_within(card.sigma_px, 0.3, 30.0), "sigma_px", "0.3 to 30.0")
    require(_within(card.spread_scale, 0.01, 100.0), "spread_scale", "0.01 to 100.0")
    for name in ("pixel_mean_rgb", "pixel_std_rgb"):
        require(_three_numbers(getattr(card, name)), name, "three numbers")
    require(min(card.pixel_std_rgb) > 0, "pixel_std_rgb", "numbers above 0")
    for name in ("licence", "training"):
        require(isinstance(getattr(card, name), str), name, "a string")


def _check_network(path: Path, card: LandmarkCard) -> None:
    if card.network not in NETWORK_NAMES:
        raise WeightsError(
            f"{path}: network is {card.network!r}, expected one of {', '.join(NETWORK_NAMES)}"
        )
    allowed = NETWORK_SETTINGS.get(card.network, ())
    settings: Any = card.settings
    if not isinstance(settings, dict) or not all(
        name in allowed and _whole_numbers(value, name) for name, value in settings.items()
    ):
        raise WeightsError(
            f"{path}: settings is {settings!r}, expected whole numbers for some of {list(allowed)}"
        )


def check_frames(path: Path, card: LandmarkCard, frames_seen: int) -> None:
    """Raises WeightsError if a window has fewer frames than the network needs."""
    if card.window_frames < frames_seen:
        raise WeightsError(
            f"{path}: window_frames is {card.window_frames}, expected {frames_seen} or more, which "
            f"the network {card.network} sees"
        )


def _whole(value: object, name: str) -> bool:
    return type(value) is int and 1 <= value <= _MAX[name]


def _whole_numbers(value: object, name: str) -> bool:
    """`channels` is a list of five, every other setting a single number."""
    if name != "channels":
        return _whole(value, name)
    return isinstance(value, list) and len(value) == 5 and all(_whole(v, name) for v in value)


def _within(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


def _three_numbers(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(type(v) in (int, float) and np.isfinite(v) for v in value)
    )
