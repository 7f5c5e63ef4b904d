"""Recognizes files of external networks by name."""

from __future__ import annotations

from pathlib import Path


def is_onnx(weights: str | Path | None) -> bool:
    """Whether the file name is that of an ONNX network."""
    return Path(str(weights)).suffix.lower() == ".onnx"
