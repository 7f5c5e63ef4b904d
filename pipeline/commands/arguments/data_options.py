"""Options that several commands share: which data sets, which tracks."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Final

from pipeline.commands.argument_types import count, positive_int
from pipeline.commands.command_parser import CommandParser, add_setting
from pipeline.data.data_settings import TrackSettings
from schemas.choices import SET_KINDS
from schemas.errors import UsageError

SET_HELP: Final = (
    f"a labelled data set, repeatable; KIND is one of {', '.join(SET_KINDS)}; SPLIT is a part of "
    "it (the error for an unknown one lists them); PATH is its folder, for dlib the XML file, for "
    "tracks OUTPUT_OR_PARQUET=VIDEO"
)


def check_data(args: argparse.Namespace) -> None:
    """Raises UsageError where neither --data nor --set is given."""
    if args.data is None and not args.set:
        raise UsageError("got no data set, expected --data or --set")


def add_track_options(parser: CommandParser) -> None:
    """Adds the options of `TrackSettings`."""
    add = functools.partial(add_setting, TrackSettings, parser)
    add("data", Path, "DIR")
    add("cache", Path, "DIR")
    add("weights", Path, "FILE")
    add("tracks", positive_int)
    add("frames", positive_int)
    add("clips", positive_int)
    add("seed", count)
    add("threads", positive_int)
    parser.set_defaults(**dataclasses.asdict(TrackSettings()))
