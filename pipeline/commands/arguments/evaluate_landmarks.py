"""The options of `facetracks evaluate landmarks`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.argument_types import count, device, positive_int
from pipeline.commands.arguments.data_options import SET_HELP
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import (
    CODECS,
    EVALUATION_SETS,
    PRECISIONS,
)
from schemas.errors import UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Adds `landmarks` to the group of `facetracks evaluate`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="measure landmark networks on labelled faces",
        description="Mean and median error, AUC and failure rate at 8 and 4 percent, in percent "
        "of the distance of the outer eye corners and, apart from that, of the diagonal of the "
        "ground-truth box; by category, movement and expression, and by size of the face. Boxes "
        "are those of the labelled landmarks, jittered as the detector scatters, or the "
        "detector's own. In videos a network sees the frames before; a still is repeated. "
        "A missed face counts: as a failure in FR, as 0 in AUC.",
        epilog=examples(
            "facetracks evaluate landmarks --set 300w:300W",
            "facetracks evaluate landmarks --set 300vw:300VW --weights A --weights B --plots PLOTS",
        ),
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help=f"folder with {', '.join(EVALUATION_SETS)}")
    add("--set", action="append", default=[], metavar="KIND[/SPLIT]:PATH", help=SET_HELP)
    add(
        "--weights",
        action="append",
        metavar="FILE",
        help="weights to measure; repeatable (default: the package's)",
    )
    add(
        "--detector",
        metavar="SPEC",
        help="also measure on detected boxes: 'default', 'yunet:PATH' or a weights file",
    )
    add(
        "--draws",
        type=count,
        help="jittered boxes for each face; 0: the labels' boxes as they are "
        "(default: 8 for stills, 1 for videos)",
    )
    add("--seed", type=count, default=0, help="seed of the jitter (default: 0)")
    add("--skip-broken", action="store_true", help="leave out broken annotations and count them")
    add("--plots", type=Path, metavar="DIR", help="draw error curves; needs facetracks[plots]")
    add(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="bfloat16: measure every network in both precisions, and say whether the shorter one "
        "moves its mean error by less than 0.02 percent (default: %(default)s)",
    )
    add(
        "--codec",
        nargs="+",
        choices=CODECS,
        metavar="NAME",
        help=f"measure every heatmap network read by each of these, of {', '.join(CODECS)} "
        "(default: what its card says)",
    )
    add("--device", type=device, default="cpu", help="auto, cpu, cuda or cuda:i (default: cpu)")
    add("--threads", type=positive_int, default=1, help="CPU threads (default: 1)")
    add("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(check=_check)


def _check(args: argparse.Namespace) -> None:
    if args.data is None and not args.set:
        raise UsageError("got no data set, expected --data or --set")
