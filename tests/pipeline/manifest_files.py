"""Manifests in the three formats, and a folder of videos and other files."""

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

__all__ = ["mixed_folder", "write_manifest"]


def write_manifest(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
        if path.suffix == ".csv":
            pa.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
    return str(path)


def mixed_folder(path):
    """The path, with empty files below it: videos, hidden ones, others."""
    for name in ("b.mp4", "a.mkv", "deep/c.mp4", "notes.txt", ".hidden.mp4", ".git/d.mp4", "s.wav"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).touch()
    return path
