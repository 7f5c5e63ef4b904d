"""The options of `facetracks annotate`: ours, checked; the rest, Beam's, untouched."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Sequence
from typing import Any

from models.landmarks.precision import PRECISIONS
from models.stabilization.stabilizers import STABILIZERS
from pipeline.settings import ALLOWED_PROTOCOLS, AnnotateSettings, check_setting
from schemas.errors import UsageError

__all__ = ["add_options", "check_beam_options"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds INPUT and an option for every field of AnnotateSettings, with its default."""
    defaults = AnnotateSettings()
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
        help="landmark weights: the ones that ship, by name; a file of ours; or a network from "
        "elsewhere (.onnx) with its card (.json) beside it (default: fast)",
    )
    add(
        "--detector",
        default=defaults.detector,
        metavar="SPEC",
        help="face detector: default, yunet:ONNX_FILE, or a weights file (default: %(default)s)",
    )
    add(
        "--device",
        default=defaults.device,
        type=_setting("device"),
        metavar="auto|cpu|cuda[:i]",
        help="where the landmark network runs (default: %(default)s)",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default=defaults.precision,
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
        type=_setting("batch_windows", int),
        metavar="N",
        help="frame windows in a call of the landmark network (default: what suits the device, "
        "for crops of 64 px 32 on a CPU and 256 on a GPU)",
    )
    add(
        "--separate-decode",
        action="store_true",
        help="decode and align on different workers: crops cross a shuffle in between",
    )
    add(
        "--align-accelerator",
        type=_setting("align_accelerator"),
        metavar="SPEC",
        help="what workers that align must have, where the runner reads resource hints: "
        "type:nvidia-l4;count:1;install-nvidia-driver, say",
    )
    add(
        "--align-ram",
        type=_setting("align_ram"),
        metavar="SIZE",
        help="memory that workers that align must have, where the runner reads resource hints: "
        "16GB, say",
    )
    add(
        "--segment-seconds",
        type=_setting("segment_seconds", float),
        default=defaults.segment_seconds,
        metavar="S",
        help="videos are cut in pieces at least this long (default: %(default)s)",
    )
    add(
        "--stabilizer",
        type=_setting("stabilizer"),
        default=defaults.stabilizer,
        metavar="|".join([*STABILIZERS, "FILE"]),
        help="filter for x and y, or weights of fit-stabilizer; x_raw and y_raw stay as they are "
        "(default: %(default)s)",
    )
    add(
        "--workers",
        type=_setting("workers", int),
        default=defaults.workers,
        metavar="N",
        help="parallel workers on this machine (default: %(default)s, its cores up to 8)",
    )
    add(
        "--stall-seconds",
        type=_setting("stall_seconds", float),
        default=defaults.stall_seconds,
        metavar="S",
        help="a decoder that makes no progress for so long is killed (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="do everything again, whatever is there")
    add(
        "--retry",
        type=_setting("retry", _names),
        default=defaults.retry,
        metavar="REASON,...",
        help="do again what ended for these reasons; what is done otherwise stays",
    )
    add(
        "--max-slowness",
        type=_setting("max_slowness", float),
        default=defaults.max_slowness,
        metavar="S",
        help="seconds that decoding may take a second of video (default: %(default)s)",
    )
    add(
        "--max-memory-mb",
        type=_setting("max_memory_mb", int),
        default=defaults.max_memory_mb,
        metavar="MB",
        help="memory that a decoding process may take (default: %(default)s)",
    )
    add(
        "--max-pixels",
        type=_setting("max_pixels", int),
        default=defaults.max_pixels,
        metavar="N",
        help="pixels that a frame may have (default: %(default)s)",
    )
    add(
        "--stream",
        type=_setting("stream", int),
        metavar="N",
        help="which stream to annotate, counted as FFmpeg counts those of a file (the videos table "
        "says which one was); default: the one that a player would show",
    )
    add(
        "--allow-protocols",
        type=_protocols,
        default=defaults.allow_protocols,
        metavar="NAME,...",
        help="protocols that inputs may use; `chain` allows chained URLs (default: "
        f"{','.join(ALLOWED_PROTOCOLS)})",
    )
    add("--limit", type=_setting("limit", int), metavar="N", help="only the first N videos")
    add("--timings", action="store_true", help="print each stage's speed beside a raw decode")


def check_beam_options(flags: Sequence[str], ours: Collection[str]) -> None:
    """Raises UsageError where what is left for Beam looks like a mistyped option of `ours`."""
    known = [f"--{name.replace('_', '-')}" for name in ours]
    for flag in flags:
        close = difflib.get_close_matches(flag.partition("=")[0], known, n=1, cutoff=0.85)
        if close:
            raise UsageError(f"got the option {flag}; did you mean {close[0]}?")
        if not flag.startswith("-") and flag == flags[0]:
            raise UsageError(f"got {flag!r} among the options; inputs come before the options")


def _setting(name: str, convert: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """A type of argparse that checks a text as the setting of this name."""

    def checked(text: str) -> Any:
        value = None
        try:
            value = convert(text)
            check_setting(name, value)
        except UsageError as error:
            message = str(error).partition(": ")[2].replace(f"got {value!r}", f"got {text!r}", 1)
            raise argparse.ArgumentTypeError(message) from error
        except ValueError as error:
            least = 0 if name == "stream" else 1
            kind = f"a whole number from {least} up" if convert is int else "a number above 0"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {kind}") from error
        return value

    return checked


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _protocols(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
