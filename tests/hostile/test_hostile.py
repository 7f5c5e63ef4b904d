"""The whole hostile corpus through `annotate`, in one run, and every input accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.frame_pixels import FramePixels
from pipeline.annotate import EXIT_INCOMPLETE
from schemas.errors import VideoError
from schemas.records import Segment, Video
from schemas.videos import REASONS
from tests.hostile.corpus import HostileCase, markdown_table, write_corpus
from transforms.storage import file_stem
from transforms.video_source import FrameStream, open_video, plan_segments

ROOT = Path(__file__).parents[2]
#: Seams everywhere: clips of two seconds become three segments.
SEGMENT_SECONDS = 0.5
COLOUR_TOLERANCE = 6  # of 255: what 4:2:0, 8 bits and a lossy encoder leave


@dataclass(frozen=True)
class Run:
    """A finished run over the corpus."""

    folder: Path
    output: Path
    status: int
    text: str
    rows: list[dict[str, Any]]

    def row(self, case: HostileCase) -> dict[str, Any]:
        uri = _readable(str(case.path(self.folder)))
        (row,) = [r for r in self.rows if r["uri"] == uri and _is_id(case, r["video_id"])]
        return row


def _is_id(case: HostileCase, video_id: str) -> bool:
    return case.video_id is None or case.video_id == video_id


def _readable(path: str) -> str:
    """A path as a table can hold it: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> tuple[Path, list[HostileCase]]:
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    return folder, write_corpus(folder)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory) -> Run:
    folder, _ = corpus
    output = tmp_path_factory.mktemp("annotated") / "deep" / "down" / "out"
    command = [sys.executable, "-m", "pipeline.cli", "annotate"]
    command += [str(folder / "found"), str(folder / "listed.jsonl"), "--output", str(output)]
    command += ["--workers", "2", "--segment-seconds", str(SEGMENT_SECONDS)]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=600)
    text = (done.stdout + done.stderr).decode(errors="replace")
    files = sorted((output / "videos").glob("*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return Run(folder, output, done.returncode, text, rows)


def case_names() -> Iterator[Any]:
    """The names of all cases, known before the files are."""
    return iter(pytest.param(name, id=name) for name in _NAMES)
