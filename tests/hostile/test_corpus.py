"""The files of the corpus have the properties that their cases state, in a plain decoder."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.hostile.damage import cut_short, flip_bytes, overwrite, packet_places, zero_packets
from tests.hostile.encoding import Recipe, encode, flat, moving
from tests.hostile.odd_files import write_odd_files
from tests.hostile.odd_times import write_lying_headers, write_odd_times


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Every valid file."""
    folder = tmp_path_factory.mktemp("sound")
    cases = [
        *write_odd_files(folder),
        *write_odd_times(folder / "times"),
        *write_lying_headers(folder / "lies"),
    ]
    assert max(Counter(case.name for case in cases).values()) == 1
    return folder


def look(path: Path) -> tuple[list[Any], list[Any], Any]:
    """Packets, frames, and the codec context of one plain pass."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets, frames = [], []
        for packet in container.demux(stream):
            packets.append((packet.pts, packet.dts, packet.is_keyframe, packet.size))
            frames += packet.decode()
        return [p for p in packets if p[3]], frames, stream.codec_context


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("codecs/h264.mp4", "h264", "yuv420p"),
        ("codecs/hevc.hevc", "hevc", "yuv420p"),
        ("codecs/vp8.webm", "vp8", "yuv420p"),
        ("codecs/vp9.mp4", "vp9", "yuv420p"),
        ("codecs/av1.obu", "av1", "yuv420p"),
        ("codecs/mpeg1.m1v", "mpeg1video", "yuv420p"),
        ("codecs/mpeg2.ts", "mpeg2video", "yuv420p"),
        ("codecs/mpeg4.avi", "mpeg4", "yuv420p"),
        ("codecs/mjpeg.mov", "mjpeg", "yuvj420p"),
        ("codecs/anim.gif", "gif", "bgra"),
        ("colours/10-bit.mp4", "h264", "yuv420p10le"),
        ("colours/10-bit-hevc.mp4", "hevc", "yuv420p10le"),
        ("colours/422.mp4", "h264", "yuv422p"),
        ("colours/422-10.mov", "h264", "yuv422p10le"),
        ("colours/444.mp4", "h264", "yuv444p"),
        ("colours/rgb.mp4", "h264", "gbrp"),
        ("colours/alpha-png.mov", "png", "rgba"),
        ("colours/alpha-rle.mov", "qtrle", "argb"),
    ],
)
def test_codecs_and_pixel_formats(sound, name, codec, pixel_format):
    _, frames, context = look(sound / name)
    assert context.name.removeprefix("lib").replace("dav1d", "av1") == codec
    assert frames[0].format.name == pixel_format


@pytest.mark.parametrize(
    ("name", "matrix", "span"),
    [
        ("limited-601", 6, 1),
        ("limited-709", 1, 1),
        ("full-601", 6, 2),
        ("full-709", 1, 2),
    ],
)
def test_ranges_and_matrices(sound, name, matrix, span):
    _, frames, _ = look(sound / "colours" / f"{name}.mp4")
    assert (frames[0].colorspace, frames[0].color_range) == (matrix, span)


def test_matrices_and_ranges_are_stored_differently(sound):
    """The same colour has different samples in each, so that a confusion is detected."""
    stored = set()
    for name in ("limited-601", "limited-709", "full-601", "full-709"):
        _, frames, _ = look(sound / "colours" / f"{name}.mp4")
        planes = frames[0].to_ndarray().reshape(-1)
        stored.add((int(planes[0]), int(planes[96 * 72]), int(planes[-1])))
    assert len(stored) == 4


@pytest.mark.parametrize("name", ["codecs/h264-open-gop.mp4", "codecs/hevc-open-gop.mkv"])
def test_open_gops_have_frames_that_lead_their_key_frame(sound, name):
    packets, _, _ = look(sound / name)
    later = [i for i, p in enumerate(packets) if p[2] and i]
    assert later
    assert any(p[0] < packets[i][0] for i in later for p in packets[i + 1 : i + 4])


def test_closed_gops_have_none(sound):
    packets, _, _ = look(sound / "codecs" / "h264-b.mp4")
    later = [i for i, p in enumerate(packets) if p[2] and i]
    assert later
    assert not any(p[0] < packets[i][0] for i in later for p in packets[i + 1 :])


def test_b_frames_and_none(sound):
    for name, reordered in (("h264.mp4", False), ("h264-b.mp4", True)):
        pts = [p[0] for p in look(sound / "codecs" / name)[0]]
        assert (pts != sorted(pts)) is reordered


@pytest.mark.parametrize("name", ["interlaced.mp4", "interlaced.mpg"])
def test_interlaced_frames_say_so(sound, name):
    assert look(sound / "codecs" / name)[1][0].interlaced_frame


def test_alpha_in_webm_is_there(sound):
    """FFmpeg's own VP9 decoder ignores the alpha plane, which the container declares."""
    with av.open(str(sound / "colours" / "alpha.webm")) as container:
        tags = {k.lower(): v for k, v in container.streams.video[0].metadata.items()}
    assert tags["alpha_mode"] == "1"


