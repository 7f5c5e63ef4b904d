"""The U-net run by onnxruntime on a CPU, in float32 or int8; it imports no torch."""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from models.landmarks.card import ACTIVATION_RANGES, LandmarkCard
from models.landmarks.landmark_model import Crops, LandmarkModel, Points, Windows
from models.onnx_builder import GraphBuilder
from models.onnx_int8 import activation_ranges, quantized
from models.onnx_session import open_session
from models.tensor_file import Tensors
from schemas.errors import UsageError, WeightsError

#: Pixels of crops that go through the network together: few enough for a core's caches.
_BATCH_PIXELS: Final = 8 * 128 * 128
_CALIBRATION_BATCH: Final = 8
_HALVINGS: Final = 5


class OnnxLandmarkModel(LandmarkModel):
    """A U-net whose maps are read by soft-argmax.

    Args:
        tensors, card: as `read_arrays` returns them.
        weights_sha256: hex digest of the weights file.
        batch_windows: windows in a call of the network; None: what suits a CPU.
        threads: CPU threads of a call; None: OMP_NUM_THREADS, or all cores.
        int8: compute in 8-bit integers; see `models.onnx_int8`.

    Raises:
        WeightsError: the tensors are those of another network. Names no file.
        UsageError: int8, and the file has no ranges of activations.
    """

    def __init__(
        self,
        tensors: Tensors,
        card: LandmarkCard,
        weights_sha256: str = "",
        *,
        batch_windows: int | None = None,
        threads: int | None = None,
        int8: bool = False,
    ) -> None:
        super().__init__(
            card,
            device="cpu",
            weights_sha256=weights_sha256,
            batch_windows=batch_windows or max(1, _BATCH_PIXELS // card.crop_size_px**2),
            frames_seen=1,
            makes_heatmaps=True,  # the graph decodes them itself
        )
        self._tensors = {n: tensor for n, tensor in tensors.items() if n != ACTIVATION_RANGES}
        if int8 and ACTIVATION_RANGES not in tensors:
            raise UsageError("int8: the weights have no activation ranges; see `train landmarks`")
        size = card.crop_size_px
        try:
            graph, _ = unet_graph(self._tensors, card)
            if int8:
                graph = quantized(graph, tensors[ACTIVATION_RANGES])
            self._session = open_session(graph, threads=threads or _cores(), arena=True)
            self._session.run(None, {"crops": np.zeros((1, size, size, 3), np.uint8)})
        except KeyError as error:
            raise WeightsError(f"tensors of another network: missing {error}") from error
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors have no common base class
            raise WeightsError(str(error) or type(error).__name__) from error

    def read_by(self, codec: str) -> LandmarkModel:
        """See `LandmarkModel`; for any codec but the one it was trained with, by torch."""
        if codec == self.card.codec:
            return self
        import torch

        from models.landmarks.torch_model import TorchLandmarkModel, loaded_network

        tensors = {name: torch.from_numpy(array) for name, array in self._tensors.items()}
        network = loaded_network(self.card, tensors)
        model = TorchLandmarkModel(network, self.card, "cpu", self.weights_sha256)
        return model.read_by(codec)

    def _predict(self, crops: Crops, windows: Windows) -> Points:
        parts = [
            self._session.run(None, {"crops": crops[windows[begin:][: self.batch_windows, -1]]})[0]
            for begin in range(0, len(windows), self.batch_windows)
        ]
        found: Points = np.concatenate(parts)
        return found


def unet_ranges(tensors: Tensors, card: LandmarkCard, crops: Crops) -> npt.NDArray[np.float32]:
    """The ranges of a U-net's activations, which a weights file needs for int8.

    Args:
        tensors: of the network, by the names that `UNet` gives them.
        crops: (N, S, S, 3) RGB of the training set, N at least 1.
    """
    graph, integer_nodes = unet_graph(tensors, card)
    calls = (
        {"crops": crops[i : i + _CALIBRATION_BATCH]}
        for i in range(0, len(crops), _CALIBRATION_BATCH)
    )
    return activation_ranges(graph, calls, integer_nodes)


def unet_graph(tensors: Tensors, card: LandmarkCard) -> tuple[bytes, int]:
    """The network of these tensors as an ONNX model in float32.

    Its output is (B, L, 3) float32: x, y in crop pixels by soft-argmax, and the expected
    distance in crop pixels, as `read_places_and_spreads` reads them.

    Args:
        tensors: of the network, by the names that `UNet` gives them.
        card: of the weights file.

    Returns: the model, and how many of its nodes `quantized` may make integer ones: all before
        the heatmaps.

    Raises:
        KeyError, ValueError: the tensors belong to another network.
    """
    size_px, blocks = card.crop_size_px, card.settings.get("blocks", 1)
    assert isinstance(blocks, int)  # checked by `card_from_metadata`
    graph = GraphBuilder(
        tensors, {"crops": (onnx.TensorProto.UINT8, ("crops", size_px, size_px, 3))}
    )
    x = graph.pixels("crops", card.pixel_mean_rgb, card.pixel_std_rgb)
    x = graph.convolution(x, "stem.0", "stem.1", stride=2, relu=True)
    seen = []
    for size in range(_HALVINGS - 1):
        x = graph.convolution(x, f"down.{size}.0", f"down.{size}.1", stride=2, relu=True)
        for block in range(blocks):
            x = _residual(graph, x, f"down.{size}.{3 + block}")
        seen.append(x)
    for size, skip in enumerate(reversed(seen[:-1])):
        lateral = graph.convolution(x, f"laterals.{size}.0", f"laterals.{size}.1")
        added = graph.apply("Add", graph.enlarged_twice(lateral), skip)
        x = _residual(graph, graph.apply("Relu", added), f"up.{size}")
    count = len(graph.tensor("output.bias")) // 2
    integer_nodes = graph.node_count
    maps = graph.convolution(x, "output")
    return graph.model([_read_maps(graph, maps, count, size_px, card.spread_scale)]), integer_nodes


def _residual(graph: GraphBuilder, x: str, name: str) -> str:
    change = graph.convolution(x, f"{name}.body.0", f"{name}.body.1", relu=True)
    change = graph.convolution(change, f"{name}.body.3", f"{name}.body.4")
    return graph.apply("Relu", graph.apply("Add", x, change))


def _read_maps(
    graph: GraphBuilder, maps: str, count: int, crop_size_px: int, spread_scale: float
) -> str:
    """(B, 2 L, h, w) maps to (B, L, 3) x, y, spread in crop pixels."""
    side = crop_size_px // 4
    flat = graph.apply("Reshape", maps, graph.constant(np.array([0, 2 * count, side * side])))
    places, log_spreads = graph.split(flat, [count, count], axis=1)  # (B, L, h w)
    share = graph.apply("Softmax", places, axis=-1)
    y, x = np.divmod(np.arange(side * side), side)
    centres = (np.stack([x, y], axis=1).astype(np.float32) + 0.5) * (crop_size_px / side) - 0.5
    points = graph.apply("MatMul", share, graph.constant(centres))  # (B, L, 2)
    mean = graph.apply(
        "ReduceSum", graph.apply("Mul", share, log_spreads), graph.constant(np.array([-1]))
    )
    scale = graph.constant(np.float32(spread_scale * crop_size_px))
    spread = graph.apply("Mul", graph.apply("Exp", mean), scale)
    return graph.apply("Concat", points, spread, axis=-1)


def _cores() -> int:
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdigit() and int(threads) > 0 else os.cpu_count() or 1
