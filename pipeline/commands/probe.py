"""`facetracks probe`: what the inputs are, and what annotating them will take."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from pipeline.arrow_tables import write_parquet
from pipeline.commands.command_parser import settings_of
from pipeline.probing.probe import ProbeSummary, probe
from pipeline.settings import AnnotateSettings
from transforms.storage.atomic_files import write_bytes
from transforms.storage.output_tables import OutputFolder

#: Broken inputs that are named; the table has all.
_NAMED = 20


def run(args: argparse.Namespace) -> int:
    """Probes, prints what was found; returns 0."""
    found = probe(args.inputs, settings_of(AnnotateSettings, args), progress=not args.json)
    sums = summary_of(found, args.on_workers or args.workers, args.price_per_hour)
    if args.to is not None:
        write_parquet(str(args.to), found.videos)
    if args.output is not None:
        write_bytes(str(OutputFolder(args.output).probe_record), json.dumps(sums).encode())
    print(json.dumps(sums, indent=2) if args.json else summary_text(sums))
    if args.to is not None and not args.json:
        print(f"table: {args.to}")
    return 0


def summary_of(
    found: ProbeSummary, on_workers: int, price_per_hour: float | None = None
) -> dict[str, Any]:
    """The figures of all inputs together, as JSON holds them."""
    rows = found.videos.drop_columns(["pixel_format", "sampled_faces"]).to_pylist()
    sizes = [f"{row['width']}x{row['height']}" for row in rows if row["width"]]
    frames = sum(row["sampled_frames"] for row in rows)
    sums: dict[str, Any] = {
        "inputs": len(rows),
        "hours": sum(row["duration_seconds"] or 0 for row in rows) / 3600,
        "frames": sum(row["frames"] or 0 for row in rows),
        "bytes": sum(row["size_bytes"] or 0 for row in rows),
        "unknown_length": sum(row["frames"] is None and row["status"] == "sound" for row in rows),
        "codecs": _counts(row["codec"] for row in rows),
        "sizes": _counts(sizes),
        "rotations": _counts(row["rotation_deg"] for row in rows if row["rotation_deg"]),
        "frame_rates": _counts(f"{row['fps']:.4g}" for row in rows if row["fps"]),
        "variable_rate": sum(bool(row["variable_rate"]) for row in rows),
        "repeats_share": sum(row["sampled_repeats"] for row in rows) / max(1, frames),
        "faces_per_frame": found.faces_per_frame,
        "broken": _counts(row["reason"] for row in rows if row["status"] == "broken"),
        "broken_inputs": [
            {name: row[name] for name in ("video_id", "reason", "message")}
            for row in rows
            if row["status"] == "broken"
        ][:_NAMED],
        "sampled_seconds": found.sampled_seconds,
        "probe_seconds": found.probe_seconds,
        "work_seconds": found.work_seconds,
        "workers_here": found.workers,
        "seconds_here": found.seconds_on(found.workers),
        "workers": on_workers,
        "seconds_on_workers": found.seconds_on(on_workers),
    }
    if price_per_hour is not None:
        sums["cost_on_workers"] = found.cost_on(on_workers, price_per_hour)
    return sums


def summary_text(sums: dict[str, Any]) -> str:
    """The figures in words."""
    lines = [f"{one['reason']:<18}{one['message']}" for one in sums["broken_inputs"]]
    broken = sum(sums["broken"].values())
    if broken > len(lines):
        lines.append(f"... and {broken - len(lines)} more")
    lines += [
        f"{sums['inputs']} inputs, {broken} of them broken: {sums['hours']:.2f} hours, "
        f"{sums['frames']} frames, {sums['bytes'] / 1e6:.0f} MB",
        *(
            f"{name}: {_listed(sums[key])}"
            for name, key in (
                ("codecs", "codecs"), ("sizes", "sizes"), ("rotation in degrees", "rotations"),
                ("frames per second", "frame_rates"),
            )
            if sums[key]
        ),
        f"variable rate: {sums['variable_rate']}; repeats: {sums['repeats_share']:.0%} of frames",
        f"faces per frame: {sums['faces_per_frame']:.2f} (sample: {sums['sampled_seconds']:.1f} s)",
    ]  # fmt: skip
    if sums["unknown_length"]:
        lines.append(f"of unknown length, not included: {sums['unknown_length']}")
    lines.append(
        f"estimated work of annotate: {_duration(sums['work_seconds'])}; "
        f"{_duration(sums['seconds_here'])} here with {sums['workers_here']} busy workers, at the "
        "current speed of this machine; the start can double the time of a run of a minute"
    )
    if sums["workers"] != sums["workers_here"] or "cost_on_workers" in sums:
        cost = sums.get("cost_on_workers")
        costs = "" if cost is None else f", which costs {cost:,.2f}"
        seconds = _duration(sums["seconds_on_workers"])
        lines.append(f"on {sums['workers']} workers like these: {seconds}{costs}")
    return "\n".join(lines)


def _counts(values: Any) -> dict[str, int]:
    """How often each value is there, the most frequent first."""
    return dict(Counter(str(value) for value in values if value is not None).most_common())


def _listed(counts: dict[str, int], most: int = 8) -> str:
    parts = [f"{value} ({count})" for value, count in list(counts.items())[:most]]
    more = len(counts) - len(parts)
    return ", ".join([*parts, f"{more} more"] if more > 0 else parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
