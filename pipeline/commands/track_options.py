"""The options that say which tracks `fit-stabilizer` and `evaluate-stabilizers` make."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from pipeline.data.stabilizer_tracks import TrackSettings

__all__ = ["add_track_options", "track_settings"]


def add_track_options(parser: argparse.ArgumentParser, *, tracks: int) -> None:
    """The options that say which tracks."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled sets (images68, pseudo68, videos); without it only the animated astronaut",
    )
    add("--cache", type=Path, metavar="DIR", help="keep the animated clips here (5 s each to make)")
    add("--weights", type=Path, metavar="FILE", help="landmark weights (default: the package's)")
    add("--tracks", type=int, default=tracks, help="how many tracks (default: %(default)s)")
    add("--frames", type=int, default=300, help="frames of a track (default: %(default)s)")
    add(
        "--clips",
        type=int,
        help="animated clips (default: 14 to fit, 12 held out, 9 to test)",
    )
    add("--seed", type=int, default=0, help="seed of every random choice (default: 0)")
    add("--threads", type=int, default=1, help="CPU threads (default: 1)")


def track_settings(args: argparse.Namespace) -> TrackSettings:
    """What the options say."""
    names = [field.name for field in dataclasses.fields(TrackSettings)]
    return TrackSettings(**{name: getattr(args, name) for name in names})
