"""The JSON card beside an external network: a description of its input and output."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

from models.landmarks.card import LandmarkCard, check_crop_card
from models.landmarks.external.layouts import LAYOUTS
from schemas.errors import WeightsError
from schemas.landmarks import LANDMARK_LAYOUT

EXTERNAL_FORMAT: Final = "facetracks external landmarks 1"
_OUTPUTS: Final = ("heatmaps", "crop_px", "zero_to_one", "crop_units")
_COLORS: Final = ("RGB", "BGR")


@dataclasses.dataclass(frozen=True, slots=True)
class ExternalCard:
    """The fields of the card; those without a default are required.

    L is the number of points of the layout.

    format: EXTERNAL_FORMAT.
    crop_size_px: side of the square input.
    output: kind of output: heatmaps (B, L, h, w), or coordinates (B, L, 2), (B, L, 3), of which z
        is ignored, or flat, (x, y) in crop_px (the centre of the top-left pixel at (0, 0)),
        zero_to_one (of the crop's edges) or crop_units (-0.5 to 0.5 of the crop's edges).
    landmark_layout: of the points, one of LAYOUTS.
    pixel_mean_rgb, pixel_std_rgb: of pixel values 0..255, by which the input is normalized.
    heatmap_stride: crop pixels a heatmap pixel; heatmaps only.
    color: order of the input's channels.
    codec, sigma_px: see LandmarkCard; heatmaps only.
    landmarks_output: name of the output; required where there are several besides the spread.
    spread_output: name of an output (B, L), the expected distance from the truth: crop pixels of
        heatmaps and crop_px, else shares of the crop's side. None where the network has none.
    crop_scale, window_frames, licence, training: see LandmarkCard.
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
    landmarks_output: str | None = None
    spread_output: str | None = None
    window_frames: int = 1
    licence: str = "unknown"
    training: str = ""


def read_external_card(path: Path, content: bytes) -> tuple[ExternalCard, LandmarkCard]:
    """The card, and its equivalent `LandmarkCard`, of the 68 landmarks whatever the layout.

    Raises:
        WeightsError: it is not a card, or a value is invalid; names the file and the field.
    """
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
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
    _check_choices(path, external)
    shared = {field.name for field in dataclasses.fields(LandmarkCard)} & fields.keys()
    ours = {name: getattr(external, name) for name in shared - {"color", "landmark_layout"}}
    card = LandmarkCard(network="external", landmark_layout=LANDMARK_LAYOUT, **ours)
    check_crop_card(path, card)
    stride, size = external.heatmap_stride, external.crop_size_px
    if type(stride) is not int or stride < 1 or size % stride:
        raise WeightsError(f"{path}: heatmap_stride is {stride!r}, expected a divisor of {size}")
    return external, card


def _check_choices(path: Path, card: ExternalCard) -> None:
    choices = {
        "format": (EXTERNAL_FORMAT,),
        "output": _OUTPUTS,
        "color": _COLORS,
        "landmark_layout": tuple(LAYOUTS),
    }
    for name, allowed in choices.items():
        if getattr(card, name) not in allowed:
            raise WeightsError(
                f"{path}: {name} is {getattr(card, name)!r}, expected "
                f"{' or '.join(map(repr, allowed))}"
            )
    for name in ("landmarks_output", "spread_output"):
        value = getattr(card, name)
        if not (value is None or isinstance(value, str)):
            raise WeightsError(f"{path}: {name} is {value!r}, expected the name of an output")
    if card.spread_output is not None and card.spread_output == card.landmarks_output:
        raise WeightsError(f"{path}: spread_output is {card.spread_output!r}, the landmarks' own")
