"""The options of `facetracks redact`."""

from __future__ import annotations

from pipeline.commands.argument_types import file_name, positive_float
from pipeline.commands.arguments.video_tracks import add_video_and_tracks
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import REDACTION_STYLES


def add_parser(subparsers: Subparsers) -> None:
    """Adds `redact` to the commands."""
    parser = subparsers.add_parser(
        "redact",
        help="hide the faces of a video along their tracks",
        description="Writes a copy of a video in which the faces of its tracks are hidden, from "
        "each one's first row to its last, gaps included, and a quarter of a second beyond. Faces "
        "without rows stay. Sound, metadata and timestamps are kept.",
        epilog=examples(
            "facetracks redact clip.mp4 --tracks OUT --to hidden.mp4",
            "facetracks redact clip.mkv --tracks OUT --to hidden.mkv --style fill --margin 0.3",
        ),
    )
    add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add(
        "--to",
        required=True,
        type=file_name(".mp4", ".mov", ".mkv"),
        metavar="FILE.mp4|FILE.mov|FILE.mkv",
        help="the copy; .mkv holds sound of any codec",
    )
    add(
        "--style",
        choices=REDACTION_STYLES,
        default=REDACTION_STYLES[0],
        help="a mosaic, a blur, or one colour, which keeps nothing of the face (default: pixelate)",
    )
    add(
        "--margin",
        type=positive_float,
        default=0.15,
        metavar="SHARE",
        help="least margin around a face, as a share of the longer side of its box; it is wider "
        "where landmarks are unsure (default: 0.15)",
    )
