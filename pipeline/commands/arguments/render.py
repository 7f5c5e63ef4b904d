"""The options of `facetracks render`."""

from __future__ import annotations

from pipeline.commands.argument_types import file_name, positive_int
from pipeline.commands.arguments.video_tracks import add_video_and_tracks
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `render` to the commands."""
    parser = subparsers.add_parser(
        "render",
        help="draw tracks over their video, as a video or a contact sheet",
        description="Draws tracks over their video: stabilized landmarks green, raw ones "
        "orange, boxes blue (dashed where interpolated between detections).",
        epilog=examples(
            "facetracks render clip.mp4 --tracks OUT --to overlay.mp4",
            "facetracks render clip.mp4 --tracks OUT --to sheet.png --frames 20 --columns 5",
        ),
    )
    add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add(
        "--to",
        required=True,
        type=file_name(".mp4", ".png"),
        metavar="FILE.mp4|FILE.png",
        help="what to write: .mp4 draws every frame, .png a contact sheet of some",
    )
    add(
        "--frames",
        type=positive_int,
        default=12,
        metavar="N",
        help="tiles of a contact sheet (default: 12)",
    )
    add(
        "--columns",
        type=positive_int,
        default=4,
        metavar="N",
        help="of a contact sheet (default: 4)",
    )
    add("--raw", action="store_true", help="draw raw landmarks also where they hardly differ")
