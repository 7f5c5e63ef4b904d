"""The options of the commands that read a video and its tracks: `render`, `crop`, `redact`."""

from __future__ import annotations

import argparse

from pipeline.commands.argument_types import file_name, positive_float, positive_int
from pipeline.commands.command_parser import CommandParser
from schemas.choices import CROP_FORMATS, REDACTION_STYLES


def add_render(parser: CommandParser) -> None:
    """draw tracks over their video, as a video or a contact sheet

    Draws tracks over their video: stabilized landmarks green, raw ones orange, boxes blue (dashed
    where interpolated between detections).

    examples:
        facetracks render clip.mp4 --tracks OUT --to overlay.mp4
        facetracks render clip.mp4 --tracks OUT --to sheet.png --frames 20 --columns 5
    """
    _add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add(
        "--to",
        required=True,
        type=file_name(".mp4", ".png"),
        metavar="FILE.mp4|FILE.png",
        help="file to write: .mp4 is a video of all frames, .png a contact sheet of some",
    )
    add("--frames", type=positive_int, default=12, metavar="N", help="tiles of a contact sheet")
    add("--columns", type=positive_int, default=4, metavar="N", help="columns of a contact sheet")
    add("--raw", action="store_true", help="also draw raw landmarks that hardly differ")


def add_crop(parser: CommandParser) -> None:
    """write the faces of a video as clips or frames

    Writes the faces of a video, each upright and of constant size over its track. A Parquet file
    beside them has the transforms that map back to the frame.

    examples:
        facetracks crop clip.mp4 --tracks OUT --to faces
        facetracks crop clip.mp4 --tracks OUT --to faces --format png --size 112
    """
    _add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add("--to", required=True, metavar="FOLDER", help="the folder to write: a path or a URL")
    add(
        "--format",
        choices=CROP_FORMATS,
        default=CROP_FORMATS[0],
        help="clips with sound, pictures, or shards of pictures",
    )
    add("--size", type=positive_int, default=256, metavar="PX", help="side of a crop, even")
    add(
        "--margin",
        type=positive_float,
        default=0.3,
        metavar="SHARE",
        help="margin on each side of a face, as a share of its size",
    )
    add("--keep-rotation", action="store_true", help="do not level the eyes")
    limits = parser.add_argument_group(
        "rows", "crop only the rows of the tracks within these limits"
    )
    add = limits.add_argument
    add("--min-frames", type=positive_int, default=1, metavar="N", help="consecutive frames")
    add("--min-face", type=positive_float, metavar="PX", help="longer side of the face's box")
    add("--min-score", type=positive_float, metavar="SCORE", help="score of the detector, 0 to 1")
    add(
        "--max-spread",
        type=positive_float,
        metavar="SHARE",
        help="median spread of the landmarks, as a share of the face's longer side",
    )
    add("--max-blur", type=positive_float, metavar="BLUR", help="blur, 0 to 1")
    add("--max-cut-off", type=positive_float, metavar="SHARE", help="share outside the picture")
    add("--max-yaw", type=positive_float, metavar="DEG", help="turn of the head to either side")


def add_redact(parser: CommandParser) -> None:
    """hide the tracked faces of a video

    Writes a copy of a video in which the tracked faces are hidden, each from its first row to its
    last, gaps included, and for a quarter of a second before and after. Faces without tracks stay
    visible. Sound, metadata and timestamps are kept.

    examples:
        facetracks redact clip.mp4 --tracks OUT --to hidden.mp4
        facetracks redact clip.mkv --tracks OUT --to hidden.mkv --style fill --margin 0.3
    """
    _add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add(
        "--to",
        required=True,
        type=file_name(".mp4", ".mov", ".mkv"),
        metavar="FILE.mp4|FILE.mov|FILE.mkv",
        help="file to write; .mkv can hold sound of any codec",
    )
    add(
        "--style",
        choices=REDACTION_STYLES,
        default=REDACTION_STYLES[0],
        help="a mosaic, a blur, or one colour, which leaves nothing of the face",
    )
    add(
        "--margin",
        type=positive_float,
        default=0.15,
        metavar="SHARE",
        help="minimum margin around a face, as a share of the longer side of its box; wider where "
        "landmarks are uncertain",
    )


def _add_video_and_tracks(parser: argparse.ArgumentParser) -> None:
    """Adds VIDEO and --tracks, as the group `input`."""
    add = parser.add_argument_group("input").add_argument
    add("video", metavar="VIDEO", help="the video: a path or a URL")
    add(
        "--tracks",
        required=True,
        metavar="OUTPUT_OR_PARQUET",
        help="the output folder of `facetracks annotate`, or one track file",
    )
