"""The options of `facetracks report`."""

from __future__ import annotations

from pipeline.commands.argument_types import count
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `report` to the commands."""
    parser = subparsers.add_parser(
        "report",
        help="show an output as one HTML page: inputs, failures, quality, speed",
        description="Writes one HTML file that opens offline: a row an input, failures by reason "
        "with what to do, histograms over all rows, the worst tracks as pictures, speeds and "
        "provenance. It shows faces: share it as you would the videos.",
        epilog=examples(
            "facetracks report OUT",
            "facetracks report s3://BUCKET/tracks --to report.html --thumbnails 50",
        ),
    )
    add = parser.add_argument_group("input").add_argument
    add("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    add = parser.add_argument_group("output").add_argument
    add("--to", metavar="FILE.html", help="what to write (default: report.html in OUTPUT)")
    add(
        "--thumbnails",
        type=count,
        default=200,
        metavar="N",
        help="inputs that get a picture, at most, spread over all; 0 reads no video for pictures "
        "(default: %(default)s)",
    )
