"""Our landmark networks through onnxruntime against torch's fast form, on one CPU thread.

    python -m tests.benchmarks.onnx_speed            # needs onnx, onnxruntime and onnxscript

Both run the same crops in turn, so that what else the machine does falls on both; the ratio is
that of the medians, and its range that of the single pairs' middle half.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from models.landmarks.networks.construction import build_network
from models.landmarks.networks.fast_inference import fast_form
from models.landmarks.networks.landmark_network import LandmarkNetwork


def _exported(network: LandmarkNetwork, path: Path) -> onnxruntime.InferenceSession:
    size = network.crop_size_px
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 3, size, size),),
        path,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


@torch.inference_mode()
def measure(name: str, windows: int, pairs: int) -> str:
    """A line: windows/s of CPU time of both, and the ratio."""
    torch.manual_seed(0)
    network = build_network(name)
    for norm in network.modules():  # as after training: not those of a fresh network
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    size = network.crop_size_px
    with TemporaryDirectory() as folder:
        session = _exported(network, Path(folder) / "network.onnx")
    form = fast_form(network)
    pixels = torch.randn(windows, size, size, 3).permute(0, 3, 1, 2)  # channels last in memory

    def by_torch(x: Tensor = pixels) -> Tensor:
        shared = x if form.read_crops is None else form.read_crops(x)
        found: Tensor = form.read_windows(shared[:, None])
        return found

    def by_onnxruntime(x: Tensor = pixels) -> np.ndarray:
        found: np.ndarray = session.run(
            None, {session.get_inputs()[0].name: x.contiguous().numpy()}
        )[0]
        return found

    apart = np.abs(by_torch().numpy() - by_onnxruntime()).max()
    rounds = [(_seconds(by_torch), _seconds(by_onnxruntime)) for _ in range(pairs)]
    torch_s, onnx_s = (statistics.median(side) for side in zip(*rounds, strict=True))
    low, _, high = statistics.quantiles([a / b for a, b in rounds], n=4)
    return (
        f"{name:10} batch {windows:3}  torch {windows / torch_s:7.1f}  onnxruntime "
        f"{windows / onnx_s:7.1f} windows/s  ratio {torch_s / onnx_s:.2f} ({low:.2f} to "
        f"{high:.2f})  largest difference {apart:.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["2d", "unet", "hourglass"])
    parser.add_argument("--pairs", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.networks:
        windows = max(1, 32 * 64**2 // build_network(name).crop_size_px ** 2)  # as in LandmarkModel
        for batch in (windows, 4 * windows):
            print(measure(name, batch, args.pairs), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
