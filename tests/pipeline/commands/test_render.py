from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands.command_line import parse_command
from pipeline.commands.render import render_contact_sheet, render_video, run
from pipeline.commands.sample import write_sample
from pipeline.videos.track_file import TrackRows, find_track_file, read_track_file
from schemas.errors import UsageError, VideoError
from schemas.tracks import TRACK_SCHEMA

TILE = (382, 360)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("render") / "clip.mp4"
    write_sample(path, seconds=0.4, size_px=128)
    return path


@pytest.fixture(scope="module")
def truth(clip: Path) -> TrackRows:
    return read_track_file(str(clip.with_name("clip.truth.parquet")))


@pytest.fixture()
def nobody(tmp_path: Path) -> TrackRows:
    pq.write_table(TRACK_SCHEMA.empty_table(), tmp_path / "nobody.parquet")
    return read_track_file(str(tmp_path / "nobody.parquet"))


def write_grey(path: Path, times: list[int], time_base: Fraction, size: tuple[int, int]) -> None:
    """A clip of plain frames at the given pts."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        for pts in times:
            grey = np.full((size[1], size[0], 3), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def seconds_of(path: Path) -> list[float]:
    with av.open(path) as container:
        return [float(f.pts * f.time_base) for f in container.decode(video=0)]


def command(*arguments: str) -> int:
    return run(parse_command(["render", *arguments]))


def output_folder(root: Path, clip: Path, uris: dict[str, str]) -> Path:
    """An output folder of `annotate` whose videos share the clip's tracks."""
    (root / "tracks").mkdir(parents=True)
    (root / "videos").mkdir()
    track = clip.with_name("clip.truth.parquet").read_bytes()
    for video_id in uris:
        (root / "tracks" / f"{video_id}.parquet").write_bytes(track)
    names = ("video_id", "uri", "status", "message")
    rows = [
        {**dict.fromkeys(names), "video_id": video_id, "uri": uri, "status": "ok"}
        for video_id, uri in uris.items()
    ]
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names]))
    pq.write_table(table, root / "videos" / "part-0.parquet")
    return root


def test_overlay_video_has_every_frame_at_its_time(
    clip: Path, truth: TrackRows, tmp_path: Path
) -> None:
    to = tmp_path / "over.mp4"
    assert render_video(str(clip), truth, to) == 10
    assert seconds_of(to) == seconds_of(clip)
    with av.open(to) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert image.shape == (512, 512, 3)  # 128 px, enlarged four times
    nose = truth.landmarks_px[0, 30] * 4 + 1.5
    x, y = nose.round().astype(int)
    red, green, blue = image[y, x].astype(int)
    assert green > red + 50
    assert green > blue + 50
    assert [p.name for p in tmp_path.iterdir()] == ["over.mp4"]


def test_variable_frame_rate_stays_in_sync(nobody: TrackRows, tmp_path: Path) -> None:
    video = tmp_path / "uneven.mp4"
    write_grey(video, [0, 40, 200, 210, 1210], Fraction(1, 1000), (480, 480))
    render_video(str(video), nobody, tmp_path / "over.mp4")
    assert seconds_of(tmp_path / "over.mp4") == pytest.approx([0, 0.04, 0.2, 0.21, 1.21])


def test_raw_streams_are_numbered_from_zero(clip: Path, truth: TrackRows, tmp_path: Path) -> None:
    """A raw .h264 has no timestamps: the counter's are those of the clip, in other units."""
    raw = tmp_path / "clip.h264"
    with av.open(clip) as container, av.open(raw, "w", format="h264") as out:
        source = container.streams.video[0]
        stream = out.add_stream("libx264", rate=25)
        stream.width = stream.height = 128
        stream.options = {"bf": "0"}
        for frame in container.decode(source):
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    with av.open(raw) as container:
        unit = container.streams.video[0].time_base
    scaled = replace(truth, pts=np.round(truth.pts_seconds / float(unit)).astype(np.int64))
    assert render_contact_sheet(str(raw), scaled, tmp_path / "a.png", frames=10) == 10
    assert render_video(str(raw), scaled, tmp_path / "a.mp4") == 10
    assert seconds_of(tmp_path / "a.mp4") == pytest.approx([i / 25 for i in range(10)])


