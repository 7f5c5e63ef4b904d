"""A video and its tracks: the input of `render`, `crop` and `redact`."""

from __future__ import annotations

import argparse


def add_video_and_tracks(parser: argparse.ArgumentParser) -> None:
    """Adds VIDEO and --tracks, as the group `input`."""
    add = parser.add_argument_group("input").add_argument
    add("video", metavar="VIDEO", help="the video: a path or a URL")
    add(
        "--tracks",
        required=True,
        metavar="OUTPUT_OR_PARQUET",
        help="the output folder of `facetracks annotate`, or one track file",
    )
