"""Comparison of the tables of two engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from output_tables import leftovers
from track_tables import assert_same_tracks

from schemas.videos import VIDEO_SCHEMA

__all__ = ["OPTIONS", "assert_same_tables", "counters"]

#: Short segments, so that every video has several; the same for every engine.
OPTIONS: Final = ("--segment-seconds", 1, "--batch-windows", 32, "--device", "cpu")


def assert_same_tables(reference: Path, output: Path) -> None:
    """Asserts equal ids, frames, flags and status rows, coordinates within 0.01 px, no leftovers.

    The metadata may differ only in the runner; the seconds of work are not compared.
    """
    for folder in ("tracks", "videos"):
        names = [sorted(p.name for p in (o / folder).iterdir()) for o in (reference, output)]
        assert names[0] == names[1]
    for file in sorted((reference / "tracks").iterdir()):
        tables = [pq.read_table(o / "tracks" / file.name) for o in (reference, output)]
        assert_same_tracks(*tables)
        notes = [json.loads(table.schema.metadata[b"facetracks"]) for table in tables]
        assert {**notes[0], "runner": ""} == {**notes[1], "runner": ""}
    exact = [name for name in VIDEO_SCHEMA.names if not name.endswith("_seconds")]
    exact.append("duration_seconds")
    rows = [
        pq.read_table(o / "videos").select(exact).sort_by("video_id").to_pylist()
        for o in (reference, output)
    ]
    assert rows[0] == rows[1]
    assert leftovers(output) == []


def counters(output: Path) -> dict[str, Any]:
    """The counters in run.json of the last run."""
    return dict(json.loads((output / "run.json").read_bytes())["counters"])
