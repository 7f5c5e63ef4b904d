"""WriteTracks: writes a track file and a status row for every video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import apache_beam as beam

from schemas.records import Video, VideoFailure, VideoTracks
from schemas.videos import VIDEO_SCHEMA
from transforms.calls_in_parallel import OutputCalls
from transforms.run_metrics import count, record_cpu, record_seconds
from transforms.storage.run_output import RunOutput
from transforms.storage.track_files import merge_track_parts

#: Ranges of lost frames that a message lists; the row has them all.
_MAX_RANGES = 5
#: Of SegmentStats, and of a status row.
_STAGE_SECONDS: Final = ("decode_seconds", "detect_seconds", "crop_seconds", "align_seconds")
#: Values of a status row without results.
_NOTHING: Final[Mapping[str, Any]] = {f.name: None if f.nullable else 0 for f in VIDEO_SCHEMA}


def write_video(tracks: VideoTracks, run_output: RunOutput) -> dict[str, Any]:
    """Writes one video's tracks and, after them, its status row, which it returns.

    A video without frames gets a row and no track file.
    """
    start = time.perf_counter()
    row = status_row(tracks, run_output.config_hash)
    if row["status"] == "failed":
        run_output.remove_tracks(tracks.video)
    else:
        metadata = dict(run_output.provenance) | {
            "config": dict(run_output.config),
            "config_hash": run_output.config_hash,
            "video": asdict(tracks.video),
            "time_base": str(tracks.metadata.time_base),
            "stream_index": tracks.metadata.stream_index,
        }
        url = str(run_output.folder.tracks_of(tracks.video.video_id))
        row["face_frames"] = merge_track_parts(
            url, tracks.part_urls, metadata, tracks.face_ids, run_output.track_format
        )
    row["write_seconds"] = time.perf_counter() - start
    row["elapsed_seconds"] += row["write_seconds"]
    run_output.write_status(tracks.video, row)
    return row


def status_row(tracks: VideoTracks, config_hash: str) -> dict[str, Any]:
    """The status row of a video that was decoded at least in part."""
    status, reason, message = _verdict(tracks)
    source, geometry, stats = tracks.metadata, tracks.geometry, tracks.stats
    duration = average_fps = None
    if tracks.first_pts is not None and tracks.last_pts is not None:
        span_pts = tracks.last_pts - tracks.first_pts
        duration = float((span_pts + source.step_pts) * source.time_base)
        if span_pts:
            average_fps = (tracks.frames - 1) / float(span_pts * source.time_base)
    seconds = {name: getattr(stats, name) for name in _STAGE_SECONDS}
    seconds["stabilize_seconds"] = tracks.stabilize_seconds
    row = _blank(tracks.video, config_hash) | {
        "status": status,
        "reason": reason,
        "message": message,
        "stream_index": source.stream_index,
        "streams": source.streams,
        "codec": source.codec,
        "pixel_format": source.pixel_format,
        "time_base": str(source.time_base),
        "duration_seconds": duration,
        "average_fps": average_fps,
        "frames_expected": source.frames_expected,
        "frames_decoded": tracks.frames,
        "repeats": tracks.repeats,
        "lost_pts": [list(lost) for lost in tracks.lost_pts],
        "packets_bad": stats.packets_bad,
        "faces": tracks.faces,
        "face_frames": tracks.rows,
        "segments": tracks.segments,
        "segments_failed": len(tracks.failures),
        "elapsed_seconds": sum(seconds.values()),
        **seconds,
    }
    if geometry is not None:
        aspect = geometry.sample_aspect_ratio
        row |= {
            "width": geometry.width_px,
            "height": geometry.height_px,
            "rotation_deg": geometry.rotation_deg,
            "mirrored": geometry.mirrored,
            "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}",
        }
    return row


def failure_row(failure: VideoFailure, config_hash: str) -> dict[str, Any]:
    """The status row of a video that failed before anything was decoded."""
    return _blank(failure.video, config_hash) | {
        "status": "failed",
        "reason": failure.reason,
        "message": failure.message,
    }


def _verdict(tracks: VideoTracks) -> tuple[str, str | None, str | None]:
    """Status, reason and message."""
    uri, failures = tracks.video.uri, tracks.failures
    if tracks.frames == 0:
        if failures:
            return "failed", failures[0].reason, failures[0].message
        bad = tracks.stats.packets_bad
        return "failed", "no_frames", f"{uri}: no frame could be decoded ({bad} bad packets)"
    if failures:
        rest = f" (and {len(failures) - 1} more segments)" if len(failures) > 1 else ""
        return "partial", failures[0].reason, failures[0].message + rest
    if tracks.metadata.bytes_missing:
        lacks = f"the file is truncated: {tracks.metadata.bytes_missing} bytes are missing"
        return "partial", "truncated", f"{uri}: {lacks}"
    if tracks.stats.packets_bad or tracks.lost_pts:
        lost = ", ".join(_seconds(lost, tracks) for lost in tracks.lost_pts[:_MAX_RANGES])
        more = ", ..." if len(tracks.lost_pts) > _MAX_RANGES else ""
        where = f" at {lost}{more}" if lost else ""
        return "partial", "bad_packets", f"{uri}: frames are missing or damaged{where}"
    if tracks.rows == 0:
        return "ok", "no_face", f"{uri}: no face in any of {tracks.frames} frames"
    return "ok", None, None


def _seconds(lost: tuple[int, int], tracks: VideoTracks) -> str:
    start, stop = (float(pts * tracks.metadata.time_base) for pts in lost)
    return f"{start:.2f}-{stop:.2f} s"


def _blank(video: Video, config_hash: str) -> dict[str, Any]:
    names = {"video_id": video.video_id, "uri": video.uri, "config_hash": config_hash}
    return {**_NOTHING, "lost_pts": [], **names}


class _WriteFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, run_output: RunOutput) -> None:
        self._run_output = run_output

    def process(self, tracks: VideoTracks) -> Iterator[Video]:
        cpu_start = time.thread_time()
        try:
            row = write_video(tracks, self._run_output)
        except FileNotFoundError:
            # A retry after the parts were removed; without a status row it is a bug.
            if not self._run_output.is_finished(tracks.video):
                raise
        else:
            count("track_rows", row["face_frames"])
            count("faces", row["faces"])
            record_seconds("stabilize", row["stabilize_seconds"])
            record_seconds("write", row["write_seconds"])
            record_cpu("write", time.thread_time() - cpu_start)
            _count_video(row)
        yield tracks.video


class _WriteFailureFn(OutputCalls):
    def call(self, failure: VideoFailure) -> tuple[Video, dict[str, Any]]:
        self._run_output.remove_tracks(failure.video)
        row = failure_row(failure, self._run_output.config_hash)
        self._run_output.write_status(failure.video, row)
        return failure.video, row

    def results(self, outcome: tuple[Video, dict[str, Any]]) -> list[Video]:
        video, row = outcome
        _count_video(row)
        return [video]


class _CleanUpFn(OutputCalls):
    def call(self, video: Video) -> str:
        self._run_output.staging(video).remove()
        return video.video_id


def _count_video(row: dict[str, Any]) -> None:
    count(f"videos_{row['status']}")
    if row["reason"]:
        count(f"videos_{row['reason']}")


@dataclass
class WriteTracks(beam.PTransform):  # type: ignore[misc]
    """Writes VideoTracks and VideoFailures as files; emits the video_ids that are done.

    Parts are removed only after a Reshuffle has committed that their video is written.
    """

    run_output: RunOutput

    def expand(
        self, inputs: tuple[beam.PCollection[VideoTracks], beam.PCollection[VideoFailure]]
    ) -> beam.PCollection[str]:
        """Writes track files and status rows, then removes the parts."""
        tracks, failures = inputs
        written = tracks | "WriteVideo" >> beam.ParDo(_WriteFn(self.run_output))
        failed = failures | "WriteFailure" >> beam.ParDo(_WriteFailureFn(self.run_output))
        return (
            (written, failed)
            | "Written" >> beam.Flatten()
            | "Commit" >> beam.Reshuffle()
            | "CleanUp" >> beam.ParDo(_CleanUpFn(self.run_output))
        )
