"""The options of `facetracks compact`."""

from __future__ import annotations

from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `compact` to the commands."""
    parser = subparsers.add_parser(
        "compact",
        help="put the files of many videos into few",
        description="Puts the tracks and status rows of OUTPUT into Parquet files of about 256 MB "
        "below OUTPUT/compacted, sorted by video_id. All commands read both layouts; what is "
        "annotated later has files of its own until the next compact. Stopped, the same command "
        "goes on. On an object store no run may write to OUTPUT meanwhile.",
        epilog=examples("facetracks compact OUT", "facetracks compact s3://BUCKET/tracks"),
    )
    parser.add_argument("output", metavar="OUTPUT", help="the output folder or URL of annotate")
