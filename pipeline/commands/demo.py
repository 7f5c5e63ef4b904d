"""`facetracks demo`: annotates the embedded sample and compares it with its exact landmarks."""

from __future__ import annotations

import argparse

import numpy as np

from models.landmarks.evaluation.face_errors import stability_percent
from pipeline.annotate import annotate
from pipeline.commands.annotate import EXIT_INCOMPLETE, summary_lines
from pipeline.commands.render import render_contact_sheet, render_video
from pipeline.commands.sample import compare_with_truth, write_sample
from pipeline.progress import ProgressDisplay
from pipeline.settings import AnnotateSettings
from pipeline.videos.track_file import find_track_file, read_track_file
from schemas.landmarks import LANDMARK_COUNT


def run(args: argparse.Namespace) -> int:
    """Runs all of it; returns the exit status of the annotation."""
    folder = args.output
    folder.mkdir(parents=True, exist_ok=True)
    clip, output = folder / "sample.mp4", folder / "output"
    overlay, sheet = folder / "overlay.mp4", folder / "contact-sheet.png"
    truth = write_sample(clip)
    settings = AnnotateSettings(overwrite=True)
    summary = annotate(clip, output, settings, watch=ProgressDisplay)
    print(summary_lines(summary))
    if not summary.complete:
        return EXIT_INCOMPLETE
    track_file = find_track_file(str(output), str(clip))
    tracks = read_track_file(track_file)
    render_video(str(clip), tracks, overlay)
    render_contact_sheet(str(clip), tracks, sheet)
    raw, stabilized = compare_with_truth(str(track_file), truth)
    found = np.isfinite(raw.percent("interocular"))
    print(
        f"\nclip            {clip}\n"
        f"ground truth    {truth}\n"
        f"tracks          {track_file}\n"
        f"overlay video   {overlay}\n"
        f"contact sheet   {sheet}\n\n"
        f"frames with a detected face  {found.sum()} of {len(found)}\n"
        "error in % of the distance between the outer eye corners:"
    )
    for name, faces in (("raw", raw), ("stabilized", stabilized)):
        errors = faces.percent("interocular")[found]
        jitter = stability_percent(faces)[LANDMARK_COUNT]
        print(
            f"  {name:10}  {errors.mean():.2f} mean, {errors.max():.2f} worst frame; "
            f"jitter {jitter:.2f} per frame"
        )
    return 0
