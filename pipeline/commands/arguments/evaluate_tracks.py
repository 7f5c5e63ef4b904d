"""The options of `facetracks evaluate tracks`."""

from __future__ import annotations

from pipeline.commands.arguments.data_options import SET_HELP
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `tracks` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "tracks",
        help="measure finished tracks on labelled videos",
        description="Errors of the raw and the stabilized landmarks of an output folder on "
        "labelled videos, as `evaluate landmarks` states them, and their stability: the mean of "
        "|dx - dp| in percent of the distance of the outer eye corners, video by video. A row "
        "is a labelled face's own where their boxes overlap by 0.4 (IoU). A "
        "missed face counts: as a failure in FR, as 0 in AUC.",
        epilog=examples(
            "facetracks evaluate tracks OUT --set 300vw:300VW",
            "facetracks evaluate tracks OUT --set talking-face:TALKING --json",
        ),
    )
    add = parser.add_argument
    add("output", metavar="OUTPUT", help="the output folder of `facetracks annotate`")
    add(
        "--set",
        action="append",
        required=True,
        metavar="KIND[/SPLIT]:PATH",
        help=SET_HELP + "; its videos are files that were annotated",
    )
    add("--skip-broken", action="store_true", help="leave out broken annotations and count them")
    add("--json", action="store_true", help="print JSON instead of tables")
