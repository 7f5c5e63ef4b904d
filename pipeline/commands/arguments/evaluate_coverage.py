"""The options of `facetracks evaluate coverage`."""

from __future__ import annotations

from pipeline.commands.argument_types import positive_float
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `coverage` to the `evaluate` commands."""
    parser = subparsers.add_parser(
        "coverage",
        help="share of a detector's faces that have rows",
        description="Runs a detector on every frame of the videos of an output folder and "
        "counts the frames and faces that have rows in the tracks.",
        epilog=examples(
            "facetracks evaluate coverage OUT --detector yunet:yunet.onnx",
            "facetracks evaluate coverage OUT --detector yunet:yunet.onnx --min-size 80 --json",
        ),
    )
    parser.add_argument("output", metavar="OUTPUT", help="output folder of `facetracks annotate`")
    parser.add_argument("--detector", required=True, metavar="SPEC", help="yunet:ONNX_FILE, say")
    parser.add_argument(
        "--min-size",
        type=positive_float,
        default=40.0,
        metavar="PX",
        help="of a face (default: 40)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
