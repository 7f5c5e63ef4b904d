"""`facetracks annotate`: videos in, landmark tracks in Parquet out."""

from __future__ import annotations

import argparse
import datetime
import difflib
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from models.face_detector import load_face_detector
from models.landmark_model import load_landmark_model
from models.stabilizers import STABILIZERS
from pipeline.graph import GraphSettings, annotate_videos
from pipeline.inputs import ALLOWED_PROTOCOLS, Inputs, find_inputs
from pipeline.output_lock import lone_run
from pipeline.progress import ProgressDisplay
from pipeline.provenance import check_same_config, describe_run, tracks_config, write_run_record
from pipeline.timings import timings_table
from schemas.errors import AccountingError, OutputError, UsageError, WeightsError
from schemas.videos import REASONS
from transforms.align_faces import LandmarkModelHandler, resolve_device
from transforms.decoding_child import ChildSettings
from transforms.storage import Folder, write_bytes
from transforms.window_decoding import CropSpec
from transforms.workplace import Workplace

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
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, folder, pattern or URL, or a manifest (.csv, .jsonl, .parquet) with uri "
        "and, if wanted, video_id, start_seconds, stop_seconds, boxes",
    )
    add = parser.add_argument
    add("--output", required=True, metavar="URL", help="folder for tracks/, videos/ and run.json")
    add("--weights", metavar="FILE", help="landmark weights (default: the ones that ship)")
    add(
        "--detector",
        default="default",
        metavar="SPEC",
        help="face detector: default, yunet:ONNX_FILE, or a weights file (default: %(default)s)",
    )
    add(
        "--device",
        default="auto",
        type=_device,
        metavar="auto|cpu|cuda[:i]",
        help="where the landmark network runs (default: %(default)s)",
    )
    add(
        "--batch-windows",
        type=_positive_int,
        default=256,
        metavar="N",
        help="frame windows in a network call (default: %(default)s)",
    )
    add(
        "--segment-seconds",
        type=_positive_float,
        default=10.0,
        metavar="S",
        help="videos are cut in pieces at least this long (default: %(default)s)",
    )
    add(
        "--stabilizer",
        choices=tuple(STABILIZERS),
        default="one-euro",
        help="filter for x and y; x_raw and y_raw stay as they are (default: %(default)s)",
    )
    add(
        "--workers",
        type=_positive_int,
        default=max(1, min(8, os.cpu_count() or 1)),
        metavar="N",
        help="parallel workers on this machine (default: %(default)s, its cores up to 8)",
    )
    add(
        "--stall-seconds",
        type=_positive_float,
        default=60.0,
        metavar="S",
        help="a decoder that makes no progress for so long is killed (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="do everything again, whatever is there")
    add(
        "--retry",
        type=_reasons,
        default=frozenset(),
        metavar="REASON,...",
        help="do again what ended for these reasons; what is done otherwise stays",
    )
    add(
        "--max-slowness",
        type=_positive_float,
        default=ChildSettings.max_slowness,
        metavar="S",
        help="seconds that decoding may take a second of video (default: %(default)s)",
    )
    add(
        "--max-memory-mb",
        type=_positive_int,
        default=ChildSettings.memory_mb,
        metavar="MB",
        help="memory that a decoding process may take (default: %(default)s)",
    )
    add(
        "--max-pixels",
        type=_positive_int,
        default=ChildSettings.max_pixels,
        metavar="N",
        help="pixels that a frame may have (default: %(default)s)",
    )
    add(
        "--allow-protocols",
        type=_protocols,
        default=ALLOWED_PROTOCOLS,
        metavar="NAME,...",
        help="protocols that inputs may use; `chain` allows chained URLs (default: "
        f"{','.join(ALLOWED_PROTOCOLS)})",
    )
    add("--limit", type=_positive_int, metavar="N", help="only the first N videos")
    add("--timings", action="store_true", help="print each stage's speed beside a raw decode")
    parser.set_defaults(run=run, takes_beam_options=True)


def run(args: argparse.Namespace) -> int:
    """Runs the pipeline and accounts for every input; returns the exit status."""
    options, runner = _beam_options(args)
    local = runner in _LOCAL_RUNNERS
    output = args.output.rstrip("/") if "://" in args.output else str(Path(args.output).absolute())
    _check_output(output)
    inputs = find_inputs(args.inputs, args.limit, args.allow_protocols)
    settings = _settings(args, output, runner, local)
    config = dict(settings.workplace.config)
    if not args.overwrite:
        check_same_config(output, config)
    record: dict[str, Any] = {
        "started": _now(),
        "command": ["facetracks", *sys.argv[1:]],
        "inputs": len(inputs.all_videos()),
        "config": config,
        "config_hash": settings.workplace.config_hash(),
        **settings.workplace.provenance,
    }
    with lone_run(settings.workplace):
        write_run_record(output, record)
        start = time.monotonic()
        with ProgressDisplay(len(inputs.videos)):
            result = _run_graph(inputs, settings, options)
        wall_seconds = time.monotonic() - start
        rows = _account(inputs, settings.workplace)
        settings.workplace.staging_root().remove()
    statuses = Counter(row["status"] for row in rows)
    record |= {
        "finished": _now(),
        "wall_seconds": round(wall_seconds, 3),
        "statuses": dict(statuses),
        "reasons": dict(Counter(row["reason"] for row in rows if row["reason"])),
        "counters": _counters(result),
    }
    write_run_record(output, record)
    _report(rows, output, wall_seconds)
    if args.timings:
        print(timings_table(rows, wall_seconds))
    return 0 if set(statuses) <= {"ok", "skipped"} else EXIT_INCOMPLETE


def _run_graph(inputs: Inputs, settings: GraphSettings, options: PipelineOptions) -> Any:
    pipeline = beam.Pipeline(options=options)
    annotate_videos(pipeline, inputs.videos, inputs.failures, settings)
    result = pipeline.run()
    state = result.wait_until_finish()
    if state not in (None, "DONE"):
        raise RuntimeError(f"the runner ended the job as {state}, expected DONE")
    return result


def _settings(args: argparse.Namespace, output: str, runner: str, local: bool) -> GraphSettings:
    if local:
        try:
            resolve_device(args.device)
        except RuntimeError as error:
            raise UsageError(f"--{error}") from error
    try:
        model = load_landmark_model(args.weights, "cpu")
        detector = load_face_detector(args.detector)
    except WeightsError as error:
        raise UsageError(str(error)) from error
    card = model.card
    config = tracks_config(model, detector, args.stabilizer)
    workplace = Workplace(output, config, describe_run(runner))
    child = ChildSettings(
        crop=CropSpec(card.crop_size_px, card.crop_scale, card.window_frames),
        detector=args.detector,
        segment_seconds=args.segment_seconds,
        stall_seconds=args.stall_seconds,
        max_slowness=args.max_slowness,
        memory_mb=args.max_memory_mb,
        max_pixels=args.max_pixels,
    )
    threads = max(1, (os.cpu_count() or 1) // args.workers) if local else None
    handler = LandmarkModelHandler(
        args.weights, device=args.device, batch_windows=args.batch_windows, threads=threads
    )
    return GraphSettings(workplace, child, handler, args.stabilizer, args.overwrite, args.retry)


def _beam_options(args: argparse.Namespace) -> tuple[PipelineOptions, str]:
    """Beam's options, with the runner of one machine where none is named."""
    flags: Sequence[str] = args.beam_options
    known = [f"--{name.replace('_', '-')}" for name in vars(args)]
    for flag in flags:
        close = difflib.get_close_matches(flag.partition("=")[0], known, n=1, cutoff=0.85)
        if close:
            raise UsageError(f"got the option {flag}; did you mean {close[0]}?")
        if not flag.startswith("-") and flag == flags[0]:
            raise UsageError(f"got {flag!r} among the options; inputs come before the options")
    runner = PipelineOptions(list(flags)).view_as(StandardOptions).runner
    if runner is not None:
        return PipelineOptions(list(flags)), str(runner).rpartition(".")[2]
    # Named, because DirectRunner chooses its engine by the content of the graph.
    mode = "multi_threading" if args.workers > 1 else "in_memory"
    ours = ["--runner=FnApiRunner", f"--direct_num_workers={args.workers}"]
    ours += [f"--direct_running_mode={mode}"]
    return PipelineOptions([*ours, *flags]), "FnApiRunner"  # the last word is the user's


def _check_output(output: str) -> None:
    try:
        write_bytes(f"{output}/.writable", b"")
        Folder(f"{output}/.writable").remove()
    except Exception as error:  # each file system raises its own kinds
        raise OutputError(
            f"--output {output} cannot be written: {type(error).__name__}: {error}"
        ) from error


def _account(inputs: Inputs, workplace: Workplace) -> list[dict[str, Any]]:
    """The status row of every input; AccountingError when one has none."""
    rows, missing = [], []
    for video in inputs.all_videos():
        status = workplace.read_status(video)
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


def _counters(result: Any) -> dict[str, int]:
    """The run's own counters, where the runner keeps them."""
    try:
        counters = result.metrics().query()["counters"]
    except (AttributeError, NotImplementedError):
        return {}
    ours = [c for c in counters if c.key.metric.namespace == "facetracks"]
    totals: Counter[str] = Counter()
    for counter in ours:
        totals[counter.key.metric.name] += counter.result
    return dict(totals)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _device(text: str) -> str:
    kind, colon, index = text.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdigit())):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected auto, cpu, cuda or cuda:i")
    return text


def _protocols(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _reasons(text: str) -> frozenset[str]:
    reasons = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(reasons - set(REASONS))
    if unknown or not reasons:
        got, known = ", ".join(unknown) or repr(text), ", ".join(REASONS)
        raise argparse.ArgumentTypeError(f"got {got}, expected some of {known}")
    return reasons


def _positive_int(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 up")
    return number


def _positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number
