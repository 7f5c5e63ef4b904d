"""The options of `facetracks train stabilizer`."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.argument_types import positive_int
from pipeline.commands.arguments.data_options import add_track_options
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import (
    STABILIZERS,
)


def add_parser(subparsers: Subparsers) -> None:
    """Adds `stabilizer` to the group of `facetracks train`."""
    parser = subparsers.add_parser(
        "stabilizer",
        help="fit the stabilizers on tracks with truth",
        description="Fits the Bayesian filter of fractional heatmap regression (loss: Eq. 11-15 "
        "of the paper) by gradient through its recursion on one set of tracks. On another, of "
        "other people, it chooses the weight of smoothness, the share of the fitted noise and "
        "the parameters of the offline smoother and the simpler filters, all by one criterion: "
        "the steadiest whose NRMSE is not above that of the raw tracks.",
        epilog=examples(
            "facetracks train stabilizer --data DATA --output FILE",
            "facetracks train stabilizer --labelled 300VW --output FILE --licence MIT",
        ),
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help="weights file to write")
    add_track_options(parser, tracks=50)
    add("--labelled", type=Path, metavar="DIR", help="training videos of 300VW, to fit on as well")
    add("--steps", type=positive_int, default=100, help="gradient steps (default: %(default)s)")
    add("--components", type=positive_int, default=2, metavar="K", help="Gaussians of the prior")
    add(
        "--lambda1",
        type=float,
        nargs="+",
        default=[1.0, 0.5, 0.2, 0.1],
        help="weights of smoothness; the held-out tracks choose one (default: 1 0.5 0.2 0.1)",
    )
    add("--lambda2", type=float, default=10.0, help="weight of the time delay (default: 10)")
    add("--lambda3", type=float, default=1.0, help="weight of the midpoint; inf is Eq. 15")
    add(
        "--evenness",
        type=float,
        default=1.0,
        metavar="P",
        help="tracks count by their mean square error to the power -P; 0 is the paper, where the "
        "noisiest decide (default: 1)",
    )
    add(
        "--covariance",
        choices=("diagonal", "full"),
        default="diagonal",
        help="reading of Eq. 9 (default: %(default)s; full takes a hundred times as long)",
    )
    add(
        "--fixed-noise",
        action="store_true",
        help="the same noise for all tracks, as in the paper, not each track's own",
    )
    add(
        "--compare-covariances",
        action="store_true",
        help="first fit both readings of Eq. 9 on a part of the tracks, and print both",
    )
    add(
        "--default",
        choices=STABILIZERS[1:],
        metavar="NAME",
        help="what --stabilizer FILE stands for (default: the best on the held-out tracks)",
    )
    add(
        "--compare-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="also fit by Nelder-Mead for so much processor time, as the paper does, print both",
    )
    add(
        "--licence",
        metavar="TEXT",
        help="what the weights may be used for, for their card (default: research only, as the "
        "weights and labels do that shipped ones were fitted on)",
    )
