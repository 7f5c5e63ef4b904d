"""The options of `facetracks evaluate codecs`."""

from __future__ import annotations

from pipeline.commands.argument_types import count, positive_int
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `decoders` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "codecs",
        aliases=["decoders"],
        help="measure how heatmaps are decoded",
        description="Mean error in heatmap pixels of each way to decode a heatmap, on Gaussians "
        "of known centre, 64x64, decoded with sigma 3: with noise (white, blurred by "
        "0.7 px), of another sigma, and at the edge. Needs no data.",
        epilog=examples(
            "facetracks evaluate codecs",
            "facetracks evaluate codecs --maps 500 --json",
        ),
    )
    parser.add_argument(
        "--maps", type=positive_int, default=5000, help="heatmaps a row (default: 5000)"
    )
    parser.add_argument("--seed", type=count, default=0, help="seed of every random choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
