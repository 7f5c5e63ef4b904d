"""`facetracks redact` from an output folder, which must contain all tracks of the video."""

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.commands.sample import write_sample
from schemas.records import Video, VideoFailure
from schemas.videos import VIDEO_SCHEMA
from transforms.write_tracks import failure_row


def test_command(facetracks, tmp_path):
    clip, output = tmp_path / "clip.mp4", tmp_path / "OUT"
    truth = write_sample(clip, seconds=0.2, size_px=64)
    for folder in ("tracks", "videos"):
        (output / folder).mkdir(parents=True)
    truth.rename(output / "tracks" / "clip.mp4.parquet")
    row = failure_row(VideoFailure(Video("clip.mp4", str(clip)), "decoder_hung", "it hung"), "")
    for lost, status in ((1, 2), (0, 0)):
        row |= {"status": "partial", "segments": 2, "segments_failed": lost}
        table = pa.Table.from_pylist([row], schema=VIDEO_SCHEMA)
        pq.write_table(table, output / "videos" / "clip.mp4.parquet")
        ended = facetracks("redact", clip, "--tracks", output, "--to", tmp_path / "hidden.mp4")
        assert ended.status == status
        assert (tmp_path / "hidden.mp4").exists() == (status == 0)
        if lost:
            assert "without 1 of its segments (it hung)" in ended.err
            assert "--retry decoder_hung" in ended.err
    assert ended.out == f"{tmp_path / 'hidden.mp4'}: 5 frames, 1 faces hidden\n"
    assert "frames: 100%" in ended.err
