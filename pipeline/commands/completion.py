"""`facetracks completion`: prints a shell's completion script, made by shtab."""

from __future__ import annotations

import argparse

import shtab


def run(args: argparse.Namespace) -> int:
    """Prints the script for `args.shell`; returns 0."""
    from pipeline.commands.command_line import command_line

    print(shtab.complete(command_line(), shell=args.shell))
    return 0
