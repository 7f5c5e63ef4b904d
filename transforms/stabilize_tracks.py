"""StabilizeTracks: a video's segments, in any order of arrival, become its tracks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.coders import BytesCoder, PickleCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP

from models.frame_ticks import FrameTicks
from models.stabilization.stabilizers import (
    Stabilizer,
    stabilizer_factory,
    stabilizer_parameters,
    stabilizer_weights,
)
from models.stabilization.state_bytes import state_from_bytes, state_to_bytes
from models.tensor_file import check_digest
from schemas.records import (
    FrameGeometry,
    Segment,
    SegmentFailure,
    SegmentLandmarks,
    SegmentPart,
    SegmentStats,
    VideoTracks,
)
from transforms.decoding.lost_frames import merged_ranges
from transforms.run_metrics import STAGED_BYTES, record_cpu
from transforms.storage.parts import bounds_of, read_part, save_part
from transforms.storage.run_output import RunOutput
from transforms.storage.track_files import write_track_part
from transforms.track_assembler import TrackAssembler

#: The result of a segment.
SegmentOutcome: TypeAlias = SegmentPart | SegmentFailure
#: Outcomes still waiting, and the video's tracks, one or none: it is not complete yet.
_Walked: TypeAlias = tuple[list[SegmentOutcome], list[VideoTracks]]


@dataclass(slots=True)
class _Progress:
    """The state of a video between segments: everything the next one needs."""

    walk: TrackAssembler
    segment: Segment  # the last one processed, or any
    next_pts: int | None = None  # where the next one starts; None: before the first
    done: bool = False
    geometry: FrameGeometry | None = None
    failures: list[SegmentFailure] = field(default_factory=list)
    lost_pts: list[tuple[int, int]] = field(default_factory=list)
    stats: SegmentStats = field(default_factory=SegmentStats)
    seconds: float = 0.0
    part_urls: list[str] = field(default_factory=list)
    early: int = 0  # segments that arrived early and wait

    @classmethod
    def of(cls, segment: Segment, fps: Fraction | None) -> _Progress:
        metadata = segment.metadata
        ticks = None if fps is None else FrameTicks(fps, metadata.time_base, metadata.start_pts)
        return cls(TrackAssembler(segment.video.video_id, metadata.time_base, ticks), segment)

    def is_ahead(self, outcome: SegmentOutcome) -> bool:
        """Whether it comes after what was processed."""
        start = outcome.segment.own_start_pts
        if self.next_pts is None or start is None:
            return self.next_pts is None
        return start >= self.next_pts

    def lose_up_to(self, following: Segment | None) -> None:
        """Records failures for the segments missing before `following`, or before the end."""
        first = 0 if self.next_pts is None else self.segment.index + 1
        stop = self.segment.count if following is None else following.index
        for index in range(first, stop) or [max(0, first - 1)]:  # or a piece of one that arrived
            segment = replace(self.segment, index=index)
            message = f"{segment.video.uri}: segment {index} of {segment.count} never arrived"
            self.failures.append(SegmentFailure(segment, "segment_lost", message))
        self.next_pts = None if following is None else following.own_start_pts


def stabilize_segments(
    outcomes: Iterable[SegmentOutcome],
    run_output: RunOutput,
    stabilizer: str,
    fps: Fraction | None = None,
) -> VideoTracks:
    """Stabilizes one video whose outcomes are all known: StabilizeTracks without Beam."""
    waiting = list(outcomes)
    progress = _Progress.of(waiting[0].segment, fps)
    shell = _Walker(run_output, stabilizer_factory(stabilizer))
    return shell.finish(progress, waiting)


class _Walker:
    """Processes segments in order and writes final rows as track parts."""

    def __init__(self, run_output: RunOutput, new_stabilizer: Callable[[], Stabilizer]) -> None:
        self._run_output = run_output
        self._new_stabilizer = new_stabilizer

    def advance(self, progress: _Progress, waiting: list[SegmentOutcome]) -> _Walked:
        """Processes outcomes as long as the next one is there."""
        by_start = {outcome.segment.own_start_pts: outcome for outcome in waiting}
        while progress.next_pts in by_start:
            if self._take(progress, by_start.pop(progress.next_pts)):
                return [], [self._complete(progress)]
        return [outcome for outcome in by_start.values() if progress.is_ahead(outcome)], []

    def finish(self, progress: _Progress, waiting: list[SegmentOutcome]) -> VideoTracks:
        """Processes all outcomes; a missing segment leaves a gap and a failure."""
        ahead, tracks = self.advance(progress, waiting)
        while not tracks:
            following = min(ahead, key=lambda o: o.segment.own_start_pts or 0, default=None)
            progress.lose_up_to(None if following is None else following.segment)
            self._write(progress, f"gap-{progress.next_pts}", progress.walk.skip())
            if following is None:
                return self._complete(progress)
            ahead, tracks = self.advance(progress, ahead)
        return tracks[0]

    def _take(self, progress: _Progress, outcome: SegmentOutcome) -> bool:
        """Processes the next outcome; returns whether it was the last."""
        start, cpu_start = time.perf_counter(), time.thread_time()
        progress.segment, progress.next_pts = outcome.segment, outcome.segment.own_stop_pts
        if isinstance(outcome, SegmentFailure):
            progress.failures.append(outcome)
            table = progress.walk.skip()
        else:
            part = read_part(outcome)
            progress.geometry = progress.geometry or part.geometry
            progress.lost_pts += [(int(a), int(b)) for a, b in part.rows.lost_pts]
            progress.stats = _added(progress.stats, part.stats)
            table = progress.walk.add(part, self._new_stabilizer)
        self._write(progress, bounds_of(outcome.segment), table)
        progress.seconds += time.perf_counter() - start
        record_cpu("stabilize", time.thread_time() - cpu_start)
        return progress.next_pts is None

    def _complete(self, progress: _Progress) -> VideoTracks:
        self._write(progress, "end", progress.walk.skip())
        progress.done = True
        walk = progress.walk
        sure = walk.sure_faces()
        faces = sum(walk.rows_of((face_id,)) > 0 for face_id in sure)
        return VideoTracks(
            video=progress.segment.video,
            metadata=progress.segment.metadata,
            geometry=progress.geometry,
            part_urls=tuple(progress.part_urls),
            segments=progress.segment.count,
            failures=tuple(progress.failures),
            face_ids=sure,
            lost_pts=tuple(merged_ranges(progress.lost_pts)),
            first_pts=walk.first_pts,
            last_pts=walk.last_pts,
            frames=walk.frames,
            repeats=walk.repeats,
            faces=faces,
            rows=walk.rows_of(sure),
            stats=progress.stats,
            stabilize_seconds=progress.seconds,
        )

    def _write(self, progress: _Progress, name: str, table: Any) -> None:
        if table.num_rows:
            staging = self._run_output.staging(progress.segment.video)
            url = f"{staging}/tracks-{progress.segment.count}-{name}.parquet"
            STAGED_BYTES.inc(write_track_part(url, table, self._run_output.track_format))
            progress.part_urls.append(url)


class _WalkFn(beam.DoFn):  # type: ignore[misc]
    """What both ways to stabilize share: the settings and the walker."""

    def __init__(
        self, run_output: RunOutput, stabilizer: str, fps: Fraction | None, expected: str | None
    ) -> None:
        self._run_output = run_output
        self._stabilizer = stabilizer
        self._fps = fps
        self._expected_sha256 = expected

    def setup(self) -> None:
        fitted = stabilizer_weights(self._stabilizer)
        got = fitted.sha256 if fitted else None
        check_digest("stabilizer weights", got, self._expected_sha256)
        self._parameters = stabilizer_parameters(self._stabilizer)
        self._walker = _Walker(self._run_output, stabilizer_factory(self._stabilizer))

    def _finished(self, progress: _Progress, held: list[SegmentOutcome]) -> list[VideoTracks]:
        """The tracks of the video, from the outcomes held; none if it was finished before."""
        _, tracks = self._unless_finished(
            progress, lambda: ([], [self._walker.finish(progress, held)])
        )
        return tracks

    def _unless_finished(self, progress: _Progress, walk: Callable[[], _Walked]) -> _Walked:
        try:
            return walk()
        except FileNotFoundError:
            # Parts are removed after the status row is written, by another run or an earlier try.
            if not self._run_output.is_finished(progress.segment.video):
                raise
            progress.done = True
            return [], []


class _GroupedFn(_WalkFn):
    """Walks the segments of a video when all of them are there."""

    def process(self, element: tuple[str, Iterable[SegmentOutcome]]) -> list[VideoTracks]:
        held = list(element[1])
        return self._finished(_Progress.of(held[0].segment, self._fps), held)


class _StabilizeFn(_WalkFn):
    """Holds segments that arrive early, processes the rest, closes the video at the end of input.

    Uses a bag, a read-modify-write state and one event-time timer, which every runner supports.
    """

    EARLY = BagStateSpec("early", PickleCoder())
    PROGRESS = ReadModifyWriteStateSpec("progress", BytesCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, SegmentOutcome],
        early: Any = beam.DoFn.StateParam(EARLY),
        state: Any = beam.DoFn.StateParam(PROGRESS),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> list[VideoTracks]:
        outcome = element[1]
        progress = self._read(state) or _Progress.of(outcome.segment, self._fps)
        done: list[VideoTracks] = []
        if not progress.done and progress.is_ahead(outcome):
            if outcome.segment.own_start_pts == progress.next_pts:
                # Each access to the bag costs milliseconds; segments in order never use it.
                held = list(early.read()) if progress.early else []
                waiting, done = self._unless_finished(
                    progress, lambda: self._walker.advance(progress, [*held, outcome])
                )
                if progress.early:
                    early.clear()
                progress.early = len(waiting)
                for one in waiting:
                    early.add(one)
            else:
                early.add(outcome)
                progress.early += 1
            state.write(state_to_bytes(progress, self._parameters))
            if not progress.done:  # most videos have one segment
                end.set(GlobalWindow().max_timestamp())
        return done  # empty for a segment that a retry delivers twice

    @on_timer(END)  # type: ignore[untyped-decorator]
    def close(
        self, early: Any = beam.DoFn.StateParam(EARLY), state: Any = beam.DoFn.StateParam(PROGRESS)
    ) -> list[VideoTracks]:
        progress = self._read(state)
        done: list[VideoTracks] = []
        if progress is not None and not progress.done:
            done = self._finished(progress, list(early.read()) if progress.early else [])
        if progress is None or progress.early:
            early.clear()
        state.clear()
        return done

    def _read(self, state: Any) -> _Progress | None:
        """The state of the video; None at its first segment."""
        content: bytes | None = state.read()
        if not content:
            return None
        progress: _Progress = state_from_bytes(content, self._parameters)
        return progress


def _added(a: SegmentStats, b: SegmentStats) -> SegmentStats:
    return SegmentStats(*(getattr(a, f.name) + getattr(b, f.name) for f in fields(SegmentStats)))


def _by_video(outcome: SegmentOutcome) -> tuple[str, SegmentOutcome]:
    return outcome.segment.video.video_id, outcome


@dataclass
class SaveParts(beam.PTransform):  # type: ignore[misc]
    """Saves each SegmentLandmarks and emits a SegmentPart that refers to it."""

    run_output: RunOutput

    def expand(
        self, landmarks: beam.PCollection[SegmentLandmarks]
    ) -> beam.PCollection[SegmentPart]:
        """Writes each part under its own name."""
        return landmarks | "Save" >> beam.Map(_save, self.run_output)


def _save(landmarks: SegmentLandmarks, run_output: RunOutput) -> TimestampedValue:
    part = save_part(run_output.staging(landmarks.segment.video), landmarks, STAGED_BYTES.inc)
    # BatchElements puts its batches at the end of the window, where StabilizeTracks has its
    # timer; a runner may fire it while such elements are still in flight.
    return TimestampedValue(part, MIN_TIMESTAMP)


@dataclass
class StabilizeTracks(beam.PTransform):  # type: ignore[misc]
    """A video's SegmentOutcomes become one VideoTracks.

    fps: write rows for the first frame of every 1/fps seconds only; None is all frames.
    stabilizer_sha256: hex digest that the stabilizer's weights must have, if given.
    grouped: waits for all outcomes of a video and needs no state: the FnApiRunner has one worker
        for all keys of a stateful stage.
    """

    run_output: RunOutput
    stabilizer: str = "none"
    fps: Fraction | None = None
    stabilizer_sha256: str | None = None
    grouped: bool = False

    def expand(self, outcomes: beam.PCollection[SegmentOutcome]) -> beam.PCollection[VideoTracks]:
        """Keys by video_id and processes the segments in order."""
        settings = self.run_output, self.stabilizer, self.fps, self.stabilizer_sha256
        keyed = outcomes | "ByVideo" >> beam.Map(_by_video).with_output_types(tuple[str, Any])
        if self.grouped:
            whole = keyed | "Whole" >> beam.GroupByKey()
            return whole | "WalkWhole" >> beam.ParDo(_GroupedFn(*settings))
        return keyed | "Walk" >> beam.ParDo(_StabilizeFn(*settings))
