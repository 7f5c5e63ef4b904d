"""GPU benchmark: networks relative to the roofline, equality with the CPU, end-to-end runs.

    python -m tests.benchmarks.gpu --video ../shared/data/videos --workers 1,4,8
    python -m tests.benchmarks.gpu --device cpu --windows 4 --seconds 0.1 --networks unet

Needs the extras `torch` and `demo`. Prints three tables. The roofline is the measured rate of a
product of large matrices with the same dtype on this device; a network's share is the rate of its
multiply-accumulates divided by the roofline. Landmarks of a photograph's crops on the device are
compared with those of the CPU in float32. If they differ by more than 0.01 px in float32 or 0.5 px
in bfloat16, the exit status is 1. A run is `annotate` with the given number of workers, which
share the device; `busy` is the mean utilization reported by nvidia-smi.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models.crops import sample_plane, square_affine
from models.devices import resolve_device
from models.face_box import DETECTOR_NOISE, box_from_landmarks, jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.model import load_landmark_model
from models.landmarks.networks.construction import build_network
from models.landmarks.networks.fast_inference import compile_form, fast_form, in_bfloat16
from models.landmarks.networks.speed import measure_network
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX, load_astronaut
from pipeline.annotate import annotate
from pipeline.settings import AnnotateSettings
from schemas.choices import NETWORK_NAMES
from schemas.errors import UsageError

_FORMS: Final = (
    ("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True),
)  # fmt: skip
_TOLERANCE_PX: Final = {"float32": 0.01, "bfloat16": 0.5}
_FRAMES: Final = 3
_POLL_SECONDS: Final = 0.5


def network_rows(
    names: list[str], device: torch.device, windows: int, seconds: float, *, compiled: bool
) -> Iterator[str]:
    """A line per network and form: windows per second, share of the roofline."""
    roofline = {kind: peak_macs(device, getattr(torch, kind), seconds) for kind in _TOLERANCE_PX}
    for kind, macs in roofline.items():
        yield f"roofline {kind:<10} {macs / 1e12:8.3f} 10^12 multiplications and additions a second"
    for name in names:
        gmac = measure_network(name, device=str(device), windows=1, seconds=0).gmac
        for kind, is_compiled in _FORMS:
            if is_compiled and not compiled:
                continue
            rate = windows / best_seconds(_call(name, device, windows, kind, is_compiled), seconds)
            share = 1e9 * gmac * rate / roofline[kind]
            word = "compiled" if is_compiled else ""
            yield f"{name:<16} {kind:<9} {word:<9} {rate:10.0f} windows/s {share:7.1%}"


def peak_macs(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Multiply-accumulates per second of a product of large matrices."""
    side = 8192 if device.type == "cuda" else 512
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return side**3 / best_seconds(_synchronous(lambda: one @ other, device), seconds)


def best_seconds(call: Callable[[], object], seconds: float) -> float:
    """The best of at least three repetitions in `seconds`, after a warm-up."""
    call()
    best, repeats, start = float("inf"), 0, time.perf_counter()
    while repeats < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        call()
        best, repeats = min(best, time.perf_counter() - begin), repeats + 1
    return best


