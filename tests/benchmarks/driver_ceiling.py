"""What the driver alone can do: no decoding, no network, only what is around them.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.driver_ceiling FOLDER --workers 1,2,16

A first run decodes the videos and records what the decoding children answer; in the runs that are
measured children only send that again (`recorded_child`), and the network answers at once: a mean
face with some noise. What remains is the process that a GPU waits for: it plans, unpacks crops,
gathers batches, maps landmarks to the image, joins, filters and writes. Each number of workers
runs over one copy of the videos and over several; figures are of what the further copies add, so
start and models do not count. Prints frames a second by the clock; ms of CPU a frame of this
process, what the system takes of it, and what the stages count; and how many frames a second one
core makes at that.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import pipeline.annotate
from models.landmarks.card import LandmarkCard, read_arrays
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.mean_face import MEAN_FACE
from models.landmarks.model import DEFAULT_WEIGHTS
from pipeline.annotate import annotate
from pipeline.annotate_videos import stage_settings
from pipeline.graph import GraphSettings
from pipeline.settings import AnnotateSettings
from transforms.align_faces import AlignSettings

_BATCH_WINDOWS: Final = 64  # as on a GPU
_STAGES: Final = ("align", "stabilize", "write")


class ConstantModel(LandmarkModel):
    """The mean face, in the middle of every crop, with noise of 0.3 px."""

    def __init__(self, card: LandmarkCard) -> None:
        super().__init__(
            card,
            device="cpu",
            weights_sha256="",
            batch_windows=_BATCH_WINDOWS,
            frames_seen=1,
            makes_heatmaps=False,
        )
        size, flat = card.crop_size_px, MEAN_FACE[:, :2]
        self._face = np.ones((68, 3))
        self._face[:, :2] = size / 2 + 0.2 * size * (flat - flat.mean(0))
        self._random = np.random.default_rng(0)

    def read_by(self, codec: str) -> LandmarkModel:
        return self

    def _predict(
        self, crops: npt.NDArray[np.uint8], windows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        noise = self._random.standard_normal((len(windows), 68, 3), np.float32)
        return (self._face + noise * (0.3, 0.3, 0.0)).astype(np.float32)


class ConstantAlign(AlignSettings):
    """AlignFaces with the constant model."""

    def load_model(self) -> LandmarkModel:
        return ConstantModel(read_arrays(DEFAULT_WEIGHTS)[1])


def _replaying(*settings: Any) -> GraphSettings:
    """As `stage_settings`, without decoding and without a network."""
    stages = stage_settings(*settings)
    child = dataclasses.replace(stages.child, module="tests.benchmarks.recorded_child")
    return dataclasses.replace(stages, child=child, align=ConstantAlign(None))


@dataclasses.dataclass(frozen=True)
class _Used:
    """What a run took: frames, rows, and seconds."""

    frames: int
    rows: int
    wall: float
    cpu: float
    system: float
    align: float
    stabilize: float
    write: float

    def without(self, other: _Used) -> _Used:
        names = [field.name for field in dataclasses.fields(self)]
        return _Used(*(getattr(self, name) - getattr(other, name) for name in names))


def _run(videos: list[Path], copies: int, workers: int) -> _Used:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "videos.jsonl"
        rows = [
            json.dumps({"uri": str(path.absolute()), "video_id": f"{n}-{path.name}"})
            for n in range(copies)
            for path in videos
        ]
        manifest.write_text("\n".join(rows))
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        summary = annotate(
            manifest, Path(folder) / "out", AnnotateSettings(device="cpu", workers=workers)
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    stages = [summary.cpu_seconds.get(stage, 0.0) for stage in _STAGES]
    return _Used(summary.frames, summary.face_frames, wall, user + system, system, *stages)


def main() -> None:
    """Prints a line for each number of workers."""
    parser = argparse.ArgumentParser(prog="driver_ceiling", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--copies", type=int, default=5)
    args = parser.parse_args()
    videos = sorted(path for path in args.folder.iterdir() if path.is_file())
    pipeline.annotate.stage_settings = _replaying  # type: ignore[assignment,attr-defined]
    out = sys.stdout
    with tempfile.TemporaryDirectory() as recorded:
        os.environ["FACETRACKS_RECORDED"] = recorded
        _run(videos, 1, 2)
        out.write("workers  rows a frame  frames/s | ms of CPU a frame: all")
        out.write(f"  system  {'  '.join(_STAGES)}  rest | frames/s of one core\n")
        for workers in map(int, args.workers.split(",")):
            one = _run(videos, 1, workers)
            used = _run(videos, 1 + args.copies, workers).without(one)
            stages = [getattr(used, stage) for stage in _STAGES]
            times = [used.cpu, used.system, *stages, used.cpu - sum(stages)]
            told = " ".join(f"{1000 * seconds / used.frames:7.3f}" for seconds in times)
            out.write(
                f"{workers:>7} {used.rows / used.frames:13.2f} {used.frames / used.wall:9.0f} | "
                f"{told} | {used.frames / used.cpu:9.0f}\n"
            )
            out.flush()


if __name__ == "__main__":
    from tests.benchmarks import driver_ceiling

    driver_ceiling.main()  # by its name: workers look ConstantAlign up in this module
