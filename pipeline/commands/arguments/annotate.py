"""The options of `annotate`, which passes all others to Beam, and of `probe`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
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
from pipeline.commands.command_parser import CommandParser, nearest
from pipeline.settings import ALLOWED_PROTOCOLS, AnnotateSettings
from schemas.choices import PRECISIONS, STABILIZERS, USES

#: An unknown option this similar to one of ours is mistyped, not one of Beam.
_MISTYPED: Final = 0.85


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
    for add_group in (_input, _output, _quality, _machine, _cluster, _limits):
        add_group(parser)
    parser.set_defaults(**dataclasses.asdict(AnnotateSettings()))
    parser.set_defaults(takes_beam_options=True, check=_check_beam_options)


def _group(parser: CommandParser, title: str, *commands: str) -> argparse._ArgumentGroup:
    return parser.add_argument_group(title, "\n".join(f"  {command}" for command in commands))


def _input(parser: CommandParser) -> None:
    add = _group(
        parser,
        "input",
        "facetracks annotate corpus.csv -o OUT",
        "facetracks annotate s3://BUCKET/videos -o OUT --limit 10",
    ).add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a video, folder, pattern or URL, or a manifest (.csv, .jsonl, .parquet) with the "
        "column uri and, optionally, video_id, start_seconds, stop_seconds and boxes",
    )
    add("--limit", type=positive_int, metavar="N", help="only the first N videos")
    add(
        "--stream",
        type=count,
        metavar="N",
        help="index of the video stream to annotate, as FFmpeg counts (stream_index in the videos "
        "table); default: the stream that a player would show",
    )
    add(
        "--allow-protocols",
        type=words,
        metavar="NAME,...",
        help="protocols that inputs may use; `chain` allows chained URLs (default: "
        f"{','.join(ALLOWED_PROTOCOLS)})",
    )


def _output(parser: CommandParser) -> None:
    add = _group(
        parser,
        "output",
        "facetracks annotate FOLDER -o OUT --overwrite",
        "facetracks annotate FOLDER -o OUT --retry decoder_hung,time_limit",
    ).add_argument
    add(
        "-o",
        "--output",
        required=True,
        metavar="OUTPUT",
        help="folder or URL for tracks/, videos/ and run.json",
    )
    add("--overwrite", action="store_true", help="also annotate finished inputs again")
    add(
        "--retry",
        type=reasons,
        metavar="REASON,...",
        help="annotate the inputs with these reasons again; keep the others",
    )
    add(
        "--no-raw",
        dest="raw",
        action="store_false",
        help="leave x_raw and y_raw out of the tracks, which halves their size; `derive` and "
        "`evaluate` need them",
    )
    add(
        "--full-precision",
        action="store_true",
        help="do not round coordinates to 1/64 px; doubles the size of the tracks",
    )
    add(
        "--compact",
        action="store_true",
        help="after the run, merge the files of many videos into few, as `facetracks compact` does",
    )
    add(
        "--timings", action="store_true", help="print the speed of each stage and of a plain decode"
    )


def _quality(parser: CommandParser) -> None:
    add = _group(
        parser,
        "quality",
        "facetracks annotate FOLDER -o OUT --weights accurate",
        "facetracks annotate FOLDER -o OUT --detector yunet:FILE.onnx --stabilizer sta",
    ).add_argument
    add(
        "--weights",
        type=weights,
        metavar="fast|accurate|FILE",
        help="landmark weights: shipped ones by name, a weights file, or an external network "
        "(.onnx) with its card (.json) beside it (default: fast)",
    )
    add(
        "--detector",
        type=detector,
        metavar="SPEC",
        help="face detector: default, yunet:ONNX_FILE, or a weights file",
    )
    add(
        "--stabilizer",
        type=stabilizer,
        metavar="|".join([*STABILIZERS, "FILE"]),
        help="filter for x and y, or FILE with weights from `train stabilizer`; x_raw and y_raw "
        "are not filtered",
    )
    add(
        "--fps",
        type=frame_rate,
        metavar="N",
        help="rows for N frames per second only (5, 0.2, 30000/1001): the first frame of each 1/N "
        "s, with the values that it has in a full run; with `--stabilizer none` the other frames "
        "are not aligned",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="number format of the landmark network: bfloat16 is for GPUs; int8 takes half the "
        "time on a CPU and moves landmarks by 0.2 percent of the interocular distance; `evaluate "
        "landmarks --precision` measures the loss of accuracy",
    )
    add(
        "--require-licence",
        choices=USES,
        help="refuse weights whose cards do not allow this use; the shipped weights are for "
        "research only",
    )


def _machine(parser: CommandParser) -> None:
    add = _group(
        parser,
        "this machine",
        "facetracks annotate FOLDER -o OUT --workers 4",
        "facetracks annotate FOLDER -o OUT --device cuda --precision bfloat16 --compile",
    ).add_argument
    _add_workers_and_device(add)
    add(
        "--batch-windows",
        type=positive_int,
        metavar="N",
        help="frame windows per call of the landmark network (default: depends on the device and "
        "the crop size; for crops of 64 px, 32 on a CPU and 256 on a GPU)",
    )
    add(
        "--compile",
        action="store_true",
        help="compile the landmark network first; takes a minute in every worker and needs a C++ "
        "compiler",
    )


def _cluster(parser: CommandParser) -> None:
    add = _group(
        parser,
        "cluster",
        "facetracks annotate INPUT -o OUT --runner=FlinkRunner --job_endpoint=HOST:8099 ...",
        "facetracks annotate INPUT -o OUT --runner=DataflowRunner --separate-decode ...",
    ).add_argument
    add(
        "--separate-decode",
        action="store_true",
        help="decode and align on different workers, with a shuffle of the crops in between",
    )
    add(
        "--align-accelerator",
        metavar="SPEC",
        help="accelerator of the workers that align, such as "
        "type:nvidia-l4;count:1;install-nvidia-driver; for runners that read resource hints",
    )
    add(
        "--align-ram",
        metavar="SIZE",
        help="minimum memory of the workers that align, such as 16GB; for runners that read "
        "resource hints",
    )


def _limits(parser: CommandParser) -> None:
    add = _group(
        parser,
        "limits",
        "facetracks annotate FOLDER -o OUT --max-memory-mb 2048 --stall-seconds 20",
        "facetracks annotate FOLDER -o OUT --segment-seconds 60",
    ).add_argument
    add(
        "--segment-seconds",
        type=positive_float,
        metavar="S",
        help="minimum length of the segments into which videos are cut; the tracks do not depend "
        "on it",
    )
    add(
        "--stall-seconds",
        type=positive_float,
        metavar="S",
        help="kill a decoding process that makes no progress for this many seconds",
    )
    add(
        "--max-slowness",
        type=positive_float,
        metavar="S",
        help="maximum seconds of decoding per second of video",
    )
    add("--max-memory-mb", type=positive_int, metavar="MB", help="maximum memory of a decoder")
    add("--max-pixels", type=positive_int, metavar="N", help="maximum pixels of a frame")


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


def _add_workers_and_device(add: Callable[..., argparse.Action]) -> None:
    add(
        "--workers",
        type=positive_int,
        metavar="N",
        help="parallel workers (default: %(default)s, the cores up to 8)",
    )
    add(
        "--device", type=device, metavar="auto|cpu|cuda[:i]", help="where the landmark network runs"
    )


def add_probe(parser: CommandParser) -> None:
    """report what the inputs are, and estimate the time and cost of annotate

    Reads the headers of all inputs and decodes a short sample of each (4 %, at most 2 s). Prints
    what they are, and the estimated time of annotate at the speed that this machine has now.

    examples:
        facetracks probe FOLDER
        facetracks probe corpus.csv --on-workers 40 --price-per-hour 0.05 --to probe.parquet
    """
    add = parser.add_argument_group("input").add_argument
    add("inputs", nargs="+", metavar="INPUT", help="as in annotate")
    add("--limit", type=positive_int, metavar="N", help="only the first N videos")
    add("--stream", type=count, metavar="N", help="as in annotate")
    add("--allow-protocols", type=words, metavar="NAME,...", help="as in annotate")
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
    add = parser.add_argument_group("quality").add_argument
    add("--weights", type=weights, metavar="fast|accurate|FILE", help="as in annotate")
    add("--detector", type=detector, metavar="SPEC", help="as in annotate")
    _add_workers_and_device(parser.add_argument_group("this machine").add_argument)
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
