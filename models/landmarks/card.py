"""The card of a landmark weights file: what a caller must know to cut crops and read output.

A weights file is one safetensors file; the card is its metadata, one JSON value a field.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, get_type_hints

import msgspec
import numpy.typing as npt
from msgspec import Meta

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

Size: TypeAlias = Annotated[int, Meta(ge=1, le=1024)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=16)]
CropScale: TypeAlias = Annotated[float, Meta(ge=0.5, le=4)]
SigmaPx: TypeAlias = Annotated[float, Meta(ge=0.3, le=30)]
PixelStd: TypeAlias = Annotated[float, Meta(gt=0)]
_SETTINGS: Final[Mapping[str, Any]] = {
    "stacks": Count,
    "features": Size,
    "channels": Annotated[list[Size], Meta(min_length=5, max_length=5)],
    "blocks": Count,
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
    crop_size_px: Size = 64
    crop_scale: CropScale = 1.1
    window_frames: Count = 3
    codec: str = "taylor"
    sigma_px: SigmaPx = SIGMA_PX
    spread_scale: Annotated[float, Meta(ge=0.01, le=100)] = 1.0
    landmark_layout: str = LANDMARK_LAYOUT
    crop_convention: str = "(x, y) px of the crop, top-left pixel centre at (0, 0)"
    box_convention: str = "yunet: upright, hairline to just below the chin, ear to ear"
    color: str = "RGB"
    pixel_mean_rgb: tuple[float, float, float] = (127.0, 109.0, 101.0)
    pixel_std_rgb: tuple[PixelStd, PixelStd, PixelStd] = (69.0, 63.0, 64.0)
    licence: str = "research use only"
    training: str = ""

    def build_network(self, **more: float) -> LandmarkNetwork:
        """The network that the card names, freshly initialized; `more`: other settings."""
        from models.landmarks.networks.construction import build_network  # torch

        settings = {**self.settings, **more}
        return build_network(
            self.network, LANDMARK_COUNT, crop_size_px=self.crop_size_px, **settings
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
    for name, kind in get_type_hints(LandmarkCard, include_extras=True).items():
        if name in metadata:
            try:
                value = msgspec.json.decode(metadata[name])
            except msgspec.DecodeError as error:
                raise WeightsError(f"{path}: metadata {name!r} is not JSON: {error}") from error
            values[name] = checked_value(path, name, value, kind)
        elif name not in _LATER_FIELDS:
            raise WeightsError(f"{path}: metadata lacks {name!r}")
    card, fixed = LandmarkCard(**values), LandmarkCard()
    choices = {name: (getattr(fixed, name),) for name in _FIXED_FIELDS}
    check_choices(path, card, choices | {"network": NETWORK_NAMES, "codec": CODECS})
    allowed = NETWORK_SETTINGS.get(card.network, ())
    for name, setting in card.settings.items():
        if name not in allowed:
            raise WeightsError(f"{path}: settings has {name!r}, expected some of {list(allowed)}")
        checked_value(path, f"settings: {name}", setting, _SETTINGS[name])
    return card


def checked_value(path: Path, name: str, value: object, kind: Any) -> Any:
    """A JSON value of a card as the type of its field, within the bounds of the type.

    Raises:
        WeightsError: it is of another type; names the file and the field.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise WeightsError(f"{path}: {name} is {value!r}: {error}") from error


def check_choices(path: Path, card: object, choices: Mapping[str, Sequence[str]]) -> None:
    """Raises WeightsError, with file and field, if a field of a card is none of its choices."""
    for name, allowed in choices.items():
        if getattr(card, name) not in allowed:
            raise WeightsError(
                f"{path}: {name} is {getattr(card, name)!r}, expected "
                f"{' or '.join(map(repr, allowed))}"
            )


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], LandmarkCard]:
    """The tensors of a weights file as they are stored, and its card.

    Raises:
        WeightsError: the file is missing, or is not a landmark weights file.
    """
    arrays, metadata = read_tensors(path, "landmark weights")
    return arrays, card_from_metadata(path, metadata)


def check_frames(path: Path, card: LandmarkCard, frames_seen: int) -> None:
    """Raises WeightsError if a window has fewer frames than the network needs."""
    if card.window_frames < frames_seen:
        raise WeightsError(
            f"{path}: window_frames is {card.window_frames}, expected {frames_seen} or more, which "
            f"the network {card.network} sees"
        )
