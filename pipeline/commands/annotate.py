"""`facetracks annotate`: videos in, landmark tracks in Parquet out."""

from __future__ import annotations

import argparse
from typing import Final

from pipeline.annotate import RunSummary, annotate
from pipeline.annotate_videos import decoder_settings
from pipeline.commands.command_parser import settings_of
from pipeline.progress import ProgressDisplay
from pipeline.reports.timings import timings_table
from pipeline.settings import AnnotateSettings

#: Exit status of a run that ended, with some videos partial or failed.
EXIT_INCOMPLETE: Final = 3


def run(args: argparse.Namespace) -> int:
    """Annotates, and prints what became of the inputs; returns the exit status."""
    settings = settings_of(AnnotateSettings, args)
    summary = annotate(
        args.inputs, args.output, settings, beam_options=args.beam_options, watch=ProgressDisplay
    )
    print(summary_lines(summary))
    if args.timings:
        print(timings_table(summary, settings.workers, decoder_settings(settings)))
        print(f"staging: {summary.staging_peak_bytes / 1e6:.1f} MB at most")
    return 0 if summary.complete else EXIT_INCOMPLETE


def summary_lines(summary: RunSummary) -> str:
    """The closing lines: what became of the inputs, and where the tracks are."""
    lines = [f"{v.status:<8}{v.reason:<18}{v.message}" for v in summary.incomplete]
    incomplete = sum(summary.statuses.get(status, 0) for status in ("partial", "failed"))
    if incomplete > len(lines):
        lines.append(f"... and {incomplete - len(lines)} more, in {summary.output}/videos")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(summary.statuses.items()))
    lines.append(
        f"{summary.videos} videos: {counts}; {summary.frames} frames, {summary.face_frames} rows "
        f"of tracks, in {summary.wall_seconds:.1f} s"
    )
    if summary.predicted_seconds is not None:
        expected, took = summary.predicted_seconds, summary.wall_seconds
        lines.append(
            f"probe estimated {expected:.0f} s, the run took {took:.0f} s: "
            f"{took / expected:.2f} times the estimate"
        )
    if before := summary.done_before:
        lines.append(f"{summary.videos - before} annotated now, {before} before")
    lines += [f"tracks: {summary.output}/tracks", f"videos: {summary.output}/videos"]
    by_licence: dict[str, list[str]] = {}
    for kind, licence in summary.licences.items():
        by_licence.setdefault(licence, []).append(kind)
    lines += [f"licence of the {_listed(k)} weights: {text}" for text, k in by_licence.items()]
    return "\n".join(lines)


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