def _synchronous(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def _call(
    name: str, device: torch.device, windows: int, kind: str, compiled: bool
) -> Callable[[], None]:
    network = build_network(name).eval().requires_grad_(False)
    form = fast_form(network).to(device)
    if kind == "bfloat16":
        in_bfloat16(form)
    if compiled:
        compile_form(form)
    size = network.crop_size_px
    crops = torch.randn(windows + _FRAMES - 1, size, size, 3, device=device)
    crops = crops.permute(0, 3, 1, 2).to(getattr(torch, kind))  # channels last in memory
    index = torch.arange(windows)[:, None] + torch.arange(_FRAMES)
    index = index[:, -form.frames_seen :].to(device)

    def run() -> object:
        shared = crops if form.read_crops is None else form.read_crops(crops)
        return form.read_windows(shared[index])

    return _synchronous(run, device)


def equality_rows(device: torch.device, windows: int) -> Iterator[tuple[str, bool]]:
    """A line per weights and dtype, and whether the difference is within the tolerance."""
    index = np.arange(windows)[:, None] + np.arange(_FRAMES)
    for weights in ("fast", "accurate"):
        reference = load_landmark_model(weights, "cpu")
        crops = _face_crops(windows + _FRAMES - 1, reference.card)
        expected, _ = reference.predict_with_spread(crops, index)
        for kind, tolerance in _TOLERANCE_PX.items():
            model = load_landmark_model(weights, str(device), precision=kind)
            found, _ = model.predict_with_spread(crops, index)
            worst = float(np.abs(found - expected).max())
            holds = worst <= tolerance
            yield (
                f"{weights:<9} {kind:<9} off by {worst:.4f} px at most, {tolerance} allowed",
                holds,
            )


def _face_crops(count: int, card: LandmarkCard) -> npt.NDArray[np.uint8]:
    """(count, S, S, 3): one photograph's face in jittered and rotated boxes."""
    rng = np.random.default_rng(0)
    photograph, size_px = load_astronaut(), card.crop_size_px
    box = box_from_landmarks(ASTRONAUT_LANDMARKS_PX.astype(np.float32))
    crops = []
    for _ in range(count):
        affine = square_affine(
            jitter_box(box, rng, DETECTOR_NOISE.widened(2.0)),
            scale=card.crop_scale,
            size_px=size_px,
            angle_deg=rng.normal(0, 15),
        )
        crops.append(sample_plane(photograph, affine, size_px, size_px))
    return np.stack(crops)


def run_rows(video: Path, device: str, workers: list[int], precision: str) -> Iterator[str]:
    """A line per number of workers: frames per second end to end, and GPU utilization."""
    for count in workers:
        settings = AnnotateSettings(device=device, workers=count, precision=precision)
        with tempfile.TemporaryDirectory() as output, _utilisation() as shares:
            done = annotate(video, output, settings)
        busy = f"{np.mean(shares):.0f} % busy" if shares else "no nvidia-smi"
        rate = done.frames / done.wall_seconds
        yield f"{count:>3} workers {rate:8.1f} frames/s {done.wall_seconds:8.1f} s  {busy}"


@contextlib.contextmanager
def _utilisation() -> Iterator[list[float]]:
    """Percent of the time with running kernels, sampled by nvidia-smi during the block."""
    shares: list[float] = []
    ended = threading.Event()
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]

    def poll() -> None:
        while not ended.wait(_POLL_SECONDS):
            told = subprocess.run(query, capture_output=True, text=True, check=False)
            shares.extend(float(line) for line in told.stdout.split()[:1])

    thread = threading.Thread(target=poll, daemon=True)
    if shutil.which(query[0]):
        thread.start()
    try:
        yield shares
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()


def main(argv: list[str] | None = None) -> int:
    """Prints the tables; returns 1 if the device and the CPU disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--networks", default=",".join(NETWORK_NAMES))
    parser.add_argument("--windows", type=int, default=256, help="windows per call of a network")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each measurement")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    parser.add_argument(
        "--video", type=Path, help="video or folder to annotate; without it, no runs"
    )
    parser.add_argument("--workers", default="1,2,4,8", help="numbers of decoding workers")
    parser.add_argument("--precision", default="float32", choices=list(_TOLERANCE_PX))
    args: Any = parser.parse_args(argv)
    try:
        device = resolve_device(args.device)
    except UsageError as error:
        parser.error(f"{error}; --device cpu tries out the benchmark itself")
    torch.backends.cudnn.allow_tf32 = False  # as in prediction
    out = sys.stdout
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    out.write(f"{name}, torch {torch.__version__}\n")
    rows = network_rows(
        args.networks.split(","), device, args.windows, args.seconds, compiled=not args.no_compile
    )
    for row in rows:
        out.write(f"{row}\n")
        out.flush()
    agree = True
    for row, holds in equality_rows(device, min(args.windows, 64)):
        agree &= holds
        out.write(f"{row}{'' if holds else ': TOO FAR'}\n")
    if args.video is not None:
        workers = [int(text) for text in args.workers.split(",")]
        for row in run_rows(args.video, args.device, workers, args.precision):
            out.write(f"{row}\n")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
