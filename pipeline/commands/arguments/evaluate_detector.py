"""The options of `facetracks evaluate detector`."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.command_parser import Subparsers, examples


def add_parser(subparsers: Subparsers) -> None:
    """Adds `detector` to the `evaluate` group."""
    parser = subparsers.add_parser(
        "detector",
        help="compare a face detector with YuNet",
        description="Recall, precision and overlap of a face detector against YuNet's boxes of "
        "40 px and more (in the video's pixels, IoU 0.5), on a frame every 0.2 s of the videos "
        "that training never saw, and its speed on one thread.",
        epilog=examples(
            "facetracks evaluate detector --data DATA",
            "facetracks evaluate detector --data DATA --detector face_detector.safetensors",
        ),
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with videos/, detectors/yunet/ and, if there, ytf68/val",
    )
    parser.add_argument(
        "--detector",
        default="default",
        metavar="SPEC",
        help="'default' (ours), 'yunet:PATH', or a safetensors file (default: default)",
    )
    parser.add_argument(
        "--videos",
        choices=["validation", "all"],
        default="validation",
        help="which videos; 'all' includes those that training saw (default: validation)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
