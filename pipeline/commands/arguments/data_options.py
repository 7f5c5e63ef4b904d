"""Options that several commands share: which data sets, which tracks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pipeline.commands.argument_types import count, positive_int
from schemas.choices import SET_KINDS, TRAINING_SETS
from schemas.errors import UsageError

SET_HELP: Final = (
    f"a labelled data set; KIND is one of {', '.join(SET_KINDS)}; SPLIT a part of it, where it "
    "has parts (a wrong one is an error that lists them); PATH its folder, for dlib the "
    "XML, for tracks OUTPUT_OR_PARQUET=VIDEO; repeatable"
)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `read_training_data` reads."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with faces68, pseudo68, videos and ytf68; validated on its ytf68/val",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KIND[/SPLIT]:PATH",
        help=SET_HELP + "; where no SPLIT is given, train",
    )
    add(
        "--validation",
        action="append",
        default=[],
        metavar="KIND[/SPLIT]:PATH",
        help="validate on this data set; repeatable (default: ytf68/val of --data, else what "
        "--validation-share holds out; where no SPLIT is given, validation)",
    )
    add(
        "--validation-share",
        type=float,
        default=0.2,
        help="how much of each --set is held out: of its videos, of its pictures, by the seed",
    )
    add(
        "--windows-per-video",
        type=count,
        default=80,
        metavar="N",
        help="of each --set, about this many windows per face and video, evenly spaced; 0: all, as "
        "in the papers; they are held in memory",
    )
    add(
        "--animated-windows",
        type=count,
        default=0,
        metavar="N",
        help="add this many windows of animated stills, for networks that see several frames: each "
        "takes about 0.3 s to render at the start, and 0.4 MB for crops of 64 px",
    )
    add(
        "--expressive-stills",
        type=count,
        default=0,
        metavar="N",
        help="add this many stills whose eyes and mouths were animated open and shut, for networks "
        "that see one frame: each takes about 0.3 s to render at the start; 16 %% of the samples "
        "are drawn from them",
    )
    add(
        "--data-sets",
        nargs="+",
        choices=TRAINING_SETS,
        default=TRAINING_SETS,
        metavar="NAME",
        help=f"of --data, train on these only, of {', '.join(TRAINING_SETS)}",
    )
    add(
        "--convention",
        type=Path,
        metavar="WEIGHTS",
        help="move the labels of --data's ytf68 by their median distance from what these weights "
        "predict, in the frame of the eyes: sets that are trained on together should follow one "
        "convention",
    )
    add("--skip-broken", action="store_true", help="leave out broken annotations and count them")


def check_data_options(args: argparse.Namespace) -> None:
    """Raises UsageError where the options of `add_data_options` name no data."""
    if args.data is None and not args.set:
        raise UsageError("got no data set, expected --data or --set")
    if not 0 < args.validation_share < 1:
        raise UsageError(
            f"--validation-share: got {args.validation_share}, expected more than 0, less than 1"
        )


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
    add("--tracks", type=positive_int, default=tracks, help="how many tracks")
    add("--frames", type=positive_int, default=300, help="frames of a track")
    add(
        "--clips",
        type=positive_int,
        help="animated clips (default: 14 to fit, 12 held out, 9 to test)",
    )
    add("--seed", type=count, default=0, help="seed of every random choice")
    add("--threads", type=positive_int, default=1, help="CPU threads")
