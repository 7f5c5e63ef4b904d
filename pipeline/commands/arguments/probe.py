"""The options of `facetracks probe`."""

from __future__ import annotations

import dataclasses

from pipeline.commands.argument_types import (
    count,
    detector,
    device,
    file_name,
    positive_float,
    positive_int,
    weights,
    words,
)
from pipeline.commands.command_parser import Subparsers, examples
from pipeline.settings import AnnotateSettings


def add_parser(subparsers: Subparsers) -> None:
    """Adds `probe` to the commands."""
    parser = subparsers.add_parser(
        "probe",
        help="look before a run: what the inputs are, how long annotate takes, what it costs",
        description="Reads the headers of all inputs and decodes a short sample of each (4 % of "
        "it, at most 2 s), and prints what they are and what annotating them will take. The "
        "speeds are those of this machine, as busy as it is.",
        epilog=examples(
            "facetracks probe FOLDER",
            "facetracks probe corpus.csv --on-workers 40 --price-per-hour 0.05 --to probe.parquet",
        ),
    )
    add = parser.add_argument_group("input").add_argument
    add("inputs", nargs="+", metavar="INPUT", help="as annotate takes them")
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
    add = parser.add_argument_group("this machine").add_argument
    add(
        "--workers",
        type=positive_int,
        metavar="N",
        help="parallel workers (default: %(default)s, the cores up to 8)",
    )
    add(
        "--device", type=device, metavar="auto|cpu|cuda[:i]", help="where the landmark network runs"
    )
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
