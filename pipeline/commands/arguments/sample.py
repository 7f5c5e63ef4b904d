"""The options of `facetracks sample`."""

from __future__ import annotations

from pipeline.commands.argument_types import file_name, positive_float, positive_int
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `sample` to the commands."""
    parser = subparsers.add_parser(
        "sample",
        help="write a sample clip of a talking face with its exact landmarks",
        description="Writes OUT.mp4, a photograph animated by known head motion and "
        "expressions (H.264, 25 frames a second), and OUT.truth.parquet, the exact 68 "
        "landmarks of every frame in the schema of a track. Needs facetracks[demo].",
        epilog=examples(
            "facetracks sample talking.mp4",
            "facetracks sample talking.mp4 --seconds 3 --size 256",
        ),
    )
    parser.add_argument("out", metavar="OUT.mp4", type=file_name(".mp4"), help="the clip to write")
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=10.0,
        help="length of the clip (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        default=512,
        metavar="PX",
        help="width and height of the clip, an even number (default: %(default)s)",
    )
