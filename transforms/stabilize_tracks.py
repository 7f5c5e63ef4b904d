"""StabilizeTracks: a video's segments, whatever order they come in, become its tracks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.coders import PickleCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow

from models.stabilization.stabilizers import Stabilizer, stabilizer_factory
from schemas.records import (
    FrameGeometry,
    Segment,
    SegmentFailure,
    SegmentLandmarks,
    SegmentPart,
    VideoTracks,
    Work,
)
from transforms.lost_frames import merged_ranges
from transforms.parts import read_part, save_part
from transforms.track_files import write_track_part
from transforms.track_walk import TrackWalk
from transforms.workplace import Workplace

__all__ = ["SaveParts", "SegmentOutcome", "StabilizeTracks", "stabilize_segments"]

#: What became of a segment.
SegmentOutcome: TypeAlias = SegmentPart | SegmentFailure


@dataclass(slots=True)
class _Progress:
    """How far a video has been walked; everything the next segment needs."""

    walk: TrackWalk
    any_segment: Segment
    next_segment: int = 0
    done: bool = False
    geometry: FrameGeometry | None = None
    failures: list[SegmentFailure] = field(default_factory=list)
    lost_pts: list[tuple[int, int]] = field(default_factory=list)
    work: Work = field(default_factory=Work)
    seconds: float = 0.0
    part_urls: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, segment: Segment) -> _Progress:
        return cls(TrackWalk(segment.video.video_id, segment.probe.time_base), segment)


def stabilize_segments(
    outcomes: Iterable[SegmentOutcome], workplace: Workplace, stabilizer: str
) -> VideoTracks:
    """Stabilizes one video whose outcomes are all known; the plain twin of StabilizeTracks."""
    waiting = sorted(outcomes, key=lambda outcome: outcome.segment.index)
    progress = _Progress.of(waiting[0].segment)
    shell = _Walker(workplace, stabilizer_factory(stabilizer))
    return shell.finish(progress, waiting)


class _Walker:
    """Walks segments and writes what becomes final as track parts."""

    def __init__(self, workplace: Workplace, new_stabilizer: Callable[[], Stabilizer]) -> None:
        self._workplace = workplace
        self._new_stabilizer = new_stabilizer

    def advance(
        self, progress: _Progress, waiting: list[SegmentOutcome]
    ) -> tuple[list[SegmentOutcome], VideoTracks | None]:
        """Takes what is next; returns what must wait, and the video when it is complete."""
        by_index = {outcome.segment.index: outcome for outcome in waiting}
        last: SegmentOutcome | None = None
        while progress.next_segment in by_index:
            last = by_index.pop(progress.next_segment)
            self._take(progress, last)
        early = [o for i, o in sorted(by_index.items()) if i > progress.next_segment]
        if last is not None and progress.next_segment == last.segment.count:
            return early, self._complete(progress, last)
        return early, None

    def finish(self, progress: _Progress, waiting: list[SegmentOutcome]) -> VideoTracks:
        """Takes all there is; what never came leaves a gap and a failure."""
        _, tracks = self.advance(progress, [*waiting, *self.missing(progress, waiting)])
        assert tracks is not None
        return tracks

    def missing(self, progress: _Progress, waiting: list[SegmentOutcome]) -> list[SegmentOutcome]:
        """A failure for every segment that has not come."""
        have = {outcome.segment.index for outcome in waiting}
        failures: list[SegmentOutcome] = []
        for index in range(progress.next_segment, progress.any_segment.count):
            if index not in have:
                segment = replace(progress.any_segment, index=index)
                message = f"{segment.video.uri}: segment {index} of {segment.count} never came"
                failures.append(SegmentFailure(segment, "segment_lost", message))
        return failures

    def _take(self, progress: _Progress, outcome: SegmentOutcome) -> None:
        start = time.perf_counter()
        progress.next_segment = outcome.segment.index + 1
        if isinstance(outcome, SegmentFailure):
            progress.failures.append(outcome)
            table = progress.walk.skip()
        else:
            part = read_part(outcome)
            progress.geometry = progress.geometry or part.geometry
            progress.lost_pts += [(int(a), int(b)) for a, b in part.rows.lost_pts]
            progress.work = _added(progress.work, part.work)
            table = progress.walk.add(part, self._new_stabilizer)
        self._write(progress, outcome, f"{outcome.segment.index:06d}", table)
        progress.seconds += time.perf_counter() - start

    def _complete(self, progress: _Progress, last: SegmentOutcome) -> VideoTracks:
        self._write(progress, last, "end", progress.walk.finish())
        progress.done = True
        walk = progress.walk
        sure = walk.sure_faces()
        return VideoTracks(
            video=last.segment.video,
            probe=last.segment.probe,
            geometry=progress.geometry,
            part_urls=tuple(progress.part_urls),
            segments=last.segment.count,
            failures=tuple(progress.failures),
            face_ids=sure,
            lost_pts=tuple(merged_ranges(progress.lost_pts)),
            first_pts=walk.first_pts,
            last_pts=walk.last_pts,
            frames=walk.frames,
            faces=len(sure),
            rows=walk.rows_of(sure),
            work=progress.work,
            stabilize_seconds=progress.seconds,
        )

    def _write(self, progress: _Progress, outcome: SegmentOutcome, name: str, table: Any) -> None:
        if table.num_rows:
            staging = self._workplace.staging(outcome.segment.video)
            url = f"{staging}/tracks-{outcome.segment.count}-{name}.parquet"
            write_track_part(url, table)
            progress.part_urls.append(url)


class _StabilizeFn(beam.DoFn):  # type: ignore[misc]
    """Holds segments that come early; walks the rest; closes the video at the end of input.

    State: bag and read-modify-write, and one event-time timer - what every runner has.
    """

    EARLY = BagStateSpec("early", PickleCoder())
    PROGRESS = ReadModifyWriteStateSpec("progress", PickleCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, workplace: Workplace, stabilizer: str) -> None:
        self._workplace = workplace
        self._stabilizer = stabilizer

    def setup(self) -> None:
        self._walker = _Walker(self._workplace, stabilizer_factory(self._stabilizer))

    def process(
        self,
        element: tuple[str, SegmentOutcome],
        early: Any = beam.DoFn.StateParam(EARLY),
        state: Any = beam.DoFn.StateParam(PROGRESS),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> list[VideoTracks]:
        outcome = element[1]
        progress: _Progress = state.read() or _Progress.of(outcome.segment)
        done: list[VideoTracks] = []
        if not progress.done and outcome.segment.index >= progress.next_segment:
            end.set(GlobalWindow().max_timestamp())
            early.add(outcome)
            if outcome.segment.index == progress.next_segment:
                waiting, tracks = self._advance(progress, list(early.read()))
                early.clear()
                for held in waiting:
                    early.add(held)
                done = [tracks] if tracks is not None else []
            state.write(progress)
        return done  # nothing for a segment that a retry brings twice

    @on_timer(END)  # type: ignore[untyped-decorator]
    def close(
        self,
        early: Any = beam.DoFn.StateParam(EARLY),
        state: Any = beam.DoFn.StateParam(PROGRESS),
    ) -> list[VideoTracks]:
        progress: _Progress | None = state.read()
        done: list[VideoTracks] = []
        if progress is not None and not progress.done:
            missing = self._walker.missing(progress, list(early.read()))
            _, tracks = self._advance(progress, [*early.read(), *missing])
            done = [tracks] if tracks is not None else []
        early.clear()
        state.clear()
        return done

    def _advance(
        self, progress: _Progress, waiting: list[SegmentOutcome]
    ) -> tuple[list[SegmentOutcome], VideoTracks | None]:
        try:
            return self._walker.advance(progress, waiting)
        except FileNotFoundError:
            # Parts go once the status row is there: another run, or a try before, wrote it.
            if not self._workplace.is_finished(progress.any_segment.video):
                raise
            progress.done = True
            return [], None


def _added(a: Work, b: Work) -> Work:
    return Work(*(getattr(a, f.name) + getattr(b, f.name) for f in fields(Work)))


def _by_video(outcome: SegmentOutcome) -> tuple[str, SegmentOutcome]:
    return outcome.segment.video.video_id, outcome


@dataclass
class SaveParts(beam.PTransform):  # type: ignore[misc]
    """A SegmentLandmarks is saved and becomes the SegmentPart that stands in for it."""

    workplace: Workplace

    def expand(
        self, landmarks: beam.PCollection[SegmentLandmarks]
    ) -> beam.PCollection[SegmentPart]:
        """Writes each part under its own name."""
        return landmarks | "Save" >> beam.Map(_save, self.workplace)


def _save(landmarks: SegmentLandmarks, workplace: Workplace) -> SegmentPart:
    return save_part(workplace.staging(landmarks.segment.video), landmarks)


@dataclass
class StabilizeTracks(beam.PTransform):  # type: ignore[misc]
    """A video's SegmentOutcomes become one VideoTracks."""

    workplace: Workplace
    stabilizer: str = "none"

    def expand(self, outcomes: beam.PCollection[SegmentOutcome]) -> beam.PCollection[VideoTracks]:
        """Keys by video_id and walks the segments in order."""
        return (
            outcomes
            | "ByVideo" >> beam.Map(_by_video).with_output_types(tuple[str, Any])
            | "Walk" >> beam.ParDo(_StabilizeFn(self.workplace, self.stabilizer))
        )
