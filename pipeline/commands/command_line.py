"""The parser of the whole command line; imports none of the commands' implementations."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from pipeline.commands.arguments import annotate, evaluation, outputs, start, training, videos
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
    start.add_demo,
    annotate.add_annotate,
    videos.add_render,
    videos.add_crop,
    annotate.add_probe,
    videos.add_redact,
    outputs.add_report,
    outputs.add_export,
    outputs.add_derive,
    outputs.add_compact,
    outputs.add_forget,
    start.add_sample,
    _group(
        "evaluate",
        "measure tracks, networks, a detector or the stabilizers",
        evaluation.add_evaluate_tracks,
        evaluation.add_evaluate_landmarks,
        evaluation.add_evaluate_detector,
        evaluation.add_evaluate_coverage,
        evaluation.add_evaluate_stabilizers,
        evaluation.add_evaluate_codecs,
    ),
    evaluation.add_networks,
    _group(
        "train",
        "train a network, or fit the stabilizers",
        training.add_train_landmarks,
        training.add_train_detector,
        training.add_train_stabilizer,
    ),
    start.add_completion,
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
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
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