def test_turned_and_squeezed(sound):
    for turn in (0, 90, 180, 270):
        frame = look(sound / "faces" / f"turned-{turn}.mp4")[1][0]
        assert -frame.rotation % 360 == turn
        assert (frame.width, frame.height) == ((120, 160) if turn % 180 else (160, 120))
    _, _, context = look(sound / "faces" / "pixels-4-3.mkv")
    assert context.sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("suffix", ["ts", "h264", "webm"])
def test_the_size_changes_midway(sound, suffix):
    sizes = [(f.width, f.height) for f in look(sound / "sizes" / f"resized.{suffix}")[1]]
    assert sizes == [(96, 72)] * 25 + [(128, 96)] * 25


def test_times_are_odd(sound):
    def stored(name: str) -> list[int]:
        return [frame.pts for frame in look(sound / "times" / name)[1]]

    assert stored("negative.flv")[:6] == [-200, -160, -120, -80, -40, 0]
    assert stored("unordered.flv")[:6] == [0, 40, -20, 120, 160, 200]
    assert np.diff(stored("gap.mkv")).max() == 20_040
    assert stored("restarting.ts") == 2 * list(range(0, 50 * 3600, 3600))
    assert stored("late.mp4")[0] == 100 * 12_800
    assert len(stored("edit-both.mp4")) == 30
    assert sum(p[2] for p in look(sound / "times" / "long-gop.mp4")[0]) == 1


def test_headers_lie(sound):
    for name, frames, seconds in (
        ("count-7.avi", 7, None),
        ("count-99999.ivf", 99_999, None),
        ("count.mp4", 5000, None),
        ("long.mp4", 50, 200.0),
        ("long-200.mkv", 0, 200.0),
        ("long-0.1.flv", 0, 0.1),
    ):
        with av.open(str(sound / "lies" / name)) as container:
            assert container.streams.video[0].frames == frames
            if seconds is not None:
                told = container.duration / av.time_base
                assert told == pytest.approx(seconds, rel=0.01) or name == "long.mp4"


def test_what_damage_does(tmp_path):
    clip = encode(tmp_path / "clip.mp4", moving(10), Recipe(gop=1))
    sound_bytes = clip.path.read_bytes()
    places = packet_places(clip.path)
    assert [p.pts for p in places] == list(clip.pts or ())
    zero_packets(clip.path, [3])
    content = clip.path.read_bytes()
    assert set(content[places[3].start : places[3].stop]) == {0}
    assert content[: places[3].start] == sound_bytes[: places[3].start]
    assert content[places[3].stop :] == sound_bytes[places[3].stop :]
    flip_bytes(clip.path, 5, seed=1, first_share=0.5)
    flipped = np.frombuffer(clip.path.read_bytes(), np.uint8) ^ np.frombuffer(content, np.uint8)
    assert sorted(flipped)[-5:] == [255] * 5
    assert np.count_nonzero(flipped) == 5
    assert np.flatnonzero(flipped)[0] >= len(content) // 2
    assert cut_short(clip.path, 10) == len(content) // 10 == clip.path.stat().st_size
    with pytest.raises(ValueError, match="0 times"):
        overwrite(clip.path, b"nothing like it", 0, b"")


def test_flat_pictures_are_flat():
    (picture,) = flat(1, 4, 2, (1, 2, 3))
    assert picture.shape == (2, 4, 3)
    assert (picture == (1, 2, 3)).all()


def test_a_stream_appears_where_nobody_looks_for_it(sound):
    with av.open(str(sound / "codecs" / "new-stream.ts")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    with av.open(str(sound / "codecs" / "sound-first.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
