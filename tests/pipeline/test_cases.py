"""The small inputs that real places had shown to come out wrong, with what is true of each."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.landmarks import FLIP_PERMUTATION, OUTER_EYE_CORNERS

pytestmark = pytest.mark.realdata

ROOT = Path(__file__).parents[2]
WIDTH_PX, HEIGHT_PX = 480, 320


class Run:
    """The output of one run over all cases."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._tables = cache(lambda name: pq.ParquetFile(self._path("tracks", name)).read())

    def row(self, name: str) -> dict[str, Any]:
        return pq.ParquetFile(self._path("videos", name)).read().to_pylist()[0]

    def tracks(self, name: str) -> pa.Table:
        return self._tables(name)

    def points(self, name: str, columns: str = "xy", suffix: str = "_raw") -> np.ndarray:
        """(rows, 68, 2) px, sorted by face and frame."""
        table = self.tracks(name)
        return np.stack([np.stack(table[c + suffix].to_numpy()) for c in columns], axis=-1)

    def _path(self, kind: str, name: str) -> Path:
        return self._output / kind / f"{name}.parquet"


@pytest.fixture(scope="module")
def run(shared_data, tmp_path_factory) -> Run:
    output = tmp_path_factory.mktemp("cases") / "out"
    command = [sys.executable, "-m", "pipeline.cli", "annotate", str(shared_data / "cases")]
    command += ["--output", str(output), "--workers", "1", "--device", "cpu"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    subprocess.run(
        command, cwd=ROOT, env=environment, check=False, timeout=600, stdout=subprocess.DEVNULL
    )
    return Run(output)


def eye_distance(points: np.ndarray) -> float:
    right, left = OUTER_EYE_CORNERS
    return float(np.linalg.norm(points[:, right] - points[:, left], axis=-1).mean())


def test_mirrored_frames_have_the_landmarks_of_what_a_player_shows(run):
    """The same pixels, shown mirrored: the same face, mirrored, to what the network can tell."""
    plain, mirrored = run.points("face.mp4"), run.points("m_hflip.mp4")
    assert len(plain) == len(mirrored) == 50
    expected = plain[:, FLIP_PERMUTATION] * [-1, 1] + [WIDTH_PX - 1, 0]
    apart = np.linalg.norm(mirrored - expected, axis=-1).mean()
    assert apart < 0.04 * eye_distance(plain)
    row = run.row("m_hflip.mp4")
    assert (row["rotation_deg"], row["mirrored"]) == (0, True)
    assert (run.row("face.mp4")["rotation_deg"], run.row("face.mp4")["mirrored"]) == (0, False)


def test_frames_turned_upside_down_by_a_mirroring(run):
    """A face on its head: on the face that a player shows, or no row."""
    row = run.row("m_vflip.mp4")
    assert (row["rotation_deg"], row["mirrored"]) == (180, True)
    if row["face_frames"]:
        plain, turned = run.points("face.mp4"), run.points("m_vflip.mp4")
        centre = plain.mean((0, 1)) * [1, -1] + [0, HEIGHT_PX - 1]
        assert np.abs(turned.mean((0, 1)) - centre).max() < 0.5 * eye_distance(plain)
