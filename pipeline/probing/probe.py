"""Before a run: what the inputs are, and estimates of the time and cost of annotating them.

Every video is planned, as a run plans it, and a short stretch of it goes through decoding,
detection and the landmark network, on as many workers as a run would have. Each is opened in a
decoding child, never in this process.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from models.landmarks.landmark_model import LandmarkModel
from pipeline.annotate_videos import stage_settings
from pipeline.graph import GraphSettings
from pipeline.inputs import find_inputs, texts_of
from pipeline.probing.probe_costs import CostModel, Sample
from pipeline.settings import AnnotateSettings
from schemas.errors import VideoError
from schemas.probes import PROBE_SCHEMA
from schemas.records import Segment, SegmentWindows, Video, VideoFailure
from transforms.align_faces import align_windows
from transforms.decoding.child_pool import kept_children, lent_child
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.parts import save_part
from transforms.storage.source_files import look_up
from transforms.write_tracks import write_video

#: Of a video, this share is decoded, within these seconds.
_SHARE: Final = 0.04
_MIN_SECONDS: Final = 0.2
_MAX_SECONDS: Final = 2.0
#: A frame longer or shorter than the usual one by more than this share is of variable rate.
_UNEVEN: Final = 0.2
#: Samples that are written as tracks, to see what that costs.
_WRITTEN: Final = 4
#: Windows that a worker aligns to see what that costs.
_ALIGNED: Final = 256


@dataclass(frozen=True)
class ProbeSummary:
    """Estimates for a run over the inputs.

    Attributes:
        videos: a row an input, with the columns of `schemas.probes`.
        faces_per_frame: of all samples.
        work_seconds: work of one worker, start not included.
        start_seconds: until the networks are loaded.
        workers: of this machine, that the speeds were measured on.
        sampled_seconds: how much video was decoded for it.
        probe_seconds: how long the probe took.
    """

    videos: pa.Table
    faces_per_frame: float
    work_seconds: float
    start_seconds: float
    workers: int
    sampled_seconds: float
    probe_seconds: float

    def seconds_on(self, workers: int) -> float:
        """Estimated time of a run on this many workers like those of this machine."""
        return self.start_seconds + self.work_seconds / workers

    def cost_on(self, workers: int, price_per_hour: float) -> float:
        """What that costs where a worker has a price an hour, in its currency."""
        return self.seconds_on(workers) * workers / 3600 * price_per_hour


@dataclass(slots=True)
class _Probed:
    """What is known of one video."""

    video: Video
    size_bytes: int | None = None
    segments: list[Segment] = dataclasses.field(default_factory=list)
    failure: VideoFailure | None = None
    sample: Sample | None = None
    values: dict[str, Any] = dataclasses.field(default_factory=dict)  # measured on decoded frames
    windows: list[SegmentWindows] = dataclasses.field(default_factory=list)  # of the first few


def probe(
    inputs: str | Path | Sequence[str | Path],
    settings: AnnotateSettings | None = None,
    *,
    progress: bool = False,
) -> ProbeSummary:
    """Looks at headers and short samples of all inputs; nothing is written.

        before = probe("clips/")
        print(before.seconds_on(before.workers) / 3600, "hours here")

    A sample is 4 % of a video, at most 2 s from a keyframe near its middle. Short videos, whose
    samples are few frames, tell little: the more hours, the truer the estimate. Of a remote video
    the index, a keyframe for each segment and the sample are read: 2.9 % of the bytes of 150 s,
    7 % of those of 6 to 50 s, and at least some 50 kB, or all of a small MPEG file; of the 52 short
    clips of the tests, 47 MB, 20 %.

    Args:
        inputs: as in `annotate`.
        settings: those that the run will have; None is the defaults.
        progress: whether a bar on stderr shows how far it is.

    Raises:
        UsageError: inputs, settings or weights that cannot be used.
    """
    begin = time.perf_counter()
    settings = settings or AnnotateSettings()
    found = find_inputs(texts_of(inputs), settings.limit, settings.allow_protocols)
    with tempfile.TemporaryDirectory(prefix="facetracks-probe-") as folder, kept_children():
        stages = stage_settings(folder, settings, "FnApiRunner")
        model = stages.align.load_model()
        loaded = time.perf_counter() - begin
        look = _Look(stages)
        with ThreadPoolExecutor(settings.workers, "facetracks-probe") as pool:
            probed = list(
                tqdm(
                    pool.map(look, found.videos), "videos", len(found.videos), disable=not progress
                )
            )
            align = _align_seconds(probed, model, pool, settings.workers)
        stabilize, write = _write_seconds(probed, model, stages)
    samples = [one.sample for one in probed if one.sample is not None]
    costs = CostModel(align, stabilize, write, samples)
    probed += [_Probed(failure.video, failure=failure) for failure in found.failures]
    rows = [_row(one, costs) for one in probed]
    return ProbeSummary(
        pa.Table.from_pylist(rows, schema=PROBE_SCHEMA),
        costs.faces_per_frame(),
        sum(row["work_seconds"] for row in rows),
        loaded + look.start_seconds,
        settings.workers,
        sum(sample.seconds for sample in samples),
        time.perf_counter() - begin,
    )


class _Look:
    """Plans videos and decodes their samples, each call in a worker thread."""

    def __init__(self, stages: GraphSettings) -> None:
        self._stages = stages
        self._local = threading.local()
        self._lock = threading.Lock()
        self._kept = 0
        self.start_seconds = 0.0  # of the slowest first request of a worker

    def __call__(self, video: Video) -> _Probed:
        probed, begin = _Probed(video), time.perf_counter()
        try:
            probed.size_bytes = look_up(video.uri)[2].get("size")
            with lent_child(self._stages.child) as child:
                if self._is_first():
                    child.plan(video)  # which starts a process
                start = time.perf_counter()
                probed.segments = child.plan(video)
                planned = time.perf_counter() - start
                part = child.plan(_sampled_part(video, probed.segments))
                start = time.perf_counter()
                windows = list(child.decode(part[0]))
                took = time.perf_counter() - start
        except VideoError as error:
            probed.failure = VideoFailure(video, error.reason, str(error))
            return probed
        sample = probed.sample = _sample(probed, windows, planned)
        probed.values = _sampled_values(video, windows)
        with self._lock:
            if self._kept < _ALIGNED:  # crops are large: those of a corpus fit in no memory
                self._kept += sum(len(w.windows) for w in windows)
                probed.windows = windows
        work = sample.decode_seconds + sample.detect_seconds + sample.crop_seconds
        if self._is_first():
            self._local.began = True
            started = time.perf_counter() - begin - sample.plan_seconds - work
            self.start_seconds = max(self.start_seconds, started)
        else:
            sample.overhead_seconds = max(0.0, took - work)
        return probed

    def _is_first(self) -> bool:
        return not getattr(self._local, "began", False)


def _sampled_part(video: Video, segments: Sequence[Segment]) -> Video:
    """A short range from the keyframe of the middle segment, or from the beginning."""
    metadata = segments[0].metadata
    start = video.start_seconds or 0.0
    middle = segments[len(segments) // 2]
    if middle.seek_pts is not None:
        start = float((middle.seek_pts - metadata.start_pts) * metadata.time_base)
    length = metadata.duration_seconds or 0.0
    seconds = min(_MAX_SECONDS, max(_MIN_SECONDS, _SHARE * length))
    return dataclasses.replace(video, start_seconds=max(0.0, start), stop_seconds=start + seconds)


def _sample(probed: _Probed, windows: Sequence[SegmentWindows], planned: float) -> Sample:
    metadata = probed.segments[0].metadata
    frames = sum(w.rows.frames for w in windows)
    geometry = next((w.geometry for w in windows if w.geometry is not None), None)
    return Sample(
        seconds=float(frames * metadata.step_pts * metadata.time_base),
        frames=frames,
        repeats=sum(len(w.rows.repeat_pts) for w in windows),
        rows=sum(len(w.rows.frame) for w in windows),
        pixels=geometry.width_px * geometry.height_px if geometry else 0,
        codec=metadata.codec,
        segments=len(probed.segments),
        plan_seconds=planned,
        decode_seconds=sum(w.stats.decode_seconds for w in windows),
        detect_seconds=sum(w.stats.detect_seconds for w in windows),
        crop_seconds=sum(w.stats.crop_seconds for w in windows),
        overhead_seconds=None,
    )


def _align_seconds(
    probed: Sequence[_Probed], model: LandmarkModel, pool: ThreadPoolExecutor, workers: int
) -> float:
    """Of a face on a frame, in full batches, with all workers busy; 0 where there is no face."""
    batch = [windows for one in probed for windows in one.windows if len(windows.windows)]
    count = sum(len(windows.windows) for windows in batch)
    if not count:
        return 0.0

    def align(_: int) -> float:
        start = time.perf_counter()
        list(align_windows(batch, model, batch_windows=model.batch_windows))
        return time.perf_counter() - start

    align(0)  # the first call prepares what later ones use
    return statistics.median(pool.map(align, range(workers))) / count


def _write_seconds(
    probed: Sequence[_Probed], model: LandmarkModel, stages: GraphSettings
) -> tuple[float, float]:
    """Stabilizing a face on a frame, and writing a video's files."""
    stabilize, write, rows = 0.0, [], 0
    for one in [one for one in probed if one.sample and one.windows][:_WRITTEN]:
        landmarks = align_windows(one.windows, model, batch_windows=model.batch_windows)
        start = time.perf_counter()
        parts = [save_part(stages.run_output.staging(one.video), piece) for piece in landmarks]
        tracks = stabilize_segments(parts, stages.run_output, stages.settings.stabilizer)
        row = write_video(tracks, stages.run_output)
        took = time.perf_counter() - start
        stabilize += row["stabilize_seconds"]
        write.append(max(0.0, took - row["stabilize_seconds"] - row["align_seconds"]))
        rows += max(1, row["face_frames"])
    return (stabilize / rows, statistics.median(write)) if rows else (0.0, 0.0)


