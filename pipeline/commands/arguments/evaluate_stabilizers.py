"""The options of `facetracks evaluate stabilizers`."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.argument_types import positive_int
from pipeline.commands.arguments.data_options import add_track_options
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `stabilizers` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "stabilizers",
        help="measure the stabilizers on tracks with truth",
        description="Error, stability, lag and cost of every stabilizer on test tracks: other "
        "people and other motions than those it was fitted on. NRMSE and stability in percent "
        "of the distance of the outer eye corners; 'unbiased' leaves out each track's constant "
        "error, which no filter can change.",
        epilog=examples(
            "facetracks evaluate stabilizers --data DATA --draws 7",
            "facetracks evaluate stabilizers --annotated OUT",
        ),
    )
    add_track_options(parser, tracks=40)
    add = parser.add_argument
    add(
        "--stabilizer-weights",
        type=Path,
        metavar="FILE",
        help="weights of `train stabilizer` (default: the package's)",
    )
    add(
        "--draws",
        type=positive_int,
        default=1,
        metavar="N",
        help="so many sets of test tracks, of seeds from --seed on, judged as one",
    )
    add(
        "--ablations",
        action="store_true",
        help="also fit without the time-delay term, with Eq. 15, and over lambda1 (minutes)",
    )
    add("--steps", type=positive_int, default=100, help="gradient steps of --ablations")
    add("--fit-tracks", type=positive_int, default=50, help="tracks that --ablations fits on")
    add(
        "--settings",
        action="store_true",
        help="also the simpler filters over the whole range of their parameters (minutes)",
    )
    add("--full", action="store_true", help="also the full covariance (0.6 ms a frame)")
    add("--plots", type=Path, metavar="DIR", help="draw PNG figures; needs facetracks[plots]")
    add("--json", action="store_true", help="print JSON instead of a table")
    add(
        "--annotated",
        type=Path,
        metavar="OUT",
        help="instead: jitter at rest and lag on the raw landmarks of real video that annotate "
        "wrote to OUT",
    )
