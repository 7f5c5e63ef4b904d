"""The parser of the whole command line; imports none of the commands' implementations."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

from pipeline.commands.arguments import annotate, evaluation, outputs, start, training, videos
from pipeline.commands.command_parser import CommandParser

#: What adds the options of each command; its docstring is the help: title, description, examples.
#: In the order in which a newcomer meets them.
_COMMANDS: Final[dict[str, Callable[[CommandParser], None]]] = {
    "demo": start.add_demo,
    "annotate": annotate.add_annotate,
    "render": videos.add_render,
    "crop": videos.add_crop,
    "probe": annotate.add_probe,
    "redact": videos.add_redact,
    "report": outputs.add_report,
    "export": outputs.add_export,
    "derive": outputs.add_derive,
    "compact": outputs.add_compact,
    "forget": outputs.add_forget,
    "sample": start.add_sample,
    "evaluate tracks": evaluation.add_evaluate_tracks,
    "evaluate landmarks": evaluation.add_evaluate_landmarks,
    "evaluate detector": evaluation.add_evaluate_detector,
    "evaluate coverage": evaluation.add_evaluate_coverage,
    "evaluate stabilizers": evaluation.add_evaluate_stabilizers,
    "evaluate codecs": evaluation.add_evaluate_codecs,
    "networks": evaluation.add_networks,
    "train landmarks": training.add_train_landmarks,
    "train detector": training.add_train_detector,
    "train stabilizer": training.add_train_stabilizer,
    "completion": start.add_completion,
}
_GROUPS: Final = {
    "evaluate": "measure tracks, networks, a detector or the stabilizers",
    "train": "train a network, or fit the stabilizers",
}
_ALIASES: Final = {"evaluate codecs": ("decoders",)}

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
        epilog="examples:\n    facetracks demo\n    facetracks annotate FOLDER -o OUT",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands: Any = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    groups = {"": commands}
    for name, add_options in _COMMANDS.items():
        group, _, command = name.rpartition(" ")
        if group not in groups:
            title = _GROUPS[group]
            members = commands.add_parser(group, help=title, description=f"{title}.".capitalize())
            groups[group] = members.add_subparsers(title="what", metavar="WHAT", required=True)
        title, description, *rest = inspect.cleandoc(add_options.__doc__ or "").split("\n\n")
        add_options(
            groups[group].add_parser(
                command,
                aliases=_ALIASES.get(name, ()),
                help=title,
                description=" ".join(description.split()),
                epilog="\n\n".join(rest),
            )
        )
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
    if args.check is not None:
        args.check(args)
    return args


class _ShowVersion(argparse.Action):
    """Prints the version of the installed package, which takes a while to find."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib import metadata

        print(f"{parser.prog} {metadata.version('facetracks')}")
        parser.exit()
