"""`facetracks annotate`: videos in, landmark tracks in Parquet out."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from models.detection.face_detector import load_face_detector
from models.landmarks.model import load_landmark_model
from pipeline.commands.annotate_options import add_options, align_hints, beam_options
from pipeline.graph import GraphSettings, annotate_videos
from pipeline.inputs import Inputs, find_inputs
from pipeline.output_lock import lone_run
from pipeline.progress import ProgressDisplay
from pipeline.provenance import check_same_config, describe_run, tracks_config, write_run_record
from pipeline.reports.timings import timings_table
from pipeline.waves import RunTotals, run_in_waves
from schemas.errors import AccountingError, OutputError, UsageError, WeightsError
from transforms.align_faces import LandmarkModelHandler, resolve_device
from transforms.decoding.child import ChildSettings
from transforms.decoding.child_pool import kept_children
from transforms.decoding.window_builder import CropSpec
from transforms.run_metrics import NAMESPACE
from transforms.storage.atomic_files import Folder, write_bytes
from transforms.storage.run_output import RunOutput

__all__ = ["EXIT_INCOMPLETE", "add_parser", "run"]

#: Exit status of a run that ended, with some videos partial or failed.
EXIT_INCOMPLETE: Final = 3
_LOCAL_RUNNERS: Final = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "PrismRunner")
_FAILURES_SHOWN: Final = 20


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
    """Runs the pipeline and accounts for every input; returns the exit status."""
    options, runner = beam_options(args)
    local = runner in _LOCAL_RUNNERS
    output = args.output.rstrip("/") if "://" in args.output else str(Path(args.output).absolute())
    _check_output(output)
    inputs = find_inputs(args.inputs, args.limit, args.allow_protocols)
    settings = _settings(args, output, runner, local)
    config = dict(settings.run_output.config)
    record: dict[str, Any] = {
        "started": _now(),
        "command": ["facetracks", *sys.argv[1:]],
        "inputs": len(inputs.all_videos()),
        "config": config,
        "config_hash": settings.run_output.config_hash(),
        **settings.run_output.provenance,
    }
    with lone_run(settings.run_output):
        if not args.overwrite:
            check_same_config(output, config)
        write_run_record(output, record)
        start = time.monotonic()
        totals = _run(inputs, settings, options, in_waves=local)
        wall_seconds = time.monotonic() - start
        rows = _account(inputs, settings.run_output)
        settings.run_output.clear_staging(inputs.all_videos())
    statuses = Counter(row["status"] for row in rows)
    record |= {
        "finished": _now(),
        "wall_seconds": round(wall_seconds, 3),
        "statuses": dict(statuses),
        "reasons": dict(Counter(row["reason"] for row in rows if row["reason"])),
        "counters": dict(totals.counters),
        "waves": totals.waves,
        "staging_peak_bytes": totals.staging_peak_bytes,
    }
    write_run_record(output, record)
    _report(rows, output, wall_seconds)
    if args.timings:
        print(timings_table(rows, wall_seconds))
        print(f"staging: {totals.staging_peak_bytes / 1e6:.1f} MB at most")
    return 0 if set(statuses) <= {"ok", "skipped"} else EXIT_INCOMPLETE


def _run(
    inputs: Inputs, settings: GraphSettings, options: PipelineOptions, *, in_waves: bool
) -> RunTotals:
    """Runs the inputs, where asked in waves; a cluster needs to see all of them at once."""
    totals = RunTotals()

    def run_wave(wave: Inputs) -> Counter[str]:
        pipeline = beam.Pipeline(options=options)
        annotate_videos(pipeline, wave.videos, wave.failures, settings)
        result = pipeline.run()
        state = result.wait_until_finish()
        if state not in (None, "DONE"):
            raise RuntimeError(f"the runner ended the job as {state}, expected DONE")
        return _counters(result)

    with ProgressDisplay(len(inputs.videos)), kept_children():
        try:
            if in_waves:
                run_in_waves(inputs, run_wave, totals)
            else:
                totals.add(inputs, run_wave(inputs))
        except Exception:
            done, count = totals.videos_done, len(inputs.all_videos())
            print(
                f"facetracks: {done} of {count} inputs were done before the run broke; "
                "the same command, without --overwrite, goes on from there",
                file=sys.stderr,
            )
            raise
    return totals


def _settings(args: argparse.Namespace, output: str, runner: str, local: bool) -> GraphSettings:
    if local:
        try:
            resolve_device(args.device)
        except RuntimeError as error:
            raise UsageError(f"--{error}") from error
    try:
        bfloat16 = args.precision == "bfloat16"
        model = load_landmark_model(args.weights, "cpu", bfloat16=bfloat16)
        detector = load_face_detector(args.detector)
    except WeightsError as error:
        raise UsageError(str(error)) from error
    card = model.card
    config = tracks_config(model, args.precision, detector, args.stabilizer, args.stream)
    run_output = RunOutput(output, config, describe_run(runner))
    child = ChildSettings(
        crop=CropSpec(card.crop_size_px, card.crop_scale, card.window_frames),
        detector=args.detector,
        detector_sha256=detector.weights_sha256,
        segment_seconds=args.segment_seconds,
        stall_seconds=args.stall_seconds,
        max_slowness=args.max_slowness,
        memory_mb=args.max_memory_mb,
        max_pixels=args.max_pixels,
        stream=args.stream,
    )
    threads = max(1, (os.cpu_count() or 1) // args.workers) if local else None
    handler = LandmarkModelHandler(
        args.weights,
        device=args.device,
        batch_windows=args.batch_windows,
        threads=threads,
        bfloat16=bfloat16,
        compiled=args.compile,
        weights_sha256=model.weights_sha256,
    )
    return GraphSettings(
        run_output,
        child,
        handler,
        args.stabilizer,
        args.overwrite,
        args.retry,
        args.separate_decode,
        align_hints(args),
    )


def _check_output(output: str) -> None:
    try:
        write_bytes(f"{output}/.writable", b"")
        Folder(f"{output}/.writable").remove()
    except Exception as error:  # each file system raises its own kinds
        raise OutputError(
            f"--output {output} cannot be written: {type(error).__name__}: {error}"
        ) from error


def _account(inputs: Inputs, run_output: RunOutput) -> list[dict[str, Any]]:
    """The status row of every input; AccountingError when one has none."""
    rows, missing = [], []
    for video in inputs.all_videos():
        status = run_output.read_status(video)
        if status is None:
            missing.append(video.uri)
        else:
            rows.append(status[0])
    if missing:
        raise AccountingError(
            f"{len(missing)} of {len(rows) + len(missing)} inputs have no status row: "
            + ", ".join(missing[:5])
        )
    return rows


def _report(rows: Sequence[dict[str, Any]], output: str, wall_seconds: float) -> None:
    """The closing lines: what became of the inputs, and where the tracks are."""
    statuses = Counter(row["status"] for row in rows)
    frames = sum(row["frames_decoded"] for row in rows)
    faces = sum(row["face_frames"] for row in rows)
    bad = [row for row in rows if row["status"] in ("partial", "failed")]
    for row in bad[:_FAILURES_SHOWN]:
        print(f"{row['status']:<8}{row['reason']:<18}{row['message']}")
    if len(bad) > _FAILURES_SHOWN:
        print(f"... and {len(bad) - _FAILURES_SHOWN} more, in {output}/videos")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    print(
        f"{len(rows)} videos: {counts}; {frames} frames, {faces} faces on them, "
        f"in {wall_seconds:.1f} s"
    )
    print(f"tracks: {output}/tracks\nvideos: {output}/videos")


def _counters(result: Any) -> Counter[str]:
    """The run's own counters, and counts and sums of its distributions, where there are any."""
    try:
        metrics = result.metrics().query()
    except (AttributeError, NotImplementedError):
        return Counter()
    totals: Counter[str] = Counter()
    for kind in ("counters", "distributions"):
        for one in metrics[kind]:
            name = one.key.metric.name
            if one.key.metric.namespace != NAMESPACE:
                continue
            if kind == "counters":
                totals[name] += one.result
            else:
                totals[f"{name}.count"] += one.result.count
                totals[f"{name}.sum"] += one.result.sum
    return totals


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
