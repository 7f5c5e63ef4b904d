"""The options of `annotate`, which passes all others to Beam, and of `probe`.

The docstring of a function that adds a group of options is the title and examples of the group.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import textwrap
from typing import Final

from pipeline.commands.argument_types import (
    count,
    detector,
    device,
    file_name,
    frame_rate,
    positive_float,
    positive_int,
    reasons,
    stabilizer,
    weights,
    words,
)
from pipeline.commands.command_parser import CommandParser, add_setting, nearest
from pipeline.settings import ALLOWED_PROTOCOLS, AnnotateSettings
from schemas.choices import PRECISIONS, STABILIZERS, USES

#: An unknown option this similar to one of ours is mistyped, not one of Beam.
_MISTYPED: Final = 0.85
_add: Final = functools.partial(add_setting, AnnotateSettings)


def add_annotate(parser: CommandParser) -> None:
    """annotate videos with landmark tracks

    Annotates videos with 68-point facial landmark tracks, in Parquet: one row per face per frame,
    and one status row per input. The same command, run again, resumes an interrupted run.

    examples:
        facetracks annotate FOLDER -o OUT
        facetracks annotate 'clips/*.mp4' https://HOST/video.webm -o s3://BUCKET/tracks

    Options of Beam (--runner=... and those with underscores) are passed to Beam.
    Exit status: 0 all ok, 3 some videos partial or failed, 1 the run failed, 2 usage error.
    """
    parser.usage = "facetracks annotate INPUT... -o OUTPUT [options]"
    for add_options in (_input, _output, _quality, _machine, _cluster, _limits):
        title, commands = inspect.cleandoc(add_options.__doc__ or "").split("\n\n")
        add_options(parser.add_argument_group(title, textwrap.indent(commands, "  ")))
    parser.set_defaults(**dataclasses.asdict(AnnotateSettings()))
    parser.set_defaults(takes_beam_options=True, check=_check_beam_options)


def _input(group: argparse._ArgumentGroup) -> None:
    """input

    facetracks annotate corpus.csv -o OUT
    facetracks annotate s3://BUCKET/videos -o OUT --limit 10
    """
    group.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, folder, pattern or URL, or a manifest (.csv, .jsonl, .parquet) with the "
        "column uri and, optionally, video_id, start_seconds, stop_seconds and boxes",
    )
    _add(group, "limit", positive_int, "N")
    _add(group, "stream", count, "N")
    protocols = (
        "protocols that inputs may use; `chain` allows chained URLs (default: "
        f"{','.join(ALLOWED_PROTOCOLS)})"
    )
    _add(group, "allow_protocols", words, "NAME,...", help=protocols)


def _output(group: argparse._ArgumentGroup) -> None:
    """output

    facetracks annotate FOLDER -o OUT --overwrite
    facetracks annotate FOLDER -o OUT --retry decoder_hung,time_limit
    """
    group.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUTPUT",
        help="folder or URL for tracks/, videos/ and run.json",
    )
    _add(group, "overwrite")
    _add(group, "retry", reasons, "REASON,...")
    group.add_argument(
        "--no-raw",
        dest="raw",
        action="store_false",
        help="leave x_raw and y_raw out of the tracks, which halves their size; `derive` and "
        "`evaluate` need them",
    )
    _add(group, "full_precision")
    _add(group, "compact")
    group.add_argument(
        "--timings", action="store_true", help="print the speed of each stage and of a plain decode"
    )


def _quality(group: argparse._ArgumentGroup) -> None:
    """quality

    facetracks annotate FOLDER -o OUT --weights accurate
    facetracks annotate FOLDER -o OUT --detector yunet:FILE.onnx --stabilizer sta
    """
    network = (
        "landmark weights: shipped ones by name, a weights file, or an external network "
        "(.onnx) with its card (.json) beside it (default: fast)"
    )
    _add(group, "weights", weights, "fast|accurate|FILE", help=network)
    _add(group, "detector", detector, "SPEC")
    filters = (
        "filter for x and y, or FILE with weights from `train stabilizer`; x_raw and y_raw "
        "are not filtered"
    )
    _add(group, "stabilizer", stabilizer, "|".join([*STABILIZERS, "FILE"]), help=filters)
    _add(group, "fps", frame_rate, "N")
    _add(group, "precision", choices=PRECISIONS)
    _add(group, "require_licence", choices=USES)


def _machine(group: argparse._ArgumentGroup) -> None:
    """this machine

    facetracks annotate FOLDER -o OUT --workers 4
    facetracks annotate FOLDER -o OUT --device cuda --precision bfloat16 --compile
    """
    _add_workers_and_device(group)
    _add(group, "batch_windows", positive_int, "N")
    _add(group, "compile")


def _cluster(group: argparse._ArgumentGroup) -> None:
    """cluster

    facetracks annotate INPUT -o OUT --runner=FlinkRunner --job_endpoint=HOST:8099 ...
    facetracks annotate INPUT -o OUT --runner=DataflowRunner --separate-decode ...
    """
    _add(group, "separate_decode")
    _add(group, "align_accelerator", str, "SPEC")
    _add(group, "align_ram", str, "SIZE")


def _limits(group: argparse._ArgumentGroup) -> None:
    """limits

    facetracks annotate FOLDER -o OUT --max-memory-mb 2048 --stall-seconds 20
    facetracks annotate FOLDER -o OUT --segment-seconds 60
    """
    _add(group, "segment_seconds", positive_float, "S")
    _add(group, "stall_seconds", positive_float, "S")
    _add(group, "max_slowness", positive_float, "S")
    _add(group, "max_memory_mb", positive_int, "MB")
    _add(group, "max_pixels", positive_int, "N")


def _check_beam_options(args: argparse.Namespace) -> None:
    """Ends the program where what is left for Beam is no option of Beam's.

    Without --runner, Beam's options are those with underscores, and --experiments.
    """
    parser: CommandParser = args.parser
    flags: list[str] = args.beam_options
    names = [flag.partition("=")[0] for flag in flags]
    if flags and not flags[0].startswith("-"):
        parser.error(f"got {flags[0]!r} among the options; inputs come before the options")
    for name in names:
        is_beams = "--runner" in names or "_" in name or name == "--experiments"
        is_mistyped = nearest(name, parser.options(), alike=_MISTYPED) is not None
        if name.startswith("-") and (is_mistyped or not is_beams):
            parser.refuse_options([name])


def _add_workers_and_device(group: argparse._ArgumentGroup) -> None:
    cores = "parallel workers (default: %(default)s, the cores up to 8)"
    _add(group, "workers", positive_int, "N", help=cores)
    _add(group, "device", device, "auto|cpu|cuda[:i]", help="where the landmark network runs")


def add_probe(parser: CommandParser) -> None:
    """report what the inputs are, and estimate the time and cost of annotate

    Reads the headers of all inputs and decodes a short sample of each (4 %, at most 2 s). Prints
    what they are, and the estimated time of annotate at the speed that this machine has now.

    examples:
        facetracks probe FOLDER
        facetracks probe corpus.csv --on-workers 40 --price-per-hour 0.05 --to probe.parquet
    """
    group = parser.add_argument_group("input")
    group.add_argument("inputs", nargs="+", metavar="INPUT", help="as in annotate")
    _add(group, "limit", positive_int, "N")
    _add(group, "stream", count, "N", help="as in annotate")
    _add(group, "allow_protocols", words, "NAME,...", help="as in annotate")
    add = parser.add_argument_group("output").add_argument
    add(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="also write the figures to OUTPUT/probe.json; annotate then prints its actual time "
        "beside the estimate",
    )
    add("--json", action="store_true", help="print the figures as JSON")
    add(
        "--to",
        type=file_name(".parquet"),
        metavar="FILE.parquet",
        help="also write one row per input",
    )
    group = parser.add_argument_group("quality")
    _add(group, "weights", weights, "fast|accurate|FILE", help="as in annotate")
    _add(group, "detector", detector, "SPEC", help="as in annotate")
    _add_workers_and_device(parser.add_argument_group("this machine"))
    add = parser.add_argument_group("cluster").add_argument
    add(
        "--on-workers",
        type=positive_int,
        metavar="N",
        help="also report the time on N workers like those of this machine",
    )
    add(
        "--price-per-hour",
        type=positive_float,
        metavar="PRICE",
        help="price of one worker: also report the cost of the run",
    )
    parser.set_defaults(**dataclasses.asdict(AnnotateSettings()))
