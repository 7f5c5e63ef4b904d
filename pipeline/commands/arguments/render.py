"""The options of `facetracks render`."""

from __future__ import annotations

from pipeline.commands.argument_types import file_name, positive_int
from pipeline.commands.command_parser import Subparsers

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Adds `render` to the commands."""
    parser = subparsers.add_parser(
        "render",
        help="draw tracks over their video, as a video or a contact sheet",
        description="Draws tracks over their video: stabilized landmarks green, raw ones "
        "orange, boxes blue (dashed where interpolated between detections).",
    )
    parser.add_argument("video", metavar="VIDEO", help="the video: a path or a URL")
    parser.add_argument(
        "--tracks",
        required=True,
        metavar="OUTPUT_OR_PARQUET",
        help="the output folder of `facetracks annotate`, or one track file",
    )
    parser.add_argument(
        "--to",
        required=True,
        type=file_name(".mp4", ".png"),
        metavar="FILE.mp4|FILE.png",
        help="what to write: .mp4 draws every frame, .png a contact sheet of some",
    )
    parser.add_argument(
        "--frames",
        type=positive_int,
        default=12,
        metavar="N",
        help="tiles of a contact sheet (default: 12)",
    )
    parser.add_argument(
        "--columns",
        type=positive_int,
        default=4,
        metavar="N",
        help="of a contact sheet (default: 4)",
    )
    parser.add_argument(
        "--raw", action="store_true", help="draw raw landmarks also where they hardly differ"
    )
    parser.set_defaults(module="render")
