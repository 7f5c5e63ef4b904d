"""The options of `facetracks completion`."""

from __future__ import annotations

from typing import Final

from pipeline.commands.command_parser import Subparsers, examples

_SHELLS: Final = ("bash", "zsh", "tcsh")


def add_parser(subparsers: Subparsers) -> None:
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
