"""AlignFaces: windows of face crops become landmarks in image pixels."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import torch
from apache_beam.ml.inference.base import ModelHandler, RunInference

from models.crops import crop_to_image, pixel_size
from models.landmarks.model import LandmarkModel, landmark_device, load_landmark_model
from models.weights_digest import check_digest
from schemas.landmarks import LANDMARK_COUNT
from schemas.records import SegmentLandmarks, SegmentWindows
from transforms.run_metrics import record_align

__all__ = ["MIN_WEIGHT", "AlignFaces", "LandmarkModelHandler", "align_windows"]

_LOGGER = logging.getLogger(__name__)
#: Windows that a segment counts for at least, so that few segments wait for a full batch.
MIN_WEIGHT = 16
#: Windows that are gathered where the device says how many a call gets.
_GATHERED_WINDOWS = 256


def align_windows(
    batch: Sequence[SegmentWindows], model: LandmarkModel, *, batch_windows: int
) -> Iterator[SegmentLandmarks]:
    """Runs the network over all windows of some segments, `batch_windows` at a time.

    Segments share batches: a network call sees a full batch however few faces each has.
    """
    if not batch:
        return  # BatchElements gives an empty batch before one that is over its size
    start = time.perf_counter()
    landmarks, spreads = _predict(batch, model, batch_windows)
    seconds = time.perf_counter() - start
    rows = [len(windows.windows) for windows in batch]
    ends = np.cumsum(rows)
    for windows, end, count in zip(batch, ends, rows, strict=True):
        found, spread = landmarks[end - count : end], spreads[end - count : end]
        in_image = [crop_to_image(p, a) for p, a in zip(found, windows.affines, strict=True)]
        scale = np.array([pixel_size(affine) for affine in windows.affines], np.float32)
        share = seconds * count / max(1, int(ends[-1]))
        yield SegmentLandmarks(
            segment=windows.segment,
            geometry=windows.geometry,
            rows=windows.rows,
            seam=windows.seam,
            landmarks_px=np.array(in_image, np.float32).reshape(-1, LANDMARK_COUNT, 2),
            spread_px=spread * scale[:, None],
            stats=replace(windows.stats, align_seconds=share),
        )


def _predict(
    batch: Sequence[SegmentWindows], model: LandmarkModel, batch_windows: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(sum of M, 68, 2) landmarks and (sum of M, 68) spreads, float32 in crop pixels."""
    crops = np.concatenate([windows.crops for windows in batch])
    firsts = np.cumsum([0] + [len(windows.crops) for windows in batch[:-1]])
    indices = np.concatenate([w.windows + first for w, first in zip(batch, firsts, strict=True)])
    found = [np.empty((0, LANDMARK_COUNT, 2), np.float32)]
    spreads = [np.empty((0, LANDMARK_COUNT), np.float32)]
    for begin in range(0, len(indices), batch_windows):
        start = time.perf_counter()
        used, local = np.unique(indices[begin : begin + batch_windows], return_inverse=True)
        shape = (-1, indices.shape[1])
        windows = local.astype(np.intp).reshape(shape)
        points, spread = model.predict_with_spread(crops[used], windows)
        found.append(points)
        spreads.append(spread)
        record_align(len(found[-1]), time.perf_counter() - start)
    return np.concatenate(found), np.concatenate(spreads)


class LandmarkModelHandler(ModelHandler[SegmentWindows, SegmentLandmarks, LandmarkModel]):  # type: ignore[misc]
    """A RunInference handler whose batches count windows, not elements.

    Args:
        weights: a weights file, or None for the default.
        device: auto, cpu, cuda or cuda:i, resolved on the worker.
        batch_windows: windows in a call of the network; None: what suits the device.
        threads: CPU threads of a network call.
        bfloat16, compiled: see `LandmarkModel`.
        weights_sha256: hex digest that the loaded weights must have, if given.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        device: str = "auto",
        batch_windows: int | None = None,
        threads: int | None = None,
        bfloat16: bool = False,
        compiled: bool = False,
        weights_sha256: str | None = None,
    ) -> None:
        self._weights = weights
        self._device = device
        self._batch_windows = batch_windows
        self._threads = threads
        self._bfloat16, self._compiled = bfloat16, compiled
        self._weights_sha256 = weights_sha256

    def load_model(self) -> LandmarkModel:
        """Loads the network once a worker; raises WeightsError where it is another one."""
        device = landmark_device(self._weights, self._device)
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        _LOGGER.info("landmark network on %s", device)
        model = load_landmark_model(
            self._weights,
            device,
            bfloat16=self._bfloat16,
            compiled=self._compiled,
            batch_windows=self._batch_windows,
        )
        check_digest("landmark weights", model.weights_sha256, self._weights_sha256)
        return model

    def run_inference(
        self,
        batch: Sequence[SegmentWindows],
        model: LandmarkModel,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[SegmentLandmarks]:
        """One SegmentLandmarks for each element, in order."""
        batch_windows = self._batch_windows or model.batch_windows
        return list(align_windows(batch, model, batch_windows=batch_windows))

    def batch_elements_kwargs(self) -> dict[str, Any]:
        """Elements are gathered until their windows fill calls of the network."""
        gathered = self._batch_windows or _GATHERED_WINDOWS
        return {
            "min_batch_size": gathered,
            "max_batch_size": gathered,
            "element_size_fn": _window_count,
        }

    def get_num_bytes(self, batch: Sequence[SegmentWindows]) -> int:
        """Bytes of pixels in a batch (the default would pickle them to find out)."""
        return sum(windows.crops.nbytes for windows in batch)

    def get_metrics_namespace(self) -> str:
        """Where RunInference's metrics appear."""
        return "facetracks_align"


def _window_count(windows: SegmentWindows) -> int:
    return max(MIN_WEIGHT, len(windows.windows))


@dataclass
class AlignFaces(beam.PTransform):  # type: ignore[misc]
    """One SegmentWindows becomes one SegmentLandmarks: pixels in, coordinates out."""

    handler: LandmarkModelHandler

    def expand(
        self, windows: beam.PCollection[SegmentWindows]
    ) -> beam.PCollection[SegmentLandmarks]:
        """Runs the network over batches of windows."""
        return windows | "RunInference" >> RunInference(self.handler)
