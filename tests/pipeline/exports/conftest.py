"""A hand-made output of `annotate` with the tracks in `exported_tracks`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exported_tracks import VIDEOS, track_table

from pipeline.exports.exported_video import ExportedVideo, exported_videos
from schemas.records import Video, VideoFailure
from schemas.videos import VIDEO_SCHEMA
from transforms.storage.output_tables import OutputFolder
from transforms.write_tracks import failure_row


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exports") / "OUT"
    folder = OutputFolder(root)
    for name in ("tracks", "videos"):
        (root / name).mkdir(parents=True)
    for video_id, (width, height, turn, times, _) in VIDEOS.items():
        pq.write_table(track_table(video_id), str(folder.tracks_of(video_id)))
        row = failure_row(VideoFailure(Video(video_id, f"clips/{video_id}"), "", ""), "")
        row |= {"status": "ok", "width": width, "height": height, "rotation_deg": turn}
        row |= {"average_fps": 25.0, "frames_decoded": len(times)}
        table = pa.Table.from_pylist([row], schema=VIDEO_SCHEMA)
        pq.write_table(table, str(folder.status_of(video_id)))
    row = failure_row(VideoFailure(Video("bad.mp4", "bad.mp4"), "not_a_video", "no video"), "")
    table = pa.Table.from_pylist([row], schema=VIDEO_SCHEMA)
    pq.write_table(table, str(folder.status_of("bad.mp4")))
    return root


@pytest.fixture(scope="module")
def videos(output: Path) -> dict[str, ExportedVideo]:
    return {video.video_id: video for video in exported_videos(str(output))}
