"""The options of `demo`, `sample` and `completion`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.commands.argument_types import file_name, positive_float, positive_int
from pipeline.commands.command_parser import CommandParser

_SHELLS: Final = ("bash", "zsh", "tcsh")


def add_demo(parser: CommandParser) -> None:
    """annotate the embedded sample, render it, and compare it with the ground truth

    Makes the sample clip, annotates it, renders an overlay video and a contact sheet, and prints
    how far the tracks are from the clip's exact landmarks.

    examples:
        facetracks demo
        facetracks demo --output sample
    """
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("facetracks-sample"),
        metavar="DIR",
        help="folder to write",
    )


def add_sample(parser: CommandParser) -> None:
    """write a sample clip of a talking face with its exact landmarks

    Writes OUT.mp4, a photograph animated by known head motion and expressions (H.264, 25 frames per
    second), and OUT.truth.parquet, the exact 68 landmarks of every frame in the schema of a track.
    Needs facetracks[demo].

    examples:
        facetracks sample talking.mp4
        facetracks sample talking.mp4 --seconds 3 --size 256
    """
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


def add_completion(parser: CommandParser) -> None:
    """print a script that completes commands and options in a shell

    Prints a script with which a shell completes the commands and options of facetracks.

    examples:
        eval "$(facetracks completion bash)"    # in ~/.bashrc
        facetracks completion zsh > "${fpath[1]}/_facetracks"
    """
    parser.add_argument("shell", choices=_SHELLS, metavar="|".join(_SHELLS))
