"""Which tracks `train stabilizer` and `evaluate stabilizers` make, by their options."""

from __future__ import annotations

import argparse
import dataclasses

from pipeline.data.stabilizer_tracks import TrackSettings

__all__ = ["track_settings"]


def track_settings(args: argparse.Namespace) -> TrackSettings:
    """What the options say."""
    names = [field.name for field in dataclasses.fields(TrackSettings)]
    return TrackSettings(**{name: getattr(args, name) for name in names})
