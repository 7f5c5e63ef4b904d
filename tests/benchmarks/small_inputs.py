"""CPU time per input of minimal work: clips of one second, and missing files.

    python -m tests.benchmarks.small_inputs --clips 200 --missing 3000 --checkouts OTHER

Runs `annotate` with one worker in a process of its own on: one missing file, N missing files, one
clip of 96 x 96 px (25 frames), N clips, every other with a face, and one clip of 5 s. Prints ms of
CPU per input: total, work of the stages on frames (`cpu_seconds` of run.json), the rest, and the
share of the children. For N inputs, the cost of one input, which is the start, is subtracted. Runs
of the checkouts are interleaved, so that other load of the machine affects all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from models.synthesis.face_animation import FaceAnimation
from models.synthesis.face_motion import pose_at
from tests.clips import write_clip

_SIZE_PX: Final = 96
_RATE: Final = 25
#: Stages whose work grows with the frames; writing counts per input.
_OF_FRAMES: Final = ("decode", "detect", "crop", "align", "stabilize")
_RUN: Final = """
import json, os, resource, sys
os.cpu_count = lambda: 1  # CPU time of further network threads would not be in cpu_seconds
from pipeline.annotate import annotate
from pipeline.settings import AnnotateSettings
summary = annotate(sys.argv[1], sys.argv[2], AnnotateSettings(device="cpu", workers=1))
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
driver, children = [one.ru_utime + one.ru_stime for one in used]
print(json.dumps({**summary.cpu_seconds, "driver": driver, "children": children}))
"""


def main() -> None:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(prog="small_inputs", description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--missing", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--checkouts", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [write_clip(folder / f"{n}.mp4", _pictures(25, face=n == 0)) for n in range(2)]
        long = write_clip(folder / "long.mp4", _pictures(125, face=True))
        inputs = {
            "one-missing": [str(folder / "missing.mp4")],
            "missing": [str(folder / f"missing-{n}.mp4") for n in range(args.missing)],
            "one-clip": [str(clips[0])],
            "clips": [str(clips[n % 2]) for n in range(args.clips)],
            "5-s-clip": [str(long)],
        }
        for name, uris in inputs.items():
            rows = [json.dumps({"uri": uri, "video_id": f"v{n:06d}"}) for n, uri in enumerate(uris)]
            (folder / f"{name}.jsonl").write_text("\n".join(rows))
        sys.stdout.write("checkout, input, inputs: all, frames, rest, children (ms of CPU)\n")
        for turn in range(args.turns):
            for checkout in (Path.cwd(), *args.checkouts):
                one: Mapping[str, float] = {}
                for name, uris in inputs.items():
                    output = folder / f"{turn}-{checkout.name}-{name}"
                    used = _used(checkout, folder / f"{name}.jsonl", output)
                    figures = _figures(used, one if len(uris) > 1 else {}, len(uris))
                    told = ", ".join(f"{figure:.2f}" for figure in figures)
                    sys.stdout.write(f"{checkout.name}, {name}, {len(uris)}: {told}\n")
                    sys.stdout.flush()
                    one = used


def _pictures(frames: int, *, face: bool) -> Iterator[np.ndarray]:
    """(96, 96, 3) uint8 RGB: an animated face, or moving noise."""
    animation = FaceAnimation(load_astronaut(), ASTRONAUT_LANDMARKS_PX)
    noise = np.random.default_rng(0).integers(0, 256, (_SIZE_PX, 2 * _SIZE_PX, 3), np.uint8)
    for n in range(frames):
        if face:
            yield animation.render(pose_at(n / _RATE), _SIZE_PX)
        else:
            yield noise[:, n % _SIZE_PX :][:, :_SIZE_PX]


def _used(checkout: Path, manifest: Path, output: Path) -> dict[str, float]:
    """CPU seconds of a run over a manifest: by stage, of the driver and of its children."""
    run = subprocess.run(
        [sys.executable, "-c", _RUN, str(manifest), str(output)],
        cwd=checkout,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    used: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return used


def _figures(used: Mapping[str, float], one: Mapping[str, float], inputs: int) -> list[float]:
    """ms of CPU per input, without those of `one`: total, on frames, the rest, the children's."""
    more = {name: seconds - one.get(name, 0) for name, seconds in used.items()}
    total = more["driver"] + more["children"]
    frames = sum(more.get(stage, 0) for stage in _OF_FRAMES)
    count = inputs - 1 if one else 1
    return [1000 * s / count for s in (total, frames, total - frames, more["children"])]


if __name__ == "__main__":
    main()
