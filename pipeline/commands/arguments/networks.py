"""The options of `facetracks networks`."""

from __future__ import annotations

import os

from pipeline.commands.argument_types import positive_float, positive_int
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import (
    NETWORK_NAMES,
)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the `facetracks` parser."""
    parser = subparsers.add_parser(
        "networks",
        help="list the landmark networks, their size and speed",
        description="Parameters, size, multiplications and speed of every landmark network on "
        "this machine, beside Table 7 of the local-motion paper. Speeds are windows a second, "
        "the best of some repetitions, of windows that follow each other.",
        epilog=examples(
            "facetracks networks",
            "facetracks networks --network 2d 3d --threads 1",
        ),
    )
    parser.add_argument(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=list(NETWORK_NAMES),
        metavar="NAME",
        help="only these (default: all)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.cpu_count() or 1,
        help="CPU threads (default: %(default)s, all)",
    )
    parser.add_argument(
        "--windows", type=positive_int, default=8, help="windows a call (default: 8)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=2.0, help="time for each network (default: 2)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