def _row(one: _Probed, costs: CostModel) -> dict[str, Any]:
    sample = one.sample
    row = dict.fromkeys(PROBE_SCHEMA.names) | {
        "video_id": one.video.video_id,
        "uri": one.video.uri,
        "status": "sound",
        "size_bytes": one.size_bytes,
        "sampled_seconds": sample.seconds if sample else 0.0,
        "sampled_frames": sample.frames if sample else 0,
        "sampled_repeats": sample.repeats if sample else 0,
        "sampled_faces": sample.rows if sample else 0,
        "work_seconds": 0.0,
    }
    if one.segments:
        metadata = one.segments[0].metadata
        fps = float(1 / (metadata.step_pts * metadata.time_base))
        seconds = metadata.duration_seconds
        if seconds is None and metadata.frames_expected:
            seconds = metadata.frames_expected / fps
        frames = None if seconds is None else round(seconds * fps)
        row |= {
            "codec": metadata.codec,
            "pixel_format": metadata.pixel_format,
            "duration_seconds": seconds,
            "fps": fps,
            "frames": frames,
            "segments": len(one.segments),
        }
        if frames and seconds is not None:
            row["work_seconds"] = costs.work_seconds(sample, seconds=seconds, frames=frames)
        if metadata.bytes_missing:
            message = f"{one.video.uri}: it lacks {metadata.bytes_missing} bytes"
            row |= {"status": "broken", "reason": "truncated", "message": message}
    if one.failure is not None:
        row |= {"status": "broken", "reason": one.failure.reason, "message": one.failure.message}
    return row | one.values


def _sampled_values(video: Video, windows: Sequence[SegmentWindows]) -> dict[str, Any]:
    """Measurements that need decoded frames."""
    values: dict[str, Any] = {}
    geometry = next((w.geometry for w in windows if w.geometry is not None), None)
    if geometry is not None:
        values |= {
            "width": geometry.width_px,
            "height": geometry.height_px,
            "rotation_deg": geometry.rotation_deg,
            "mirrored": geometry.mirrored,
        }
    pts = [p for w in windows for p in (w.rows.frame_pts, w.rows.repeat_pts)]
    steps = np.diff(np.unique(np.concatenate(pts))).astype(np.float64)
    if len(steps) > 1:
        usual = float(np.median(steps))
        values["variable_rate"] = bool((np.abs(steps - usual) > _UNEVEN * usual).any())
    if sum(w.stats.packets_bad for w in windows):
        message = f"{video.uri}: frames of the sample are missing or damaged"
        values |= {"status": "broken", "reason": "bad_packets", "message": message}
    return values
