"""The options of `facetracks derive`."""

from __future__ import annotations

from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `derive` to the commands."""
    parser = subparsers.add_parser(
        "derive",
        help="eye and mouth opening, blinks, movements and visibility, in tables beside the tracks",
        description="Writes two tables a video below OUTPUT/derived: rows, a row for each of the "
        "tracks, and blinks. docs/derived.md defines them. The same command again does only what "
        "is missing or whose tracks have changed.",
        epilog=examples(
            "facetracks derive OUT",
            "facetracks derive s3://BUCKET/tracks --videos interview.mp4",
        ),
    )
    parser.add_argument("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    parser.add_argument(
        "--videos", nargs="+", metavar="VIDEO_ID", help="only these; as in the videos table"
    )
    parser.add_argument("--overwrite", action="store_true", help="do everything again")
