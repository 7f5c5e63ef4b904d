"""Which files hold networks from elsewhere, told without reading them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_onnx"]


def is_onnx(weights: str | Path | None) -> bool:
    """Whether weights are named as a network in ONNX."""
    return Path(str(weights)).suffix.lower() == ".onnx"
