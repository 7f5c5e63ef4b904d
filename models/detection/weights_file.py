"""The face detector's weights file: tensors in half precision, and the config in its header.

Read as numpy arrays: running the detector needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from models.tensor_file import Tensors, read_tensors, write_tensors
from schemas.errors import WeightsError

_FORMAT: Final = "facetracks-face-detector-1"
#: The licence of detectors trained on the research data.
_LICENCE: Final = "research use only, like the footage it was trained on"
#: Subtracted from pixels 0..255, and the divisor after that.
NEUTRAL_GREY: Final = 114.0
PIXEL_SCALE: Final = 64.0


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Parameters of a `DetectorNetwork` and of its use.

    Attributes:
        stem_channels: channels at strides 2 and 4.
        stage_channels: channels at strides 8, 16, 32 and 64.
        head_channels: channels of the way back up.
        input_longest_side_px: larger images are reduced to this.
        score_threshold: where recall and precision balance.
    """

    stem_channels: tuple[int, int] = (16, 16)
    stage_channels: tuple[int, int, int, int] = (32, 64, 96, 96)
    head_channels: int = 32
    input_longest_side_px: int = 640
    score_threshold: float = 0.6

    @property
    def strides_px(self) -> tuple[int, ...]:
        """Cell distances of the levels, fine to coarse."""
        return (8, 16, 32, 64)


def save_detector_weights(
    tensors: Tensors, config: DetectorConfig, path: Path, *, licence: str | None = None
) -> None:
    """Writes float tensors in half precision, by the names that `DetectorNetwork` gives them.

    Config and licence are in the file's header. Without `licence`, they are for research only.
    """
    halves = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    metadata = {
        "format": _FORMAT,
        "config": json.dumps(asdict(config)),
        "licence": licence or _LICENCE,
    }
    write_tensors(path, halves, metadata)


def read_detector_weights(path: Path) -> tuple[Tensors, DetectorConfig, str]:
    """Tensors, config and licence of a file of `save_detector_weights`.

    Files whose header has no licence give `unknown`.

    Raises:
        WeightsError: the file is missing, damaged, or not a detector's.
    """
    tensors, metadata = read_tensors(path, "face detector weights")
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} is not a face detector: its format is {metadata.get('format')!r}, "
            f"expected {_FORMAT!r}"
        )
    try:
        stored = msgspec.json.decode(metadata["config"])
        needed = {field.name: stored[field.name] for field in fields(DetectorConfig)}
        config = msgspec.convert(needed, DetectorConfig)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} holds no usable detector config: {error}") from error
    return tensors, config, metadata.get("licence", "unknown")
