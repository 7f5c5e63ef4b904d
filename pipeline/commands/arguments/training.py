"""The options of the `train` commands."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path

from pipeline.commands.argument_types import count, device, positive_float, positive_int
from pipeline.commands.arguments.data_options import SET_HELP, add_track_options, check_data
from pipeline.commands.command_parser import CommandParser, add_setting
from pipeline.data.data_settings import TrainingSources
from schemas.choices import (
    CODECS,
    NETWORK_NAMES,
    NETWORK_SETTINGS,
    RECIPES,
    STABILIZERS,
    TRAINING_SETS,
)
from schemas.errors import UsageError


def add_train_landmarks(parser: CommandParser) -> None:
    """train landmark networks on labelled faces

    Trains landmark networks one after the other on the same labelled faces: those of a data folder
    (--data), of data sets in their published layouts (--set), or of both. Training can be
    interrupted at any time and resumed. Writes for each network, below OUTPUT:
    landmarks.safetensors, the weights with the best validation error; last.safetensors, those of
    the last epoch; log.csv and curves.png.

    examples:
        facetracks train landmarks --set 300vw:300VW --output runs/300vw
        facetracks train landmarks --data DATA --recipe modern --network unet --output unet
    """
    add = parser.add_argument
    add(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=["2d"],
        metavar="NAME",
        help=f"networks to train: {', '.join(NETWORK_NAMES)}",
    )
    add(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="paper: the papers' protocols (Adam 1e-4, for the hourglass RMSprop 2.5e-4; squares; "
        "reduced on plateaus; 100 epochs). modern: stronger (AdamW, cosine, distance, averaged "
        "weights, varied boxes, shapes and colours; on a GPU bfloat16)",
    )
    _add_data_options(parser)
    add("--output", type=Path, required=True, help="folder, with a folder per network")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=positive_float,
        help="train each network for this long, resumed sessions included (default of --recipe "
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
        help="processes that prepare samples; 0: the training process itself",
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
        help="run forward passes in bfloat16: 1.6 to 1.9 times as fast on CPUs with AVX-512 BF16, "
        "slower on others (default: with --recipe modern on a GPU)",
    )
    add(
        "--channels",
        type=positive_int,
        nargs=5,
        metavar="C",
        help="unet: channels of each level, from half the crop size down (default: 16 32 64 96 "
        "128)",
    )
    add("--blocks", type=positive_int, help="unet: residual blocks per level (default: 1)")
    add("--stacks", type=positive_int, help="hourglass: number of stacks (default: 4)")
    add("--features", type=positive_int, help="hourglass: channels (default: 256)")
    add(
        "--codec",
        choices=CODECS,
        default="taylor",
        help="how heatmaps are decoded to landmarks; soft_argmax, the only one for the unet, is "
        "trained on the distance with --recipe modern, the others on the squared error of "
        "heatmaps",
    )
    add(
        "--heatmap-centres",
        choices=("fractional", "integer"),
        default="fractional",
        help="centres of the target Gaussians: the landmarks, as in FHR, or the heatmap pixels "
        "that contain them, as in conventional heatmap regression",
    )
    add(
        "--sigma",
        type=positive_float,
        metavar="PX",
        help="standard deviation of the Gaussians in heatmap pixels (default: 3; soft_argmax: 1); "
        "FHR uses 3 on maps of 64x64",
    )
    add(
        "--crop-scale",
        type=float,
        default=1.1,
        help="side of the crop over the longer side of the face box",
    )
    add("--learning-rate", type=positive_float, help="peak learning rate (default: the recipe's)")
    add(
        "--initial",
        type=Path,
        metavar="WEIGHTS",
        help="start from these weights: of the same network, or of one that it extends (2d for "
        "3d, 2drnn and 3drnn; 2dfcn for 3dfcn, ...), whose layers are copied or inflated where "
        "they match",
    )
    add(
        "--licence",
        metavar="TEXT",
        help="licence of the weights, for their card: what your data and --initial allow "
        "(default: what the data sets state)",
    )
    add("--resume", action="store_true", help="continue from the checkpoints in OUTPUT")
    parser.set_defaults(check=_check_train_landmarks)


def _add_data_options(parser: CommandParser) -> None:
    """Adds the options of `TrainingSources`, but for --seed."""
    add = functools.partial(add_setting, TrainingSources, parser)
    add("data", Path, "DIR")
    spec = "KIND[/SPLIT]:PATH"
    add("set", metavar=spec, action="append", help=SET_HELP + "; SPLIT defaults to train")
    add("validation", metavar=spec, action="append")
    add("validation_share", float)
    add("windows_per_video", count, "N")
    add("animated_windows", count, "N")
    add("expressive_stills", count, "N")
    chosen = f"train on these sets of --data only: {', '.join(TRAINING_SETS)}"
    add("data_sets", metavar="NAME", nargs="+", choices=TRAINING_SETS, help=chosen)
    add("convention", Path, "WEIGHTS")
    add("skip_broken")
    parser.set_defaults(**dataclasses.asdict(TrainingSources()))


def _check_train_landmarks(args: argparse.Namespace) -> None:
    check_data(args)
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


def add_train_detector(parser: CommandParser) -> None:
    """train the face detector on YuNet's detections

    Trains the package's face detector on YuNet's detections: YuNet labels the videos and pictures
    of DIR once (OUTPUT/labels), the network is trained on random canvases of them
    (OUTPUT/checkpoint.pt, log.csv), and the moving average of its weights is saved
    (OUTPUT/face_detector.safetensors).

    examples:
        facetracks train detector --data DATA --output runs/detector --minutes 60
        facetracks train detector --data DATA --output runs/detector --resume
    """
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, optionally, ytf68/ and images68/",
    )
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write: labels, checkpoint, log and weights",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=positive_float, metavar="N", help="train for this long (default: 60)"
    )
    length.add_argument(
        "--epochs", type=positive_float, metavar="N", help="train for this many epochs of 256 steps"
    )
    add("--threads", type=positive_int, default=1, metavar="N", help="CPU threads")
    add("--seed", type=count, default=0, metavar="N", help="seed of every random choice")
    add(
        "--licence",
        metavar="TEXT",
        help="licence of the weights, for their file: what your data allows (default: research "
        "only, as for the research data)",
    )
    add("--resume", action="store_true", help="continue from the checkpoint in --output")


def add_train_stabilizer(parser: CommandParser) -> None:
    """fit the stabilizers on tracks with ground truth

    Fits the Bayesian filter of fractional heatmap regression (loss: Eq. 11-15 of the paper) by
    gradient through its recursion on one set of tracks. On another, of other people, it chooses the
    weight of smoothness, the share of the fitted noise and the parameters of the offline smoother
    and the simpler filters, all by one criterion: the steadiest whose NRMSE is not above that of
    the raw tracks.

    examples:
        facetracks train stabilizer --data DATA --output FILE
        facetracks train stabilizer --labelled 300VW --output FILE --licence MIT
    """
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help="weights file to write")
    add_track_options(parser)
    add("--labelled", type=Path, metavar="DIR", help="also fit on these videos of 300VW")
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
        help="weight each track by its mean square error to the power of -P; 0 is the paper, "
        "where the noisiest tracks dominate",
    )
    add(
        "--covariance",
        choices=("diagonal", "full"),
        default="diagonal",
        help="interpretation of Eq. 9 (default: %(default)s; full takes a hundred times as long)",
    )
    add(
        "--compare-covariances",
        action="store_true",
        help="first fit both interpretations of Eq. 9 on a part of the tracks, and print both",
    )
    add(
        "--default",
        choices=STABILIZERS[1:],
        metavar="NAME",
        help="stabilizer that --stabilizer FILE uses (default: the best on the held-out tracks)",
    )
    add(
        "--compare-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="also fit by Nelder-Mead, as the paper does, for this much CPU time, and print both",
    )
    add(
        "--licence",
        metavar="TEXT",
        help="licence of the weights, for their card (default: research only, as for the data "
        "that the shipped ones were fitted on)",
    )
