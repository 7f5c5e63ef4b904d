"""Crops: position, transforms back to the frame, filters, and sound."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import write_clip

from models.crops import crop_to_image, image_to_crop
from pipeline.commands.sample import write_sample
from pipeline.videos.crop_plan import CropFilter, crop_transforms, kept_rows, runs_of
from pipeline.videos.cropping import crop
from pipeline.videos.track_file import TrackRows, read_track_file
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cropping") / "clip.mp4"
    write_sample(path, seconds=0.4, size_px=128)
    return path


@pytest.fixture(scope="module")
def truth(clip: Path) -> TrackRows:
    return read_track_file(str(clip.with_name("clip.truth.parquet")))


def faces(count: int, *, box: tuple[int, int, int, int] = (20, 10, 60, 60)) -> TrackRows:
    """One face over frames 0, 1, ... of 40 ms, with level eyes and a mean of 40, 35."""
    points = np.tile(np.array([40.0, 35.0]), (count, 68, 1))
    points[:, 36:42] -= 8, 0  # its right eye is left in the picture
    points[:, 42:48] += 8, 0
    numbers = np.arange(count)
    return TrackRows(
        pts=numbers * 40, pts_seconds=numbers / 25, frame_index=numbers,
        face_id=np.zeros(count, np.int32), boxes_xyxy_px=np.tile(np.array(box, float), (count, 1)),
        box_source=["detected"] * count, landmarks_px=points, raw_landmarks_px=points,
        spread_px=np.full((count, 68), 1.0),
        quality={"score": np.linspace(0.5, 0.9, count), "yaw_deg": np.linspace(-40, 20, count)},
    )  # fmt: skip


def corners(transform: np.ndarray, size_px: int) -> np.ndarray:
    """The outer edges of a crop in the frame: top left, top right, bottom left."""
    low, high = -0.5, size_px - 0.5
    return crop_to_image(np.array([[low, low], [high, low], [low, high]]), transform)


def test_a_crop_is_the_square_around_the_landmarks_mean():
    """The median longer side, 50 px, and a margin of half of it: 100 px."""
    tracks = faces(3)
    tracks.boxes_xyxy_px[1] = 0, 0, 300, 300  # a box that jumps changes nothing
    for transform in crop_transforms(tracks, size_px=64, margin=0.5):
        np.testing.assert_allclose(
            corners(transform, 64), [[-10, -15], [90, -15], [-10, 85]], atol=1e-9
        )


def test_pixels_that_are_not_square_become_square():
    tracks = faces(1, box=(20, 10, 45, 60))  # 25 px of 2:1 are as wide as 50 px are high
    (transform,) = crop_transforms(tracks, size_px=64, margin=0.0, pixel_aspect=2.0)
    expected = [[27.5, 10], [52.5, 10], [27.5, 60]]
    np.testing.assert_allclose(corners(transform, 64), expected, atol=1e-9)


@pytest.mark.parametrize("angle_deg", [0, 25, 90, 180, -120])
def test_eyes_are_level_unless_the_rotation_is_kept(angle_deg):
    tracks = faces(1)
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    middle = tracks.landmarks_px.mean(1, keepdims=True)
    turned = (tracks.landmarks_px - middle) @ np.array([[c, s], [-s, c]]) + middle
    tracks = replace(tracks, landmarks_px=turned)
    (level,) = crop_transforms(tracks, size_px=64, margin=0.3)
    (kept,) = crop_transforms(tracks, size_px=64, margin=0.3, keep_rotation=True)
    across = image_to_crop(turned[0, 42], level) - image_to_crop(turned[0, 36], level)
    assert across == pytest.approx([16 * 64 / 80, 0], abs=1e-9)
    across = image_to_crop(turned[0, 42], kept) - image_to_crop(turned[0, 36], kept)
    assert across == pytest.approx([16 * 64 / 80 * c, 16 * 64 / 80 * s], abs=1e-9)


def test_landmarks_map_into_the_crop_and_back(clip, truth, tmp_path):
    done = crop(str(clip), truth, str(tmp_path), format="png", size_px=96)
    table = pq.ParquetFile(done.table).read()
    assert (done.crops, done.files, table.num_rows) == (10, 10, 10)
    for row in table.to_pylist():
        transform = np.array(row["crop_to_image"]).reshape(2, 3)
        inside = np.stack([row["x"], row["y"]], -1)
        at = row["frame_index"]
        np.testing.assert_allclose(
            crop_to_image(inside, transform), truth.landmarks_px[at], atol=1e-3
        )
        assert (inside[36:48] > 0).all()
        assert (inside[36:48] < 96).all()
        picture = cv2.imread(str(tmp_path / row["file"]))
        assert picture.shape == (96, 96, 3)
    # The crop equals a sample of a plainly decoded frame by the transform.
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="bgr24")
    transform = np.array(table["crop_to_image"][0].as_py()).reshape(2, 3)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plain = cv2.warpAffine(frame, transform, (96, 96), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    first = cv2.imread(str(tmp_path / table["file"][0].as_py())).astype(int)
    assert np.abs(first - plain).mean() < 3


def test_turned_video_is_cropped_upright(tmp_path):
    """Stored bottom left is upright top left if a player rotates by 90 degrees."""
    picture = np.full((64, 96, 3), 40, np.uint8)
    picture[32:, :48] = 250
    clip = write_clip(tmp_path / "turned.mp4", [picture] * 2, rate=25, rotation_deg=90)
    tracks = faces(2, box=(0, 0, 20, 28))
    tracks = replace(tracks, landmarks_px=tracks.landmarks_px - [24, 15])  # mean 16, 20
    tracks = replace(tracks, pts=np.array([0, 512]))
    crop(str(clip), tracks, str(tmp_path / "to"), format="png", size_px=32, margin=0.0)
    pictures = sorted((tmp_path / "to" / "face_0").iterdir())
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).min() > 220


def test_runs_end_at_gaps_and_short_ones_are_left_out():
    tracks = faces(8)
    kept = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert runs_of(tracks, kept, 1) == [[0, 1], [3, 4, 5], [7]]
    assert runs_of(tracks, kept, 2) == [[0, 1], [3, 4, 5]]


def test_frames_that_were_annotated_a_few_a_second_follow_one_another():
    tracks = replace(faces(7), frame_index=np.array([0, 5, 10, 16, 20, 60, 65]))
    assert runs_of(tracks, np.ones(7, bool), 1) == [[0, 1, 2, 3, 4], [5, 6]]


def test_limits():
    tracks = faces(5)  # scores 0.5 to 0.9, yaw -40 to 20, spread 1 of 50 px
    assert kept_rows(tracks, CropFilter()).tolist() == [True] * 5
    assert kept_rows(tracks, CropFilter(min_score=0.65)).tolist() == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert kept_rows(tracks, CropFilter(max_yaw_deg=25)).tolist() == [False, True, True, True, True]
    assert kept_rows(tracks, CropFilter(min_face_px=51)).sum() == 0
    assert kept_rows(tracks, CropFilter(max_spread=0.019)).sum() == 0
    assert kept_rows(tracks, CropFilter(max_spread=0.021)).sum() == 5
    tracks.spread_px[2, 7] = np.nan
    assert kept_rows(tracks, CropFilter(max_spread=0.021)).sum() == 4
    with pytest.raises(UsageError, match="max_blur: got tracks without the column blur"):
        kept_rows(tracks, CropFilter(max_blur=0.5))


def test_clips_have_their_own_times_and_sound(tmp_path):
    """A tone that rises every second; a clip of frames 30 to 44 has the sound of these frames."""
    pictures = [np.full((64, 80, 3), 40 + 4 * i, np.uint8) for i in range(50)]
    silent = write_clip(tmp_path / "silent.mp4", pictures)
    loud = tmp_path / "loud.mp4"
    with av.open(str(silent)) as source, av.open(str(loud), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("pcm_s16le", rate=8000)
        sound.layout = "mono"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        for start in range(0, 16_000, 400):
            level = np.full((1, 400), start, np.int16)
            frame = av.AudioFrame.from_ndarray(level, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    tracks = replace(faces(50), pts=np.arange(50) * 512)
    tracks.quality["score"][:] = 0.1
    tracks.quality["score"][30:45] = 0.9
    done = crop(
        str(loud), tracks, str(tmp_path / "to"), size_px=32, limits=CropFilter(min_score=0.5)
    )
    assert (done.crops, done.files) == (15, 1)
    with av.open(str(tmp_path / "to" / "face_0_000030.mp4")) as container:
        frames = list(container.decode(video=0))
        assert [f.pts * f.time_base for f in frames] == [Fraction(i, 25) for i in range(15)]
        shades = [f.to_ndarray(format="rgb24").mean() for f in frames]
        assert shades == pytest.approx([40 + 4 * i for i in range(30, 45)], abs=4)
    with av.open(str(tmp_path / "to" / "face_0_000030.mp4")) as container:
        for frame in container.decode(audio=0):
            heard_at = float(frame.pts * frame.time_base) + 30 / 25
            # A sample is the number of its block of 400, told by its value.
            assert heard_at == pytest.approx(frame.to_ndarray()[0, 0] / 8000, abs=0.06)


def test_webdataset(clip, truth, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    done = crop(str(clip), truth, str(tmp_path), format="webdataset", size_px=64)
    assert (done.crops, done.files) == (10, 1)
    with (tmp_path / "crops-000000.tar").open("rb") as shard:
        names = [sample["fname"] for sample in webdataset.tariterators.tar_file_iterator(shard)]
    assert names[:2] == ["0_000000.png", "0_000000.json"]
    assert len(names) == 20


def test_what_is_refused(clip, truth, tmp_path):
    for settings, message in (
        ({"format": "gif"}, "got 'gif', expected one of mp4"),
        ({"size_px": 97}, "got 97 px, expected an even number"),
        ({"margin": -1.0}, "margin: got -1"),
        ({"limits": CropFilter(min_face_px=500)}, "got no row of 10 within the limits"),
    ):
        with pytest.raises(UsageError, match=message):
            crop(str(clip), truth, str(tmp_path), **settings)
    other = replace(truth, pts=truth.pts + 7)
    with pytest.raises(UsageError, match="got tracks with faces at 10 times"):
        crop(str(clip), other, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_command(facetracks, clip, tmp_path):
    tracks = clip.with_name("clip.truth.parquet")
    ended = facetracks("crop", clip, "--tracks", tracks, "--to", tmp_path, "--size", "64")
    assert ended.status == 0
    assert ended.out.startswith(f"{tmp_path}: 10 crops in 1 files\n")
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "clip.mp4.crops.parquet",
        "face_0_000000.mp4",
    ]