def test_contact_sheet_is_close_around_the_face(
    clip: Path, truth: TrackRows, tmp_path: Path
) -> None:
    to = tmp_path / "sheet.png"
    assert render_contact_sheet(str(clip), truth, to, frames=5, columns=3) == 5
    sheet = cv2.imread(str(to))
    assert sheet.shape == (2 * TILE[0], 3 * TILE[1], 3)
    blue, green, red = np.moveaxis(sheet[: TILE[1], : TILE[1]].astype(int), -1, 0)
    ys, xs = np.nonzero((green > red + 60) & (green > blue + 60))
    # The box, a little smaller than the tile, holds the face; 1 / 1.25 of it is 288 px.
    assert 180 < np.ptp(ys) < 300
    assert 180 < np.ptp(xs) < 300
    assert (sheet[TILE[0] :, 2 * TILE[1] :] == 20).all()  # the sixth tile is blank


def test_contact_sheet_is_spread_over_the_faces(
    clip: Path, truth: TrackRows, tmp_path: Path
) -> None:
    assert render_contact_sheet(str(clip), truth, tmp_path / "a.png", frames=99, columns=99) == 10
    assert cv2.imread(str(tmp_path / "a.png")).shape == (TILE[0], 10 * TILE[1], 3)


def test_no_face_is_shown_as_such(nobody: TrackRows, tmp_path: Path) -> None:
    video = tmp_path / "wide.mp4"
    write_grey(video, list(range(40)), Fraction(1, 25), (64, 32))
    assert render_contact_sheet(str(video), nobody, tmp_path / "a.png", frames=3, columns=3) == 3
    tile = cv2.imread(str(tmp_path / "a.png"))[: TILE[1], : TILE[1], 0]
    column = tile[:, 180]
    np.testing.assert_array_equal(column[:85], 20)  # 32 of 64 rows: grey from 90 to 270
    np.testing.assert_array_equal(column[275:], 20)
    np.testing.assert_allclose(column[100:260], 128, atol=3)
    render_video(str(video), nobody, tmp_path / "a.mp4")
    assert len(seconds_of(tmp_path / "a.mp4")) == 40


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_tracks_of_another_video(truth: TrackRows, tmp_path: Path, name: str) -> None:
    video = tmp_path / "other.mp4"
    write_grey(video, list(range(7, 47)), Fraction(1, 1000), (64, 64))
    draw = render_contact_sheet if name == "a.png" else render_video
    with pytest.raises(UsageError, match="got tracks with faces at 10 times"):
        draw(str(video), truth, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["other.mp4"]


def test_output_folder_by_uri_then_by_name(clip: Path, tmp_path: Path) -> None:
    root = output_folder(
        tmp_path / "out", clip, {"one": str(clip), "two": "/elsewhere/talk.mp4", "three": "b/x.mp4"}
    )
    assert find_track_file(str(root), str(clip)).endswith("/out/tracks/one.parquet")
    assert find_track_file(str(root), f"file://{clip}").endswith("/tracks/one.parquet")
    assert find_track_file(str(root), "moved/talk.mp4").endswith("/tracks/two.parquet")
    with pytest.raises(UsageError, match=r"no tracks of y\.mp4; its videos: .*/elsewhere/talk"):
        find_track_file(str(root), "y.mp4")
    (root / "tracks" / "three.parquet").unlink()
    with pytest.raises(UsageError, match=r"has no track file of x\.mp4: ok"):
        find_track_file(str(root), "x.mp4")


def test_ambiguous_or_missing_output(clip: Path, tmp_path: Path) -> None:
    root = output_folder(tmp_path / "out", clip, {"one": "a/x.mp4", "two": "b/x.mp4"})
    with pytest.raises(UsageError, match=r"got 2 videos like c/x\.mp4"):
        find_track_file(str(root), "c/x.mp4")
    with pytest.raises(UsageError, match="which is not there"):
        find_track_file(str(tmp_path / "nowhere"), "x.mp4")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UsageError, match=r"got no videos/\*\.parquet"):
        find_track_file(str(tmp_path / "bare"), "x.mp4")


def test_files_that_are_no_tracks(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a track file \(Parquet\)"):
        read_track_file(str(clip))
    pq.write_table(pa.table({"pts": [1], "colour": ["red"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="got columns pts, colour; missing face_id, frame_index"):
        read_track_file(str(tmp_path / "a.parquet"))


def test_command(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = str(clip.with_name("clip.truth.parquet"))
    to = tmp_path / "sheet.png"
    assert command(str(clip), "--tracks", tracks, "--to", str(to), "--frames", "2") == 0
    assert capsys.readouterr().out == f"{to}: 2 tiles\n"
    with pytest.raises(VideoError, match="no such file"):
        command("nosuch.mp4", "--tracks", tracks, "--to", str(to))
    with pytest.raises(VideoError, match="no video container"):
        command(tracks, "--tracks", tracks, "--to", str(to))
