"""The JSON card beside an external network: a description of its input and output."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Final, get_type_hints

import msgspec
from msgspec import Meta

from models.landmarks.card import (
    Count,
    CropScale,
    LandmarkCard,
    PixelStd,
    SigmaPx,
    Size,
    check_choices,
    checked_value,
)
from models.landmarks.external.layouts import LAYOUTS
from schemas.choices import CODECS
from schemas.errors import WeightsError
from schemas.landmarks import LANDMARK_LAYOUT

EXTERNAL_FORMAT: Final = "facetracks external landmarks 1"
_CHOICES: Final = {
    "format": (EXTERNAL_FORMAT,),
    "output": ("heatmaps", "crop_px", "zero_to_one", "crop_units"),
    "color": ("RGB", "BGR"),
    "landmark_layout": tuple(LAYOUTS),
    "codec": CODECS,
}


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
    crop_size_px: Size
    output: str
    landmark_layout: str
    pixel_mean_rgb: tuple[float, float, float]
    pixel_std_rgb: tuple[PixelStd, PixelStd, PixelStd]
    crop_scale: CropScale
    heatmap_stride: Annotated[int, Meta(ge=1)] = 1
    color: str = "RGB"
    codec: str = LandmarkCard().codec
    sigma_px: SigmaPx = LandmarkCard().sigma_px
    landmarks_output: str | None = None
    spread_output: str | None = None
    window_frames: Count = 1
    licence: str = "unknown"
    training: str = ""


def read_external_card(path: Path, content: bytes) -> tuple[ExternalCard, LandmarkCard]:
    """The card, and its equivalent `LandmarkCard`, of the 68 landmarks whatever the layout.

    Raises:
        WeightsError: it is not a card, or a value is invalid; names the file and the field.
    """
    try:
        values = msgspec.json.decode(content)
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
    kinds = get_type_hints(ExternalCard, include_extras=True)
    external = ExternalCard(
        **{name: checked_value(path, name, value, kinds[name]) for name, value in values.items()}
    )
    check_choices(path, external, _CHOICES)
    if external.spread_output is not None and external.spread_output == external.landmarks_output:
        raise WeightsError(
            f"{path}: spread_output is {external.spread_output!r}, the landmarks' own"
        )
    stride, size = external.heatmap_stride, external.crop_size_px
    if size % stride:
        raise WeightsError(f"{path}: heatmap_stride is {stride!r}, expected a divisor of {size}")
    shared = {field.name for field in dataclasses.fields(LandmarkCard)} & fields.keys()
    ours = {name: getattr(external, name) for name in shared - {"color", "landmark_layout"}}
    return external, LandmarkCard(network="external", landmark_layout=LANDMARK_LAYOUT, **ours)
