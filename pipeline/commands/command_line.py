"""The parser of the whole command line; imports none of the commands' implementations."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from pipeline.commands.arguments import (
    annotate,
    compact,
    completion,
    crop,
    demo,
    derive,
    evaluate_codecs,
    evaluate_coverage,
    evaluate_detector,
    evaluate_landmarks,
    evaluate_stabilizers,
    evaluate_tracks,
    export,
    forget,
    networks,
    probe,
    redact,
    render,
    report,
    sample,
    train_detector,
    train_landmarks,
    train_stabilizer,
)
from pipeline.commands.command_parser import CommandParser, Subparsers, examples

_AddParser: TypeAlias = Callable[[Subparsers], None]


def _group(name: str, text: str, *members: _AddParser) -> _AddParser:
    """A function that adds a command with subcommands."""

    def add_parser(subparsers: Subparsers) -> None:
        group = subparsers.add_parser(name, help=text, description=f"{text}.".capitalize())
        kinds: Any = group.add_subparsers(title="what", metavar="WHAT", required=True)
        for member in members:
            member(kinds)

    return add_parser


#: The commands, in the order in which a newcomer meets them.
_COMMANDS: Final[tuple[_AddParser, ...]] = (
    demo.add_parser,
    annotate.add_parser,
    render.add_parser,
    crop.add_parser,
    probe.add_parser,
    redact.add_parser,
    report.add_parser,
    export.add_parser,
    derive.add_parser,
    compact.add_parser,
    forget.add_parser,
    sample.add_parser,
    _group(
        "evaluate",
        "measure tracks, networks, a detector or the stabilizers",
        evaluate_tracks.add_parser,
        evaluate_landmarks.add_parser,
        evaluate_detector.add_parser,
        evaluate_coverage.add_parser,
        evaluate_stabilizers.add_parser,
        evaluate_codecs.add_parser,
    ),
    networks.add_parser,
    _group(
        "train",
        "train a network, or fit the stabilizers",
        train_landmarks.add_parser,
        train_detector.add_parser,
        train_stabilizer.add_parser,
    ),
    completion.add_parser,
)

#: What commands were called in 0.1.0.
_OLD_NAMES: Final = {
    "evaluate-stabilizers": ("evaluate", "stabilizers"),
    "fit-stabilizer": ("train", "stabilizer"),
}


def command_line() -> CommandParser:
    """The parser of `facetracks`; what it parses names the module that runs the command."""
    parser = CommandParser(
        prog="facetracks",
        description="Annotates video corpora with 68-point facial landmark tracks.",
        epilog=examples("facetracks demo", "facetracks annotate FOLDER -o OUT"),
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and end")
    commands: Any = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_parser in _COMMANDS:
        add_parser(commands)
    return parser


def parse_command(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command that is ready to run; `beam_options` are those left for Beam.

    `module` names the module of `pipeline.commands` whose `run` takes them.

    Raises:
        SystemExit: with status 2, after a line on stderr: what no parser understands.
        UsageError: options that do not go together.
    """
    words = [*_OLD_NAMES.get(words[0], words[:1]), *words[1:]] if words else []
    args, rest = command_line().parse_known_args(words)
    if rest and not args.takes_beam_options:
        args.parser.refuse_options(rest)
    args.beam_options = rest
    args.check(args)
    return args


class _ShowVersion(argparse.Action):
    """Prints the version of the installed package, which takes a while to find."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib import metadata

        print(f"{parser.prog} {metadata.version('facetracks')}")
        parser.exit()
