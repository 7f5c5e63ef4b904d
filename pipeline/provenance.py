"""Provenance: the configuration that tracks depend on, and the versions that made them."""

from __future__ import annotations

import json
import platform
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
