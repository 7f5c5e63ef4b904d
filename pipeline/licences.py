"""What the weights behind tracks may be used for, as their cards say.

Tracks inherit the terms of the weights that made them, so the terms travel with them: in each
track file, in run.json, and in the last lines of a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from models.detection.detections import FaceDetector
from models.landmarks.landmark_model import LandmarkModel
from models.stabilization.stabilizers import stabilizer_weights
from schemas.errors import UsageError

#: What cards say that do not allow commercial use, or do not say that they do.
_NOT_COMMERCIAL: Final = re.compile(
    r"research|academic|education|evaluation only|non[- _]?commercial|not for commercial"
    r"|no commercial|\bnc\b|unknown|as the data allows|^\W*$",
    re.IGNORECASE,
)
#: Kind of weights -> the options that replace them.
_OPTIONS: Final = {
    "landmarks": "--weights FILE, of your own (`facetracks train landmarks --licence TEXT`) or in "
    "ONNX with `licence` in its card",
    "detector": "--detector FILE, of your own (`facetracks train detector --licence TEXT`) or "
    "yunet:FILE.onnx with its licence in FILE.json",
    "stabilizer": "--stabilizer none, or FILE with weights of your own (`facetracks train "
    "stabilizer --licence TEXT`)",
}


def weight_licences(
    model: LandmarkModel, detector: FaceDetector, stabilizer: str
) -> dict[str, str]:
    """The licence of each kind of weights that tracks come from: landmarks, detector, stabilizer.

    A stabilizer that reads no weights has no entry; a card that says nothing gives `unknown`.
    """
    fitted = stabilizer_weights(stabilizer)
    given = {
        "landmarks": model.card.licence,
        "detector": detector.licence,
        "stabilizer": fitted.licence if fitted else None,
    }
    return {kind: text.strip() or "unknown" for kind, text in given.items() if text is not None}


def check_licences(licences: Mapping[str, str], use: str | None) -> None:
    """Refuses weights whose licence does not allow `use`, one of `USES`; None allows any.

    Raises UsageError with each kind of weights that does not allow it, and what to take instead.
    """
    if use is None:
        return
    refused = {kind: text for kind, text in licences.items() if _NOT_COMMERCIAL.search(text)}
    if refused:
        lines = [f"  {kind}: {text}\n    take {_OPTIONS[kind]}" for kind, text in refused.items()]
        raise UsageError(
            f"--require-licence {use}: the cards of these weights do not allow it:\n"
            + "\n".join(lines)
        )
