"""Options that several commands share: which data sets, which tracks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pipeline.commands.argument_types import count, positive_int
from schemas.choices import SET_KINDS

SET_HELP: Final = (
    f"a labelled data set, repeatable; KIND is one of {', '.join(SET_KINDS)}; SPLIT is a part of "
    "it (the error for an unknown one lists them); PATH is its folder, for dlib the XML file, for "
    "tracks OUTPUT_OR_PARQUET=VIDEO"
)


def add_track_options(parser: argparse.ArgumentParser, *, tracks: int) -> None:
    """The options that say which tracks."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled sets (images68, pseudo68, videos); without it, the animated astronaut only",
    )
    add("--cache", type=Path, metavar="DIR", help="keep the animated clips here (5 s each to make)")
    add("--weights", type=Path, metavar="FILE", help="landmark weights (default: the package's)")
    add("--tracks", type=positive_int, default=tracks, help="number of tracks")
    add("--frames", type=positive_int, default=300, help="frames per track")
    add(
        "--clips",
        type=positive_int,
        help="animated clips (default: 14 to fit, 12 held out, 9 to test)",
    )
    add("--seed", type=count, default=0, help="seed of every random choice")
    add("--threads", type=positive_int, default=1, help="CPU threads")
