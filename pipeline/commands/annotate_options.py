"""The options of `facetracks annotate`: ours, checked; the rest, Beam's, untouched."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.transforms.resources import parse_resource_hints

from models.landmarks.precision import PRECISIONS
from models.stabilization.stabilizers import STABILIZERS, stabilizer_factory
from pipeline.inputs import ALLOWED_PROTOCOLS
from schemas.errors import UsageError, WeightsError
from schemas.videos import REASONS
from transforms.decoding.child import ChildSettings

__all__ = ["add_options", "align_hints", "beam_options"]

#: Prism splits slow bundles, if need be between elements of one key, and then runs both halves
#: at the same time: a video's state would be in two places.
_WHOLE_BUNDLES: Final = "--experiments=prism_disable_sdf_split"
_MAY_BE_PRISM: Final = ("PrismRunner", "DirectRunner")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds INPUT and every option of ours."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, folder, pattern or URL, or a manifest (.csv, .jsonl, .parquet) with uri "
        "and, if wanted, video_id, start_seconds, stop_seconds, boxes",
    )
    add = parser.add_argument
    add("--output", required=True, metavar="URL", help="folder for tracks/, videos/ and run.json")
    add(
        "--weights",
        metavar="fast|accurate|FILE",
        help="landmark weights: the ones that ship, by name; a file of ours; or a network exported "
        "by torch (.pt2, TorchScript .pt) with its card (.json) beside it (default: fast)",
    )
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
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="numbers that the landmark network computes with; `evaluate landmarks --precision "
        "bfloat16` tells what the shorter ones cost (default: %(default)s)",
    )
    add(
        "--compile",
        action="store_true",
        help="compile the landmark network first, which takes a minute in every worker and a C++ "
        "compiler",
    )
    add(
        "--batch-windows",
        type=_positive_int,
        default=256,
        metavar="N",
        help="frame windows in a network call (default: %(default)s)",
    )
    add(
        "--separate-decode",
        action="store_true",
        help="decode and align on different workers: crops cross a shuffle in between",
    )
    add(
        "--align-accelerator",
        type=_resource_hint("accelerator"),
        metavar="SPEC",
        help="what workers that align must have, where the runner reads resource hints: "
        "type:nvidia-l4;count:1;install-nvidia-driver, say",
    )
    add(
        "--align-ram",
        type=_resource_hint("min_ram"),
        metavar="SIZE",
        help="memory that workers that align must have, where the runner reads resource hints: "
        "16GB, say",
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
        type=_stabilizer,
        default="rts",
        metavar="|".join([*STABILIZERS, "FILE"]),
        help="filter for x and y, or weights of fit-stabilizer; x_raw and y_raw stay as they are "
        "(default: %(default)s)",
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
        "--stream",
        type=_stream_index,
        metavar="N",
        help="which stream to annotate, counted as FFmpeg counts those of a file (the videos table "
        "says which one was); default: the one that a player would show",
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


def beam_options(args: argparse.Namespace) -> tuple[PipelineOptions, str]:
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
        name = str(runner).rpartition(".")[2]
        whole_bundles = [_WHOLE_BUNDLES] if name in _MAY_BE_PRISM else []
        return PipelineOptions([*flags, *whole_bundles]), name
    # Named, because DirectRunner chooses its engine by the content of the graph.
    mode = "multi_threading" if args.workers > 1 else "in_memory"
    ours = ["--runner=FnApiRunner", f"--direct_num_workers={args.workers}"]
    ours += [f"--direct_running_mode={mode}"]
    return PipelineOptions([*ours, *flags]), "FnApiRunner"  # the last word is the user's


def _resource_hint(name: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        try:
            parse_resource_hints({name: text})
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"got {text!r} ({error})") from error
        return text

    return checked


def align_hints(args: argparse.Namespace) -> dict[str, str]:
    """The resource hints of AlignFaces."""
    hints = {"accelerator": args.align_accelerator, "min_ram": args.align_ram}
    return {name: value for name, value in hints.items() if value is not None}


def _device(text: str) -> str:
    kind, colon, index = text.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (colon and not (kind == "cuda" and index.isdigit())):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected auto, cpu, cuda or cuda:i")
    return text


def _stabilizer(text: str) -> str:
    try:
        stabilizer_factory(text)
    except (ValueError, WeightsError) as error:
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} ({error})") from error
    return text if text in STABILIZERS else str(Path(text).absolute())


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


def _stream_index(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 0 up")
    return int(text)


def _positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number
