"""AlignFaces: windows of face crops become landmarks in image pixels."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.utils.shared import Shared

from models.crops import crop_to_image, pixel_size
from models.frame_ticks import FrameTicks
from models.landmarks.landmark_model import LandmarkModel, crops_at
from models.landmarks.model import landmark_device, load_landmark_model
from models.tensor_file import check_digest
from schemas.landmarks import LANDMARK_COUNT
from schemas.records import SegmentLandmarks, SegmentWindows
from transforms.run_metrics import record_align, record_cpu

_LOGGER = logging.getLogger(__name__)
#: Windows that a segment counts for at least, so that few segments wait for a full batch.
MIN_WEIGHT = 16
#: Windows that are gathered where the device says how many a call gets.
_GATHERED_WINDOWS = 256


def align_windows(
    batch: Sequence[SegmentWindows],
    model: LandmarkModel,
    *,
    batch_windows: int,
    fps: Fraction | None = None,
) -> Iterator[SegmentLandmarks]:
    """Runs the network over all windows of some segments, `batch_windows` at a time.

    Segments share batches: a network call sees a full batch however few faces each has. With
    `fps`, windows are left out whose frame, and the repeats of it, are none of that rate's; their
    landmarks are nan.
    """
    if not batch:
        return  # BatchElements gives an empty batch before one that is over its size
    start, cpu_start = time.perf_counter(), time.thread_time()
    landmarks, spreads = _predict(batch, model, batch_windows, fps)
    seconds = time.perf_counter() - start
    record_cpu("align", time.thread_time() - cpu_start)
    rows = [len(windows.windows) for windows in batch]
    ends = np.cumsum(rows)
    for windows, end, count in zip(batch, ends, rows, strict=True):
        found, spread = landmarks[end - count : end], spreads[end - count : end]
        scale = pixel_size(windows.affines).astype(np.float32)
        share = seconds * count / max(1, int(ends[-1]))
        yield SegmentLandmarks(
            segment=windows.segment,
            geometry=windows.geometry,
            rows=windows.rows,
            seam=windows.seam,
            landmarks_px=crop_to_image(found, windows.affines).astype(np.float32),
            spread_px=spread * scale[:, None],
            stats=replace(windows.stats, align_seconds=share),
        )


def _predict(
    batch: Sequence[SegmentWindows], model: LandmarkModel, batch_windows: int, fps: Fraction | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(sum of M, 68, 2) landmarks and (sum of M, 68) spreads, float32 in crop pixels."""
    crops = np.concatenate([windows.crops for windows in batch])
    firsts = np.cumsum([0] + [len(windows.crops) for windows in batch[:-1]])
    indices = np.concatenate([w.windows + first for w, first in zip(batch, firsts, strict=True)])
    wanted = np.flatnonzero(np.concatenate([_wanted(windows, fps) for windows in batch]))
    landmarks = np.full((len(indices), LANDMARK_COUNT, 2), np.nan, np.float32)
    spreads = np.full((len(indices), LANDMARK_COUNT), np.nan, np.float32)
    for begin in range(0, len(wanted), batch_windows):
        start = time.perf_counter()
        rows = wanted[begin : begin + batch_windows]
        used, local = np.unique(indices[rows], return_inverse=True)
        windows = local.astype(np.intp).reshape(len(rows), -1)
        landmarks[rows], spreads[rows] = model.predict_with_spread(crops_at(crops, used), windows)
        record_align(len(rows), time.perf_counter() - start)
    return landmarks, spreads


def _wanted(windows: SegmentWindows, fps: Fraction | None) -> npt.NDArray[np.bool_]:
    """(M,) which windows show a frame of the rate, or one that such a frame repeats."""
    rows, metadata = windows.rows, windows.segment.metadata
    if fps is None:
        return np.ones(len(rows.frame), np.bool_)
    shown = [(pts, frame) for frame, pts in enumerate(rows.frame_pts.tolist())]
    shown += zip(rows.repeat_pts.tolist(), rows.repeat_of.tolist(), strict=True)
    shown.sort()
    # What came before is not known here, so the first frame counts as one; who writes knows.
    ticks = FrameTicks(fps, metadata.time_base, metadata.start_pts)
    wanted = np.zeros(len(rows.frame_pts), np.bool_)
    for (_, frame), begins in zip(shown, ticks.among(pts for pts, _ in shown), strict=True):
        wanted[frame] |= begins
    return wanted[rows.frame]


@dataclass(frozen=True)
class AlignSettings:
    """Which network a worker loads, and how.

    weights: a weights file, or None for the default.
    device: auto, cpu, cuda or cuda:i, resolved on the worker.
    batch_windows: windows in a call of the network; None: what suits the device.
    threads: CPU threads of a network call.
    precision, compiled: see `load_landmark_model`.
    weights_sha256: hex digest that the loaded weights must have, if given.
    fps: only frames of this rate are aligned; None is all.
    """

    weights: str | None = None
    device: str = "auto"
    batch_windows: int | None = None
    threads: int | None = None
    precision: str = "float32"
    compiled: bool = False
    weights_sha256: str | None = None
    fps: Fraction | None = None

    def load_model(self) -> LandmarkModel:
        """The network; raises WeightsError where it is another one."""
        device = landmark_device(self.weights, self.device)
        _LOGGER.info("landmark network on %s", device)
        model = load_landmark_model(
            self.weights,
            device,
            precision=self.precision,
            compiled=self.compiled,
            batch_windows=self.batch_windows,
            threads=self.threads,
        )
        check_digest("landmark weights", model.weights_sha256, self.weights_sha256)
        return model


class _AlignFn(beam.DoFn):  # type: ignore[misc]
    """One model a process, whatever threads and bundles it has.

    As Beam's RunInference does it, which would import torch in every worker.
    """

    def __init__(self, settings: AlignSettings) -> None:
        self._settings = settings
        self._shared = Shared()
        self._model: LandmarkModel | None = None

    def setup(self) -> None:
        self._model = self._shared.acquire(self._settings.load_model, tag=self._settings)

    def process(self, batch: Sequence[SegmentWindows]) -> Iterator[SegmentLandmarks]:
        assert self._model is not None
        batch_windows = self._settings.batch_windows or self._model.batch_windows
        yield from align_windows(
            batch, self._model, batch_windows=batch_windows, fps=self._settings.fps
        )


def _window_count(windows: SegmentWindows) -> int:
    return max(MIN_WEIGHT, len(windows.windows))


@dataclass
class AlignFaces(beam.PTransform):  # type: ignore[misc]
    """One SegmentWindows becomes one SegmentLandmarks: pixels in, coordinates out.

    Segments are gathered until their windows, not their number, fill calls of the network.
    """

    settings: AlignSettings

    def expand(
        self, windows: beam.PCollection[SegmentWindows]
    ) -> beam.PCollection[SegmentLandmarks]:
        """Runs the network over batches of windows."""
        gathered = self.settings.batch_windows or _GATHERED_WINDOWS
        batches = windows | "Gather" >> beam.BatchElements(
            min_batch_size=gathered, max_batch_size=gathered, element_size_fn=_window_count
        )
        return batches | "Align" >> beam.ParDo(_AlignFn(self.settings))
