"""Comparison of two outputs: the tables row by row, and leftover files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from track_tables import assert_same_tracks

from schemas.videos import VIDEO_SCHEMA

__all__ = ["assert_same_output", "leftovers"]

_WORK_SECONDS = tuple(
    f"{work}_seconds"
    for work in ("elapsed", "decode", "detect", "crop", "align", "stabilize", "write")
)
_EXPECTED_FILES = ("tracks/", "videos/", "run.json")


def assert_same_output(reference: Path, output: Path) -> None:
    """Equal ids, frames, flags and status rows; coordinates within 0.01 px.

    The seconds of work differ between runs and are not compared.
    """
    for folder in ("tracks", "videos"):
        names = [sorted(p.name for p in (o / folder).iterdir()) for o in (reference, output)]
        assert names[0] == names[1]
    for name in sorted(p.name for p in (reference / "tracks").iterdir()):
        tables = [pq.read_table(o / "tracks" / name) for o in (reference, output)]
        assert_same_tracks(*tables)
        assert tables[0].schema.metadata == tables[1].schema.metadata
    exact = [name for name in VIDEO_SCHEMA.names if name not in _WORK_SECONDS]
    rows = [
        pq.read_table(o / "videos").select(exact).sort_by("video_id").to_pylist()
        for o in (reference, output)
    ]
    assert rows[0] == rows[1]


def leftovers(output: Path) -> list[str]:
    """The files of an output that are not its tables."""
    names = (str(p.relative_to(output)) for p in output.rglob("*") if not p.is_dir())
    files = [n for n in names if not n.startswith(_EXPECTED_FILES) or "/." in n]
    return sorted([*files, *(str(p) for p in output.glob(".*") if p.is_dir())])
