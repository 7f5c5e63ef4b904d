"""Provenance: the configuration that tracks depend on, the versions that made them, the licences.

Tracks inherit the terms of the weights that made them, so the terms travel with them: in each
track file, in run.json, and in the last lines of a run.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

import av

from models.detection.detections import FaceDetector
from models.landmarks.landmark_model import LandmarkModel
from models.stabilization.stabilizers import stabilizer_weights
from pipeline.settings import AnnotateSettings
from schemas.choices import STABILIZERS
from schemas.errors import UsageError
from schemas.landmarks import COORDINATE_CONVENTION, LANDMARK_LAYOUT
from transforms.storage.atomic_files import write_bytes
from transforms.storage.output_tables import OutputFolder

#: To be raised when the same inputs and weights give other tracks than before.
_METHOD_VERSION: Final = 5
_PACKAGES: Final = (
    "facetracks", "apache-beam", "av", "numpy", "onnxruntime", "opencv-python-headless", "torch",
)  # fmt: skip
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


def tracks_config(
    model: LandmarkModel, detector: FaceDetector, settings: AnnotateSettings
) -> dict[str, Any]:
    """Everything but the video that a track depends on."""
    stabilizer, fps = settings.stabilizer, settings.frame_rate
    fitted = stabilizer_weights(stabilizer)
    return {
        "method_version": _METHOD_VERSION,
        "network": model.card.network,
        "weights_sha256": model.weights_sha256,
        "precision": settings.precision,
        "crop_size_px": model.card.crop_size_px,
        "crop_scale": model.card.crop_scale,
        "detector": detector.name,
        "detector_sha256": detector.weights_sha256,
        "stabilizer": stabilizer if stabilizer in STABILIZERS else "file",
        "stabilizer_sha256": fitted.sha256 if fitted else None,
        "stream": settings.stream,
        "fps": None if fps is None else str(fps),
        "full_precision": settings.full_precision,
        "raw": settings.raw,
    }


def describe_run(runner: str, licences: Mapping[str, str]) -> dict[str, Any]:
    """Versions, runner, conventions and licences of weights, as written beside every track."""
    return {
        "versions": {name: _version(name) for name in _PACKAGES}
        | {"python": platform.python_version(), "ffmpeg": av.ffmpeg_version_info},
        "runner": runner,
        "licences": dict(licences),
        "landmark_layout": LANDMARK_LAYOUT,
        "coordinate_convention": COORDINATE_CONVENTION,
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


def check_same_config(output: str, config: Mapping[str, Any]) -> None:
    """Raises UsageError, with the difference, when `output` is of another configuration."""
    record = OutputFolder(output).run_record
    if not record.exists():
        return
    before = json.loads(record.read_bytes()).get("config", {})
    changed = [
        f"  {key}: {before.get(key)!r} there, {config.get(key)!r} now"
        for key in sorted({*before, *config})
        if before.get(key) != config.get(key)
    ]
    if changed:
        raise UsageError(
            f"{output} holds tracks of another configuration:\n"
            + "\n".join(changed)
            + "\nChoose another --output, or --overwrite to do everything again."
        )


def write_run_record(output: str, record: Mapping[str, Any]) -> None:
    """Publishes OUTPUT/run.json."""
    text = json.dumps(dict(record), indent=2, ensure_ascii=False, default=str)
    write_bytes(str(OutputFolder(output).run_record), text.encode(errors="backslashreplace"))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
