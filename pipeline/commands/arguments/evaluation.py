"""The options of the `evaluate` commands, and of `networks`."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.commands.argument_types import count, device, positive_float, positive_int
from pipeline.commands.arguments.data_options import SET_HELP, add_track_options, check_data
from pipeline.commands.command_parser import CommandParser
from schemas.choices import CODECS, EVALUATION_SETS, NETWORK_NAMES, PRECISIONS


def add_evaluate_tracks(parser: CommandParser) -> None:
    """measure finished tracks on labelled videos

    Prints the errors of the raw and the stabilized landmarks of an output folder on labelled
    videos, as `evaluate landmarks` does, and their stability per video: the mean of |dx - dp| in
    percent of the distance between the outer eye corners. A row belongs to a labelled face if their
    boxes overlap by 0.4 (IoU). A missed face is a failure in FR and 0 in AUC.

    examples:
        facetracks evaluate tracks OUT --set 300vw:300VW
        facetracks evaluate tracks OUT --set talking-face:TALKING --json
    """
    add = parser.add_argument
    add("output", metavar="OUTPUT", help="the output folder of `facetracks annotate`")
    add(
        "--set",
        action="append",
        required=True,
        metavar="KIND[/SPLIT]:PATH",
        help=SET_HELP + "; its videos must be those that were annotated",
    )
    add("--skip-broken", action="store_true", help="skip and count broken annotations")
    add("--json", action="store_true", help="print JSON instead of tables")


def add_evaluate_landmarks(parser: CommandParser) -> None:
    """measure landmark networks on labelled faces

    Prints mean and median error, AUC and failure rate at 8 and 4 percent, in percent of the
    distance between the outer eye corners and, separately, of the diagonal of the ground-truth box;
    by category, movement, expression and face size. Boxes are those of the labelled landmarks, with
    jitter like that of the detector, or detected. In videos, networks see the previous frames; a
    still is repeated. A missed face is a failure in FR and 0 in AUC.

    examples:
        facetracks evaluate landmarks --set 300w:300W
        facetracks evaluate landmarks --set 300vw:300VW --weights A --weights B --plots PLOTS
    """
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
        help="jittered boxes per face; 0: the labels' own boxes (default: 8 for stills, 1 for "
        "videos)",
    )
    add("--seed", type=count, default=0, help="seed of the jitter")
    add("--skip-broken", action="store_true", help="skip and count broken annotations")
    add("--plots", type=Path, metavar="DIR", help="draw error curves; needs facetracks[plots]")
    add(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="measure every network in float32 and in this, and report whether this changes its "
        "mean error by less than 0.02 percent",
    )
    add(
        "--codec",
        nargs="+",
        choices=CODECS,
        metavar="NAME",
        help=f"measure every heatmap network with each of these decoders: {', '.join(CODECS)} "
        "(default: that of its card)",
    )
    add("--device", type=device, default="cpu", help="auto, cpu, cuda or cuda:i")
    add("--threads", type=positive_int, default=1, help="CPU threads")
    add("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(check=check_data)


def add_evaluate_detector(parser: CommandParser) -> None:
    """compare a face detector with YuNet

    Prints recall, precision and overlap of a face detector against YuNet's boxes of at least 40 px
    (in the video's pixels, IoU 0.5), on a frame every 0.2 s of videos outside the training set, and
    its speed on one thread.

    examples:
        facetracks evaluate detector --data DATA
        facetracks evaluate detector --data DATA --detector face_detector.safetensors
    """
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, optionally, ytf68/val",
    )
    add(
        "--detector",
        default="default",
        metavar="SPEC",
        help="'default' (ours), 'yunet:PATH', or a safetensors file",
    )
    add(
        "--videos",
        choices=["validation", "all"],
        default="validation",
        help="which videos; 'all' includes those of the training set",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def add_evaluate_coverage(parser: CommandParser) -> None:
    """measure which of a detector's faces have rows in the tracks

    Runs a detector on every frame of the videos of an output folder and counts the frames and faces
    that have rows in the tracks.

    examples:
        facetracks evaluate coverage OUT --detector yunet:yunet.onnx
        facetracks evaluate coverage OUT --detector yunet:yunet.onnx --min-size 80 --json
    """
    add = parser.add_argument
    add("output", metavar="OUTPUT", help="output folder of `facetracks annotate`")
    add("--detector", required=True, metavar="SPEC", help="such as yunet:ONNX_FILE")
    add(
        "--min-size",
        type=positive_float,
        default=40.0,
        metavar="PX",
        help="minimum longer side of a face's box",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def add_evaluate_stabilizers(parser: CommandParser) -> None:
    """measure the stabilizers on tracks with ground truth

    Prints error, stability, lag and cost of every stabilizer on test tracks, of other people and
    other motions than those it was fitted on. NRMSE and stability are in percent of the distance
    between the outer eye corners; 'unbiased' leaves out each track's constant error, which no
    filter can change.

    examples:
        facetracks evaluate stabilizers --data DATA --draws 7
        facetracks evaluate stabilizers --annotated OUT
    """
    add_track_options(parser)
    parser.set_defaults(tracks=40)
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
        help="number of sets of test tracks, with consecutive seeds from --seed, measured as one",
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
        help="also sweep the parameters of the simpler filters (minutes)",
    )
    add("--full", action="store_true", help="also measure the full covariance (0.6 ms per frame)")
    add("--plots", type=Path, metavar="DIR", help="draw PNG figures; needs facetracks[plots]")
    add("--json", action="store_true", help="print JSON instead of a table")
    add(
        "--annotated",
        type=Path,
        metavar="OUT",
        help="instead, measure jitter at rest and lag on the raw landmarks of real video, which "
        "annotate wrote to OUT",
    )


def add_evaluate_codecs(parser: CommandParser) -> None:
    """measure how heatmaps are decoded

    Prints the mean error, in heatmap pixels, of each way to decode a heatmap, on 64x64 Gaussians
    with known centres, decoded with sigma 3: with noise (white, blurred by 0.7 px), with another
    sigma, and at the edge. Needs no data.

    examples:
        facetracks evaluate codecs
        facetracks evaluate codecs --maps 500 --json
    """
    add = parser.add_argument
    add("--maps", type=positive_int, default=5000, help="heatmaps per row")
    add("--seed", type=count, default=0, help="seed of every random choice")
    add("--json", action="store_true", help="print JSON instead of a table")


def add_networks(parser: CommandParser) -> None:
    """list the landmark networks, their size and speed

    Prints parameters, size, multiplications and speed of every landmark network on this machine,
    beside Table 7 of the local-motion paper. Speeds are in windows per second, for consecutive
    windows, the best of several repetitions.

    examples:
        facetracks networks
        facetracks networks --network 2d 3d --threads 1
    """
    add = parser.add_argument
    add(
        "--network",
        nargs="+",
        choices=NETWORK_NAMES,
        default=list(NETWORK_NAMES),
        metavar="NAME",
        help="only these (default: all)",
    )
    add(
        "--threads",
        type=positive_int,
        default=os.cpu_count() or 1,
        help="CPU threads (default: %(default)s, all)",
    )
    add("--windows", type=positive_int, default=8, help="windows per call")
    add("--seconds", type=positive_float, default=2.0, help="time for each network")
    add("--json", action="store_true", help="print JSON instead of a table")
