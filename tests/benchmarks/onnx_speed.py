"""The shipped networks in onnxruntime, as `annotate` runs them, and in torch, on one CPU thread.

    python -m tests.benchmarks.onnx_speed

Both process the same pixels alternately, so that other load of the machine affects both. Times
are CPU times. The ratio is that of the medians; its range is the interquartile range of the pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from models.detection.detector_graph import detector_graph
from models.detection.face_detector import DEFAULT_WEIGHTS_PATH, image_planes
from models.detection.network import DetectorNetwork
from models.detection.weights_file import read_detector_weights
from models.landmarks.model import NAMED_WEIGHTS, load_landmark_model
from models.landmarks.torch_model import TorchLandmarkModel, read_landmark_weights
from models.onnx_session import open_session

Call = Callable[[], np.ndarray]


def _seconds(call: Call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _compared(what: str, by_torch: Call, by_onnxruntime: Call, count: int, pairs: int) -> str:
    apart = np.abs(by_torch() - by_onnxruntime()).max()
    rounds = [(_seconds(by_torch), _seconds(by_onnxruntime)) for _ in range(pairs)]
    torch_s, onnx_s = (statistics.median(side) / count for side in zip(*rounds, strict=True))
    low, _, high = statistics.quantiles([a / b for a, b in rounds], n=4)
    return (
        f"{what:28} torch {1e3 * torch_s:6.2f} ms  onnxruntime {1e3 * onnx_s:6.2f} ms  ratio "
        f"{torch_s / onnx_s:.2f} ({low:.2f} to {high:.2f})  largest difference {apart:.1e}"
    )


def landmark_lines(name: str, pairs: int) -> Iterator[str]:
    """A line per number of windows in a call, in milliseconds per window."""
    ours = load_landmark_model(name, threads=1)
    tensors, card = read_landmark_weights(NAMED_WEIGHTS[name])
    network = card.build_network()
    network.load_state_dict({n: t.float() for n, t in tensors.items()}, strict=False)
    size = card.crop_size_px
    for count in (1, 8, 16, 32):
        crops = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
        windows = np.repeat(np.arange(count)[:, None], card.window_frames, axis=1)
        theirs = TorchLandmarkModel(network, card, batch_windows=count)
        ours.batch_windows = count

        def predict(model=ours, crops=crops, windows=windows) -> np.ndarray:
            return model.predict(crops, windows)

        def by_torch(model=theirs, crops=crops, windows=windows) -> np.ndarray:
            return model.predict(crops, windows)

        yield _compared(f"{name}, {count} windows", by_torch, predict, count, pairs)


def detector_lines(pairs: int) -> Iterator[str]:
    """A line per image size, in milliseconds per image."""
    tensors, config, _ = read_detector_weights(DEFAULT_WEIGHTS_PATH)
    network = DetectorNetwork(config).eval()
    network.load_state_dict(
        {name: torch.from_numpy(tensor).float() for name, tensor in tensors.items()}, strict=False
    )
    folded = fuse(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = open_session(detector_graph(tensors, config), arena=True)
    most = max(config.strides_px)
    for height, width in ((384, 640), (256, 256)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

        def by_torch(image=image) -> np.ndarray:
            with torch.inference_mode():
                levels = folded(torch.from_numpy(image)[None].permute(0, 3, 1, 2).float())
            return levels[0].numpy()

        def by_onnxruntime(image=image) -> np.ndarray:
            return session.run(None, {"image": image_planes(image, most)})[0]

        yield _compared(f"detector, {width}x{height}", by_torch, by_onnxruntime, 1, pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for line in detector_lines(args.pairs):
        print(line, flush=True)  # noqa: T201
    for name in ("fast", "accurate"):
        for line in landmark_lines(name, args.pairs):
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
