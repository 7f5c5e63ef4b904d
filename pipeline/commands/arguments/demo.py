"""The options of `facetracks demo`."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the `facetracks` parser."""
    parser = subparsers.add_parser(
        "demo",
        help="annotate the embedded sample, draw it, and compare with its truth",
        description="Makes the sample clip, annotates it, renders an overlay video and a "
        "contact sheet, and prints how far the tracks are from the clip's exact landmarks.",
        epilog=examples(
            "facetracks demo",
            "facetracks demo --output sample",
        ),
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("facetracks-sample"),
        metavar="DIR",
        help="folder for all of it (default: %(default)s)",
    )
