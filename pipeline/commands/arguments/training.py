"""The options of the `train` commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pipeline.commands.argument_types import count, device, positive_float, positive_int
from pipeline.commands.arguments.data_options import SET_HELP, add_track_options
from pipeline.commands.command_parser import Subparsers, examples
from schemas.choices import (
    CODECS,
    NETWORK_NAMES,
    NETWORK_SETTINGS,
    RECIPES,
    STABILIZERS,
    TRAINING_SETS,
)
from schemas.errors import UsageError


def add_train_landmarks(subparsers: Subparsers) -> None:
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
    add = parser.add_argument
    add(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=["2d"],
        metavar="NAME",
        help=f"networks to train, of {', '.join(NETWORK_NAMES)}",
    )
    add(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="paper: the papers' protocols (Adam 1e-4, for the hourglass RMSprop 2.5e-4; squares; "
        "reduced on plateaus; 100 epochs). modern: stronger (AdamW, cosine, distance, averaged "
        "weights, varied boxes, shapes and colours; on a GPU bfloat16)",
    )
    _add_data_options(add)
    add("--output", type=Path, required=True, help="folder, with one for each network in it")
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
    add(
        "--samples-per-epoch",
        type=positive_int,
        metavar="N",
        help="samples between two checkpoints (default of --recipe paper: 4 times the windows, for "
        "the hourglass once; of modern: 4096)",
    )
    add("--threads", type=positive_int, default=1, help="CPU threads")
    add("--device", type=device, default="cpu", help="auto, cpu, cuda or cuda:i")
    add(
        "--workers",
        type=count,
        default=0,
        help="processes that make samples, 0: the one that trains",
    )
    add("--seed", type=count, default=0, help="seed of every random choice")
    add(
        "--crop-size",
        type=positive_int,
        metavar="PX",
        help="side of the crop (default: the network's own)",
    )
    add(
        "--bfloat16",
        action="store_true",
        default=None,
        help="compute forward passes in half the precision: 1.6 to 1.9 times as fast on CPUs with "
        "AVX-512 BF16, slower on others (default: with --recipe modern on a GPU)",
    )
    add(
        "--channels",
        type=positive_int,
        nargs=5,
        metavar="C",
        help="unet: widths of its maps, from half of the crop down (default: 16 32 64 96 128)",
    )
    add("--blocks", type=positive_int, help="unet: residual blocks at a size (default: 1)")
    add("--stacks", type=positive_int, help="hourglass: how many (default: 4)")
    add("--features", type=positive_int, help="hourglass: its channels (default: 256)")
    add(
        "--codec",
        choices=CODECS,
        default="taylor",
        help="how heatmaps become landmarks; soft_argmax is trained by the distance itself, with "
        "--recipe modern, the others by the squares of heatmaps; the unet has no other",
    )
    add(
        "--heatmap-centres",
        choices=("fractional", "integer"),
        default="fractional",
        help="centres of the Gaussians that squares are compared with: landmarks, as in FHR, or "
        "the heatmap pixels that they lie in, as in conventional heatmap regression",
    )
    add(
        "--sigma",
        type=positive_float,
        metavar="PX",
        help="standard deviation of the Gaussians, heatmap pixels (default: 3; soft_argmax: 1); "
        "FHR has 3 on maps of 64x64",
    )
    add(
        "--crop-scale",
        type=float,
        default=1.1,
        help="side of the crop over the longer side of the face box",
    )
    add(
        "--learning-rate", type=positive_float, help="highest learning rate (default: the recipe's)"
    )
    add(
        "--initial",
        type=Path,
        metavar="WEIGHTS",
        help="start from these weights instead of from nothing: of the network itself, or of one "
        "that it extends (2d for 3d, 2drnn and 3drnn; 2dfcn for 3dfcn, ...), whose layers are "
        "taken or inflated as far as they have counterparts",
    )
    add(
        "--licence",
        metavar="TEXT",
        help="what the weights may be used for, for their card: what your data and --initial "
        "allow (default: what the data sets say)",
    )
    add("--resume", action="store_true", help="continue from the checkpoints in OUTPUT")
    parser.set_defaults(check=_check_train_landmarks)


def _add_data_options(add: Callable[..., argparse.Action]) -> None:
    """Adds the options that `read_training_data` reads."""
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with faces68, pseudo68, videos and ytf68; validated on its ytf68/val",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KIND[/SPLIT]:PATH",
        help=SET_HELP + "; where no SPLIT is given, train",
    )
    add(
        "--validation",
        action="append",
        default=[],
        metavar="KIND[/SPLIT]:PATH",
        help="validate on this data set; repeatable (default: ytf68/val of --data, else what "
        "--validation-share holds out; where no SPLIT is given, validation)",
    )
    add(
        "--validation-share",
        type=float,
        default=0.2,
        help="how much of each --set is held out: of its videos, of its pictures, by the seed",
    )
    add(
        "--windows-per-video",
        type=count,
        default=80,
        metavar="N",
        help="of each --set, about this many windows per face and video, evenly spaced; 0: all, as "
        "in the papers; they are held in memory",
    )
    add(
        "--animated-windows",
        type=count,
        default=0,
        metavar="N",
        help="add this many windows of animated stills, for networks that see several frames: each "
        "takes about 0.3 s to render at the start, and 0.4 MB for crops of 64 px",
    )
    add(
        "--expressive-stills",
        type=count,
        default=0,
        metavar="N",
        help="add this many stills whose eyes and mouths were animated open and shut, for networks "
        "that see one frame: each takes about 0.3 s to render at the start; 16 %% of the samples "
        "are drawn from them",
    )
    add(
        "--data-sets",
        nargs="+",
        choices=TRAINING_SETS,
        default=TRAINING_SETS,
        metavar="NAME",
        help=f"of --data, train on these only, of {', '.join(TRAINING_SETS)}",
    )
    add(
        "--convention",
        type=Path,
        metavar="WEIGHTS",
        help="move the labels of --data's ytf68 by their median distance from what these weights "
        "predict, in the frame of the eyes: sets that are trained on together should follow one "
        "convention",
    )
    add("--skip-broken", action="store_true", help="leave out broken annotations and count them")


def _check_train_landmarks(args: argparse.Namespace) -> None:
    if args.data is None and not args.set:
        raise UsageError("got no data set, expected --data or --set")
    if not 0 < args.validation_share < 1:
        raise UsageError(
            f"--validation-share: got {args.validation_share}, expected more than 0, less than 1"
        )
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


def add_train_detector(subparsers: Subparsers) -> None:
    """Adds `detector` to the `train` group."""
    parser = subparsers.add_parser(
        "detector",
        help="train the face detector on what YuNet sees",
        description="Teaches the package's face detector what YuNet sees: YuNet labels the videos "
        "and pictures of DIR once (OUTPUT/labels), the network learns from random canvases of "
        "them (OUTPUT/checkpoint.pt, log.csv), and the running mean of its weights is what is "
        "kept (OUTPUT/face_detector.safetensors).",
        epilog=examples(
            "facetracks train detector --data DATA --output runs/detector --minutes 60",
            "facetracks train detector --data DATA --output runs/detector --resume",
        ),
    )
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, if there, ytf68/ and images68/",
    )
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="where labels, checkpoint, log and weights go",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=positive_float, metavar="N", help="train for this long (default: 60)"
    )
    length.add_argument(
        "--epochs", type=positive_float, metavar="N", help="train for this many times 256 steps"
    )
    add("--threads", type=positive_int, default=1, metavar="N", help="CPU threads")
    add("--seed", type=count, default=0, metavar="N", help="of all randomness")
    add(
        "--licence",
        metavar="TEXT",
        help="what the weights may be used for, for their file: what your data allows (default: "
        "research only, as the research data does)",
    )
    add("--resume", action="store_true", help="continue from the checkpoint in --output")


def add_train_stabilizer(subparsers: Subparsers) -> None:
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
    add("--steps", type=positive_int, default=100, help="gradient steps")
    add("--components", type=positive_int, default=2, metavar="K", help="Gaussians of the prior")
    add(
        "--lambda1",
        type=float,
        nargs="+",
        default=[1.0, 0.5, 0.2, 0.1],
        help="weights of smoothness; the held-out tracks choose one (default: 1 0.5 0.2 0.1)",
    )
    add("--lambda2", type=float, default=10.0, help="weight of the time delay")
    add("--lambda3", type=float, default=1.0, help="weight of the midpoint; inf is Eq. 15")
    add(
        "--evenness",
        type=float,
        default=1.0,
        metavar="P",
        help="tracks count by their mean square error to the power -P; 0 is the paper, where the "
        "noisiest decide",
    )
    add(
        "--covariance",
        choices=("diagonal", "full"),
        default="diagonal",
        help="reading of Eq. 9 (default: %(default)s; full takes a hundred times as long)",
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
