"""The options of `demo`, `sample` and `completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.commands.argument_types import file_name, positive_float, positive_int
from pipeline.commands.command_parser import Subparsers, examples

_SHELLS: Final = ("bash", "zsh", "tcsh")


def add_demo(subparsers: Subparsers) -> None:
    """Adds the command to the `facetracks` parser."""
    parser = subparsers.add_parser(
        "demo",
        help="annotate the embedded sample, render it, and compare it with the ground truth",
        description="Makes the sample clip, annotates it, renders an overlay video and a "
        "contact sheet, and prints how far the tracks are from the clip's exact landmarks.",
        epilog=examples("facetracks demo", "facetracks demo --output sample"),
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("facetracks-sample"),
        metavar="DIR",
        help="folder to write",
    )


def add_sample(subparsers: Subparsers) -> None:
    """Adds `sample` to the commands."""
    parser = subparsers.add_parser(
        "sample",
        help="write a sample clip of a talking face with its exact landmarks",
        description="Writes OUT.mp4, a photograph animated by known head motion and "
        "expressions (H.264, 25 frames per second), and OUT.truth.parquet, the exact 68 "
        "landmarks of every frame in the schema of a track. Needs facetracks[demo].",
        epilog=examples(
            "facetracks sample talking.mp4", "facetracks sample talking.mp4 --seconds 3 --size 256"
        ),
    )
    add = parser.add_argument
    add("out", metavar="OUT.mp4", type=file_name(".mp4"), help="the clip to write")
    add("--seconds", type=positive_float, default=10.0, help="length of the clip")
    add(
        "--size",
        type=positive_int,
        default=512,
        metavar="PX",
        help="width and height of the clip, an even number",
    )


def add_completion(subparsers: Subparsers) -> None:
    """Adds `completion` to the commands."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Prints a script with which a shell completes the commands and options of "
        "facetracks.",
        epilog=examples(
            'eval "$(facetracks completion bash)"    # in ~/.bashrc',
            'facetracks completion zsh > "${fpath[1]}/_facetracks"',
        ),
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="|".join(_SHELLS))
