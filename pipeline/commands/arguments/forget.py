"""The options of `facetracks forget`."""

from __future__ import annotations

from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `forget` to the commands."""
    parser = subparsers.add_parser(
        "forget",
        help="remove videos from an output: tracks, status, parts, what was derived",
        description="Removes all that OUTPUT holds of videos: track file, status row, staged "
        "parts, derived files, and report.html, which may show them. The videos themselves stay. "
        "Stopped, the same command goes on. Exit status: 0 removed, 1 OUTPUT holds nothing of "
        "some id.",
        epilog=examples(
            "facetracks forget OUT interview.mp4",
            "facetracks forget s3://BUCKET/tracks day1/a.mp4 day2/b.mp4",
        ),
    )
    parser.add_argument("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    parser.add_argument(
        "video_ids", nargs="+", metavar="VIDEO_ID", help="as the videos table has it in video_id"
    )
