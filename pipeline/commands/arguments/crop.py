"""The options of `facetracks crop`."""

from __future__ import annotations

from pipeline.commands.argument_types import positive_float, positive_int
from pipeline.commands.arguments.video_tracks import add_video_and_tracks
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import CROP_FORMS


def add_parser(subparsers: Subparsers) -> None:
    """Adds `crop` to the commands."""
    parser = subparsers.add_parser(
        "crop",
        help="write the faces of a video as clips or frames",
        description="Writes the faces of a video, each upright and of constant size over its "
        "track, with the transforms that map back in a Parquet beside them.",
        epilog=examples(
            "facetracks crop clip.mp4 --tracks OUT --to faces",
            "facetracks crop clip.mp4 --tracks OUT --to faces --form png --size 112 --min-face 80",
        ),
    )
    add_video_and_tracks(parser)
    add = parser.add_argument_group("output").add_argument
    add("--to", required=True, metavar="FOLDER", help="the folder to write: a path or a URL")
    add(
        "--form",
        choices=CROP_FORMS,
        default=CROP_FORMS[0],
        help="clips with sound, pictures, or shards of pictures (default: mp4)",
    )
    add("--size", type=positive_int, default=256, metavar="PX", help="side of a crop, even")
    add(
        "--margin",
        type=positive_float,
        default=0.3,
        metavar="SHARE",
        help="on each side of a face, as a share of its size (default: 0.3)",
    )
    add("--keep-rotation", action="store_true", help="do not level the eyes")
    limits = parser.add_argument_group("rows", "limits of the tracks' columns")
    add = limits.add_argument
    add("--min-frames", type=positive_int, default=1, metavar="N", help="of a stretch")
    add("--min-face", type=positive_float, metavar="PX", help="longer side of the face's box")
    add("--min-score", type=positive_float, metavar="SCORE", help="the detector's, 0 to 1")
    add(
        "--max-spread",
        type=positive_float,
        metavar="SHARE",
        help="median spread of the landmarks, as a share of the face's longer side",
    )
    add("--max-blur", type=positive_float, metavar="BLUR", help="the tracks' blur")
    add("--max-cut-off", type=positive_float, metavar="SHARE", help="outside the picture, 0 to 1")
    add("--max-yaw", type=positive_float, metavar="DEG", help="turn of the head to either side")
