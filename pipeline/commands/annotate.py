"""`facetracks annotate`: videos in, landmark tracks in Parquet out."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, Final

from pipeline.annotate import RunSummary, annotate
from pipeline.commands.annotate_options import add_options, check_beam_options
from pipeline.progress import ProgressDisplay
from pipeline.reports.timings import timings_table
from pipeline.settings import AnnotateSettings

__all__ = ["EXIT_INCOMPLETE", "add_parser", "run", "settings_of"]

#: Exit status of a run that ended, with some videos partial or failed.
EXIT_INCOMPLETE: Final = 3


def add_parser(subparsers: Any) -> None:
    """Adds the command to the `facetracks` parser."""
    parser = subparsers.add_parser(
        "annotate",
        help="annotate videos with 68-point landmark tracks",
        description="Annotates videos with 68-point facial landmark tracks, in Parquet. "
        "Exit status: 0 all ok, 3 some videos partial or failed, 1 the run broke, 2 wrong usage.",
        epilog="Every other option goes to Beam as it is, --runner=... among them.",
        allow_abbrev=False,
    )
    add_options(parser)
    parser.set_defaults(run=run, takes_beam_options=True)


def run(args: argparse.Namespace) -> int:
    """Annotates, and prints what became of the inputs; returns the exit status."""
    check_beam_options(args.beam_options, vars(args))
    summary = annotate(
        args.inputs,
        args.output,
        settings_of(args),
        beam_options=args.beam_options,
        watch=ProgressDisplay,
    )
    print(summary_lines(summary))
    if args.timings:
        print(timings_table(summary.output, summary.wall_seconds))
        print(f"staging: {summary.staging_peak_bytes / 1e6:.1f} MB at most")
    return 0 if summary.complete else EXIT_INCOMPLETE


def settings_of(args: argparse.Namespace) -> AnnotateSettings:
    """The settings that the options say."""
    names = [field.name for field in dataclasses.fields(AnnotateSettings)]
    return AnnotateSettings(**{name: getattr(args, name) for name in names})


def summary_lines(summary: RunSummary) -> str:
    """The closing lines: what became of the inputs, and where the tracks are."""
    lines = [f"{v.status:<8}{v.reason:<18}{v.message}" for v in summary.incomplete]
    incomplete = sum(summary.statuses.get(status, 0) for status in ("partial", "failed"))
    if incomplete > len(lines):
        lines.append(f"... and {incomplete - len(lines)} more, in {summary.output}/videos")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(summary.statuses.items()))
    lines.append(
        f"{summary.videos} videos: {counts}; {summary.frames} frames, {summary.face_frames} faces "
        f"on them, in {summary.wall_seconds:.1f} s"
    )
    lines += [f"tracks: {summary.output}/tracks", f"videos: {summary.output}/videos"]
    return "\n".join(lines)
