"""The options of `facetracks train detector`."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.argument_types import count, positive_float, positive_int
from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
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
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, if there, ytf68/ and images68/",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="where labels, checkpoint, log and weights go",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=positive_float,
        metavar="N",
        help="train for this long (default: 60)",
    )
    length.add_argument(
        "--epochs",
        type=positive_float,
        metavar="N",
        help="train for this many times 256 steps",
    )
    parser.add_argument(
        "--threads", type=positive_int, default=1, metavar="N", help="CPU threads (default: 1)"
    )
    parser.add_argument(
        "--seed", type=count, default=0, metavar="N", help="of all randomness (default: 0)"
    )
    parser.add_argument(
        "--licence",
        metavar="TEXT",
        help="what the weights may be used for, for their file: what your data allows (default: "
        "research only, as the research data does)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the checkpoint in --output"
    )
