"""The options of `facetracks export`."""

from __future__ import annotations

from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import EXPORT_FORMATS


def add_parser(subparsers: Subparsers) -> None:
    """Adds `export` to the commands."""
    parser = subparsers.add_parser(
        "export",
        help="write tracks in the formats of other tools",
        description="Writes the tracks of an output in the format of another tool, with frames, "
        "times and pixels counted as that tool counts them: docs/exports.md.",
        epilog=examples(
            "facetracks export OUT --format openface --to OUT-openface",
            "facetracks export s3://BUCKET/tracks --format coco --to coco --video talk.mp4",
        ),
    )
    add = parser.add_argument_group("input").add_argument
    add("tracks", metavar="OUTPUT", help="the output of `facetracks annotate`: a path or a URL")
    add(
        "--video",
        action="append",
        metavar="VIDEO_ID",
        help="only this video; may be given more than once",
    )
    add("--raw", action="store_true", help="the network's landmarks, not the stabilized ones")
    add = parser.add_argument_group("output").add_argument
    add(
        "--format",
        required=True,
        choices=EXPORT_FORMATS,
        metavar="FORMAT",
        help=f"one of {', '.join(EXPORT_FORMATS)}",
    )
    add("--to", required=True, metavar="FOLDER", help="the folder to write: a path or a URL")
