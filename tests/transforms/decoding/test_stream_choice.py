"""The choice among several video streams, and its columns in the status row."""

import av
import pytest
from clips import drifting, whole_video, write_clip, write_streams

from schemas.errors import ContainerError
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.video_source import open_video

Disposition = av.stream.Disposition
SIZES = {"small": (64, 48), "large": (160, 120)}


def clip(size, count=20):
    return drifting(count, *SIZES[size])


def taken(path, stream_index=None):
    """(index, streams, frames, width) of the decoded stream."""
    whole = whole_video(str(path), stream_index)
    with open_video(str(path), segment=whole) as opened:
        frames = [frame for _, frame in FrameStream(whole, opened)]
    return (
        whole.metadata.stream_index,
        whole.metadata.streams,
        len(frames),
        frames[0].planes[0].shape[1],
    )


def test_a_still_picture_before_the_video(tmp_path):
    path = write_streams(
        tmp_path / "still.mkv",
        [
            (clip("large", 1), "mjpeg", "yuvj420p", None),
            (clip("small"), "libx264", "yuv420p", None),
        ],
    )
    assert taken(path) == (1, 2, 20, 64)


def test_the_default_stream_before_a_larger_one(tmp_path):
    path = write_streams(
        tmp_path / "default.mkv",
        [
            (clip("large"), "libx264", "yuv420p", Disposition(0)),
            (clip("small"), "libx264", "yuv420p", Disposition.default),
        ],
    )
    assert taken(path) == (1, 2, 20, 64)
    assert taken(path, 0) == (0, 2, 20, 160)


def test_of_equals_the_larger(tmp_path):
    path = write_streams(
        tmp_path / "larger.ts",
        [
            (clip("small"), "libx264", "yuv420p", None),
            (clip("large"), "libx264", "yuv420p", None),
        ],
    )
    assert taken(path) == (1, 2, 20, 160)
    assert taken(path, 0) == (0, 2, 20, 64)


def test_an_alpha_plane_is_not_the_video(tmp_path):
    path = write_streams(
        tmp_path / "alpha.mkv",
        [
            (clip("small"), "ffv1", "gray", None),
            (clip("small"), "libx264", "yuv420p", None),
        ],
    )
    assert taken(path)[:3] == (1, 2, 20)


def test_an_animated_avif(tmp_path):
    """Its first stream is a still, the picture for who shows but one."""
    path = write_streams(tmp_path / "moving.avif", [(clip("small"), "libsvtav1", "yuv420p", None)])
    assert taken(path) == (1, 2, 20, 64)
    assert taken(path, 0)[2] == 1


@pytest.mark.parametrize("wanted", [1, 7])
def test_a_stream_that_is_no_video(tmp_path, wanted):
    path = write_clip(tmp_path / "one.mp4", clip("small"))
    with pytest.raises(ContainerError, match=f"got stream {wanted}.*it has: 0") as told:
        taken(path, wanted)
    assert told.value.reason == "no_video_stream"


def test_bytes_through_fsspec(tmp_path):
    import fsspec

    path = write_streams(
        tmp_path / "two.mkv",
        [
            (clip("large", 1), "mjpeg", "yuvj420p", None),
            (clip("small"), "libx264", "yuv420p", None),
        ],
    )
    fsspec.filesystem("memory").pipe("/streams/two.mkv", path.read_bytes())
    assert taken("memory://streams/two.mkv") == (1, 2, 20, 64)


def test_no_stream_without_frames(tmp_path):
    """A declared stream without packets beside one with packets."""
    path = write_streams(
        tmp_path / "silent.ts",
        [
            ([], "mpeg2video", "yuv420p", None),
            (clip("large"), "mpeg2video", "yuv420p", None),
        ],
    )
    assert taken(path) == (1, 2, 20, 160)
