"""The options of `facetracks train landmarks`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.argument_types import count, device, positive_float, positive_int
from pipeline.commands.arguments.data_options import add_data_options, check_data_options
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import (
    CODECS,
    NETWORK_NAMES,
    NETWORK_SETTINGS,
    RECIPES,
)
from schemas.errors import UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Adds `landmarks` to the group of `facetracks train`."""
    parser = subparsers.add_parser(
        "landmarks",
        help="train landmark networks on labelled faces",
        description="Trains landmark networks one after the other, on the same labelled faces: of "
        "a data folder (--data), of data sets in their published layouts (--set), or of both. Can "
        "be stopped at any time and resumed. In OUTPUT, for each network: landmarks.safetensors, "
        "the best epoch by validation; last.safetensors, the last; log.csv, curves.png.",
        epilog=examples(
            "facetracks train landmarks --set 300vw:300VW --output runs/300vw",
            "facetracks train landmarks --data DATA --recipe modern --network unet --output unet",
        ),
    )
    parser.add_argument(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=["2d"],
        metavar="NAME",
        help=f"networks to train, of {', '.join(NETWORK_NAMES)} (default: 2d)",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="paper: the papers' protocols (Adam 1e-4, for the hourglass RMSprop 2.5e-4; squares; "
        "reduced on plateaus; 100 epochs). modern: stronger (AdamW, cosine, distance, averaged "
        "weights, varied boxes, shapes and colours; on a GPU bfloat16) (default: %(default)s)",
    )
    add_data_options(parser)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder, with one for each network in it"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=positive_float,
        help="train each network for this long, all sessions together (default of --recipe "
        "modern: 60)",
    )
    length.add_argument(
        "--epochs",
        type=positive_int,
        help="train for this many epochs, see --samples-per-epoch (default of --recipe paper: 100)",
    )
    parser.add_argument(
        "--samples-per-epoch",
        type=positive_int,
        metavar="N",
        help="samples between two checkpoints (default of --recipe paper: 4 times the windows, for "
        "the hourglass once; of modern: 4096)",
    )
    parser.add_argument("--threads", type=positive_int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--device", type=device, default="cpu", help="auto, cpu, cuda or cuda:i (default: cpu)"
    )
    parser.add_argument(
        "--workers",
        type=count,
        default=0,
        help="processes that make samples, 0: the one that trains (default: 0)",
    )
    parser.add_argument("--seed", type=count, default=0, help="seed of every random choice")
    parser.add_argument(
        "--crop-size",
        type=positive_int,
        metavar="PX",
        help="side of the crop (default: the network's own)",
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        default=None,
        help="compute forward passes in half the precision: 1.6 to 1.9 times as fast on CPUs with "
        "AVX-512 BF16, slower on others (default: with --recipe modern on a GPU)",
    )
    parser.add_argument(
        "--channels",
        type=positive_int,
        nargs=5,
        metavar="C",
        help="unet: widths of its maps, from half of the crop down (default: 16 32 64 96 128)",
    )
    parser.add_argument(
        "--blocks", type=positive_int, help="unet: residual blocks at a size (default: 1)"
    )
    parser.add_argument("--stacks", type=positive_int, help="hourglass: how many (default: 4)")
    parser.add_argument(
        "--features", type=positive_int, help="hourglass: its channels (default: 256)"
    )
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default="taylor",
        help="how heatmaps become landmarks; soft_argmax is trained by the distance itself, with "
        "--recipe modern, the others by the squares of heatmaps; the unet has no other "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--heatmap-centres",
        choices=("fractional", "integer"),
        default="fractional",
        help="centres of the Gaussians that squares are compared with: landmarks, as in FHR, or "
        "the heatmap pixels that they lie in, as in conventional heatmap regression "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sigma",
        type=positive_float,
        metavar="PX",
        help="standard deviation of the Gaussians, heatmap pixels (default: 3; soft_argmax: 1); "
        "FHR has 3 on maps of 64x64",
    )
    parser.add_argument(
        "--crop-scale",
        type=float,
        default=1.1,
        help="side of the crop over the longer side of the face box (default: %(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        type=positive_float,
        help="highest learning rate (default: the recipe's)",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="WEIGHTS",
        help="start from these weights instead of from nothing: of the network itself, or of one "
        "that it extends (2d for 3d, 2drnn and 3drnn; 2dfcn for 3dfcn, ...), whose layers are "
        "taken or inflated as far as they have counterparts",
    )
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="what the weights may be used for, for their card: what your data and --initial "
        "allow (default: what the data sets say)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the checkpoints in OUTPUT"
    )
    parser.set_defaults(check=_check)


def _check(args: argparse.Namespace) -> None:
    check_data_options(args)
    if not 0.5 <= args.crop_scale <= 4:
        raise UsageError(f"--crop-scale: got {args.crop_scale}, expected 0.5 to 4")
    for network, options in NETWORK_SETTINGS.items():
        if network not in args.network and any(getattr(args, name) for name in options):
            given = ", ".join(f"--{name}" for name in options)
            raise UsageError(f"{given}: got them without --network {network}")
    if "unet" in args.network and args.recipe == "paper":
        raise UsageError("--network unet: got it with --recipe paper, expected modern")
    if args.codec == "soft_argmax" and args.recipe == "paper":
        raise UsageError("--codec soft_argmax: got it with --recipe paper, expected modern")
    checkpoints = [args.output / network / "checkpoint.pt" for network in args.network]
    there = [path for path in checkpoints if path.is_file()]
    if args.resume and not there:
        raise UsageError(f"--resume: no such file: {checkpoints[0]}")
    if there and not args.resume:
        raise UsageError(f"{there[0]} exists: add --resume to go on, or choose another OUTPUT")
