"""Redaction: hidden areas and times, unchanged parts, and faces that a detector still finds."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import drifting, write_clip

from pipeline.commands.sample import write_sample
from pipeline.videos.redaction import face_covers, hide_face, redact
from pipeline.videos.track_file import TrackRows, read_track_file
from schemas.errors import UsageError
from tests.hostile.encoding import Recipe, encode, moving

MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("redaction") / "clip.mp4"
    write_sample(path, seconds=0.4, size_px=128)
    return path


@pytest.fixture(scope="module")
def truth(clip: Path) -> TrackRows:
    return read_track_file(str(clip.with_name("clip.truth.parquet")))


def rows(pts: list[int], boxes: list[list[float]], *, spread_px: float = np.nan) -> TrackRows:
    """One face with all landmarks in the middle of its boxes."""
    boxes_px = np.array(boxes, float)
    middle = (boxes_px[:, :2] + boxes_px[:, 2:]) / 2
    points = np.repeat(middle[:, None], 68, axis=1)
    return TrackRows(
        pts=np.array(pts), pts_seconds=np.array(pts) / 1000, frame_index=np.arange(len(pts)),
        face_id=np.zeros(len(pts), np.int32), boxes_xyxy_px=boxes_px,
        box_source=["detected"] * len(pts), landmarks_px=points, raw_landmarks_px=points,
        spread_px=np.full((len(pts), 68), spread_px),
    )  # fmt: skip


def frames_of(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            (float(f.pts * f.time_base), f.to_ndarray(format="rgb24"))
            for f in container.decode(video=0)
        ]


def test_a_gap_is_bridged_and_the_ends_are_held():
    (cover,) = face_covers(rows([1000, 2000], [[0, 0, 10, 20], [20, 10, 30, 30]]), MILLISECOND)
    np.testing.assert_allclose(cover.at(1000), [-3, -3, 13, 23])  # 0.15 of 20 px
    np.testing.assert_allclose(cover.at(1500), [7, 2, 23, 28])
    np.testing.assert_allclose(cover.at(750), cover.at(1000))
    np.testing.assert_allclose(cover.at(2250), cover.at(2000))
    assert cover.at(749) is None
    assert cover.at(2251) is None


def test_the_margin_grows_with_the_spread():
    (cover,) = face_covers(rows([0], [[0, 0, 10, 20]], spread_px=2.0), MILLISECOND)
    np.testing.assert_allclose(cover.at(0), [-6, -6, 16, 26])


def test_a_landmark_outside_its_box_is_covered():
    tracks = rows([0], [[0, 0, 10, 20]])
    tracks.landmarks_px[0, 8] = 5, 40
    (cover,) = face_covers(tracks, MILLISECOND, margin=0)
    np.testing.assert_allclose(cover.at(0), [0, 0, 10, 40])


@pytest.mark.parametrize("style", ["pixelate", "blur", "fill"])
def test_no_detail_is_left_inside_and_all_outside(style):
    noise = np.random.default_rng(0).integers(0, 256, (90, 80, 3)).astype(np.uint8)
    image = noise.copy()
    hide_face(image, np.array([20.0, 30.0, 59.0, 79.0]), style)
    inside = np.zeros((90, 80), bool)
    inside[30:80, 20:60] = True
    np.testing.assert_array_equal(image[~inside], noise[~inside])
    # 4 x 5 cells of 100 px: of noise of 74 a mean of so many has 7.4.
    assert image[inside].std() < 20
    assert len(np.unique(image[inside], axis=0)) < {"pixelate": 21, "blur": 2001, "fill": 2}[style]


def test_a_box_outside_the_frame_hides_nothing():
    image = np.full((8, 8, 3), 7, np.uint8)
    hide_face(image, np.array([9.0, 0.0, 20.0, 5.0]))
    hide_face(image, np.array([-9.0, -9.0, -2.0, -2.0]))
    assert (image == 7).all()


def test_frames_keep_their_times_and_what_is_no_face(clip, truth, tmp_path):
    assert redact(str(clip), truth, tmp_path / "hidden.mp4") == 10
    before, after = frames_of(clip), frames_of(tmp_path / "hidden.mp4")
    assert [seconds for seconds, _ in after] == [seconds for seconds, _ in before]
    x, y = truth.landmarks_px[5, 30].round().astype(int)
    one, other = (frames[5][1].astype(int) for frames in (before, after))
    face = np.s_[y - 16 : y + 16, x - 16 : x + 16]
    assert np.abs(one[face] - other[face]).mean() > 10
    assert np.abs(one[:20, :20] - other[:20, :20]).mean() < 3
    assert [p.name for p in tmp_path.iterdir()] == ["hidden.mp4"]


def test_rotation_variable_rate_odd_sides_and_shape_of_pixels(tmp_path):
    """A frame of 48 x 33 px, rotated by 90 degrees: its upright top left is white."""
    picture = np.full((34, 48, 3), 40, np.uint8)
    picture[17:, :24] = 250  # stored bottom left is upright top left
    clip = write_clip(
        tmp_path / "turned.mkv", [picture] * 4, rate=1000, pts=[0, 40, 200, 1210],
        rotation_deg=90, sample_aspect_ratio=Fraction(4, 3),
    )  # fmt: skip
    tracks = rows([0, 40, 200, 1210], [[18, 30, 30, 44]] * 4)
    redact(str(clip), tracks, tmp_path / "hidden.mp4")
    with av.open(str(tmp_path / "hidden.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (34, 48)
        assert stream.sample_aspect_ratio == Fraction(3, 4)
    frames = frames_of(tmp_path / "hidden.mp4")
    assert [seconds for seconds, _ in frames] == pytest.approx([0, 0.04, 0.2, 1.21])
    for _, image in frames:
        assert image[:10, :10].min() > 220
        assert image[:10, 26:].max() < 70
        assert image[30:, :10].max() < 70


def test_a_video_that_starts_before_zero_keeps_all_its_frames(tmp_path):
    """Players leave out what comes before 0, so the copy starts there."""
    shown = Recipe(at=range(-10, 5), mux={"avoid_negative_ts": "disabled"})
    clip = encode(tmp_path / "negative.mkv", moving(15), shown)
    tracks = rows(list(clip.pts), [[18, 30, 30, 44]] * 15)
    assert redact(str(clip.path), tracks, tmp_path / "hidden.mp4") == 15
    times = [seconds for seconds, _ in frames_of(tmp_path / "hidden.mp4")]
    assert times == pytest.approx([0.04 * frame for frame in range(15)])


def test_sound_and_metadata_are_copied_and_pictures_are_not(clip, truth, tmp_path):
    loud = tmp_path / "loud.mp4"
    with av.open(str(clip)) as source, av.open(str(loud), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        out.metadata["title"] = "A talk"
        sound = out.add_stream("aac", rate=16_000)
        sound.layout, sound.metadata["language"] = "mono", "fra"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        for start in range(0, 6400, 1024):
            tone = np.sin(np.arange(start, start + 1024) / 10)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))

    def sound_of(path: Path) -> list[tuple[float, bytes]]:
        with av.open(str(path)) as container:
            packets = container.demux(audio=0)
            return [(float(p.pts * p.time_base), bytes(p)) for p in packets if p.size]

    for name in ("hidden.mp4", "hidden.mkv"):
        redact(str(loud), truth, tmp_path / name)
        before, after = sound_of(loud), sound_of(tmp_path / name)
        assert [content for _, content in after] == [content for _, content in before]
        assert [at for at, _ in after] == pytest.approx([at for at, _ in before], abs=1e-3)
        with av.open(str(tmp_path / name)) as container:
            assert {k.lower(): v for k, v in container.metadata.items()}["title"] == "A talk"
            assert container.streams.audio[0].metadata["language"] == "fra"
            assert len(container.streams.video) == 1


def test_only_the_range_that_was_annotated_is_written(clip, tmp_path):
    part = rows([1024, 1536, 2048], [[30, 30, 90, 90]] * 3)  # frames 2 to 4, of 512 each
    part = replace(part, range_seconds=(0.08, 0.2))
    assert redact(str(clip), part, tmp_path / "hidden.mkv") == 3


def test_what_is_refused(clip, truth, tmp_path):
    other = write_clip(tmp_path / "other.mp4", drifting(5, 64, 64), pts=[3, 5, 7, 9, 11])
    with pytest.raises(UsageError, match="got tracks with faces at 10 times"):
        redact(str(other), truth, tmp_path / "hidden.mp4")
    with pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv"):
        redact(str(clip), truth, tmp_path / "hidden.avi")
    with pytest.raises(UsageError, match="got 'smear', expected one of pixelate"):
        redact(str(clip), truth, tmp_path / "hidden.mp4", style="smear")
    with pytest.raises(UsageError, match="margin: got -1"):
        redact(str(clip), truth, tmp_path / "hidden.mp4", margin=-1)
    assert [p.name for p in tmp_path.iterdir()] == ["other.mp4"]
