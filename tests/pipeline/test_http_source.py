"""Videos from a local web server that answers correctly or misbehaves in many ways."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import drifting, write_clip
from track_tables import assert_same_tracks
from video_server import Manners, Request, VideoServer, serve

from schemas.errors import SourceError
from schemas.records import Video
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.reachable_sources import Copies
from transforms.select_videos import inspect_video
from transforms.storage.source_files import read_head

CLIP_FRAMES = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faceless_clip):
    """A clip with given boxes: fast, because it needs no detection."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "clip.mp4").write_bytes(faceless_clip.read_bytes())
    rows = [f"{frame},20,10,60,50" for frame in range(CLIP_FRAMES)]
    (folder / "boxes.csv").write_text("\n".join(["frame_index,x0,y0,x1,y1", *rows]))
    return folder


@pytest.fixture()
def server(folder):
    with serve(folder) as server:
        yield server


def status_of(output, video_id: str) -> dict:
    rows = pq.read_table(output / "videos").to_pylist()
    return next(row for row in rows if row["video_id"] == video_id)


def manifest(folder, server: VideoServer, *names: str):
    """Videos of the server, with their boxes from the disk."""
    lines = [f"{server.url}/{name},{name},{server.folder / 'boxes.csv'}" for name in names]
    path = folder / "served.csv"
    path.write_text("\n".join(["uri,video_id,boxes", *lines]))
    return path


def test_tracks_equal_those_of_the_local_file(facetracks, server, folder, tmp_path):
    local = tmp_path / "local.csv"
    local.write_text(f"uri,video_id,boxes\n{folder}/clip.mp4,clip.mp4,{folder}/boxes.csv\n")
    for name, given in (("served", manifest(tmp_path, server, "clip.mp4")), ("local", local)):
        ended = facetracks("annotate", given, "--output", tmp_path / name, "--workers", 1)
        assert ended.status == 0, ended.err
    tables = [
        pq.read_table(tmp_path / n / "tracks" / "clip.mp4.parquet") for n in ("served", "local")
    ]
    assert tables[0].num_rows == CLIP_FRAMES
    assert_same_tracks(*tables)
    size = (folder / "clip.mp4").stat().st_size
    # Once for the plan and the segment together; its head once more, for its declared size.
    assert size <= server.bytes_sent <= 1.2 * size
    assert len(server.asked("clip.mp4")) < 16


def test_errors_that_pass_are_outlived(facetracks, server, tmp_path):
    """503 twice, a connection that breaks midway twice, a slow one: ok, after retries."""
    (server.folder / "busy.mp4").write_bytes((server.folder / "clip.mp4").read_bytes())
    (server.folder / "cut.mp4").write_bytes((server.folder / "clip.mp4").read_bytes())
    (server.folder / "slow.mp4").write_bytes((server.folder / "clip.mp4").read_bytes())
    server.manners["busy.mp4"] = first(4, Manners(status=503))
    server.manners["cut.mp4"] = lambda request: (
        Manners(cut_after=10_000) if request.number in (1, 2, 4) else Manners()
    )
    server.manners["slow.mp4"] = lambda request: Manners(bytes_a_second=100_000)
    videos = manifest(tmp_path, server, "busy.mp4", "cut.mp4", "slow.mp4")
    ended = facetracks("annotate", videos, "--output", tmp_path / "out", "--workers", 2)
    assert ended.status == 0, ended.out + ended.err
    for name in ("busy.mp4", "cut.mp4", "slow.mp4"):
        row = status_of(tmp_path / "out", name)
        assert (row["status"], row["frames_decoded"]) == ("ok", CLIP_FRAMES), row["message"]


def test_errors_that_stay_fail_their_video_only(facetracks, server, tmp_path):
    for name in ("down.mp4", "gone.mp4", "secret.mp4", "vanishes.mp4"):
        (server.folder / name).write_bytes((server.folder / "clip.mp4").read_bytes())
    server.manners["down.mp4"] = lambda request: Manners(status=503)
    server.manners["gone.mp4"] = lambda request: Manners(status=404)
    server.manners["secret.mp4"] = lambda request: Manners(status=403)
    # Exists during planning, missing during decoding.
    server.manners["vanishes.mp4"] = lambda request: Manners(
        status=404 if request.number >= 5 else None
    )
    names = ("down.mp4", "gone.mp4", "secret.mp4", "vanishes.mp4", "clip.mp4")
    videos = manifest(tmp_path, server, *names)
    ended = facetracks("annotate", videos, "--output", tmp_path / "out", "--workers", 2)
    assert ended.status == 3, ended.err
    got = {
        name: (row["status"], row["reason"])
        for name in names
        for row in [status_of(tmp_path / "out", name)]
    }
    assert got == {
        "down.mp4": ("failed", "unreadable"),
        "gone.mp4": ("failed", "not_found"),
        "secret.mp4": ("failed", "unreadable"),
        "vanishes.mp4": ("failed", "not_found"),
        "clip.mp4": ("ok", None),
    }
    assert "503" in status_of(tmp_path / "out", "down.mp4")["message"]
    assert len(server.asked("down.mp4")) in range(4, 15)  # retried, but not forever


def test_a_server_that_goes_silent_is_given_up(facetracks, server, tmp_path):
    """A file without answers fails; a file of unknown size is read."""
    for method in ("HEAD", "GET"):
        name = f"silent-{method}.mp4"
        (server.folder / name).write_bytes((server.folder / "clip.mp4").read_bytes())
        server.manners[name] = lambda request, silent=method: Manners(hang=request.method == silent)
    names = ("silent-HEAD.mp4", "silent-GET.mp4", "clip.mp4")
    ended = facetracks(
        "annotate", manifest(tmp_path, server, *names), "--output", tmp_path / "out",
        "--workers", 3, "--stall-seconds", 12,
    )  # fmt: skip
    assert ended.status == 3, ended.err
    row = status_of(tmp_path / "out", "silent-GET.mp4")
    assert row["status"] == "failed"
    assert row["reason"] in ("unreadable", "decoder_hung")
    assert f"{server.url}/silent-GET.mp4" in row["message"]
    row = status_of(tmp_path / "out", "silent-HEAD.mp4")
    assert row["status"] == "ok", row["message"]
    assert status_of(tmp_path / "out", "clip.mp4")["status"] == "ok"


def test_looking_up_tells_errors_that_pass_from_those_that_stay(server):
    video = Video("clip.mp4", f"{server.url}/clip.mp4")
    server.manners["clip.mp4"] = first(2, Manners(status=503))
    assert "size=" in inspect_video(video).fingerprint
    server.manners["clip.mp4"] = lambda request: Manners(status=404)
    with pytest.raises(SourceError, match="no such file") as raised:
        inspect_video(video)
    assert raised.value.reason == "not_found"


@pytest.mark.parametrize(
    "given", [{"ranges": False}, {"sized": False}, {"shift": 1}, {"whole": True}], ids=str
)
def test_a_server_without_ranges_or_sizes_is_read_from_a_copy(server, tmp_path, given):
    """Its index at the end makes FFmpeg seek; planning and segments read the same copy."""
    clip = write_clip(server.folder / "index-last.mp4", drifting(CLIP_FRAMES, 96, 64))
    server.manners["index-last.mp4"] = lambda request: Manners(**given)
    boxes = str(server.folder / "boxes.csv")
    video = Video("v", f"{server.url}/index-last.mp4", boxes_uri=boxes)
    child = DecodingChild(ChildSettings(CropSpec(16, 1.2, 3), segment_seconds=1.0))
    try:
        (segment,) = child.plan(video)
        assert segment.video == video
        pieces = list(child.decode(segment))
        (local,) = child.plan(Video("v", str(clip), boxes_uri=boxes))
        expected = list(child.decode(local))
    finally:
        child.close()
    assert sum(len(piece.rows.frame_pts) for piece in pieces) == CLIP_FRAMES
    assert all(
        np.array_equal(got.crops, right.crops) for got, right in zip(pieces, expected, strict=True)
    )
    assert segment.metadata.bytes_missing == 0
    whole = [r for r in server.asked("index-last.mp4") if r.method == "GET"]
    assert len(whole) <= 8  # one copy, and the request that showed its need


@pytest.mark.parametrize("given", [{"ranges": False}, {"shift": 1}, {"whole": True}], ids=str)
def test_no_bytes_are_taken_for_others(server, given):
    """fsspec itself trusts the status 206, and an answer that is no longer than the range."""
    (server.folder / "short.bin").write_bytes(bytes(range(100)))
    url = f"{server.url}/short.bin"
    assert read_head(url, 10, 90) == bytes(range(90, 100))
    server.manners["short.bin"] = lambda request: Manners(**given)
    with pytest.raises(SourceError, match="range requests"):
        read_head(url, 10, 90)


def test_copies_are_bounded_and_go_when_others_come(server, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (server.folder / name).write_bytes(bytes(1000))
        server.manners[name] = lambda request: Manners(ranges=False)
    copies = Copies(max_bytes=1500)
    a, b = f"{server.url}/a.mp4", f"{server.url}/b.mp4"
    with copies.lent(a) as path:
        assert path is None
    assert copies.want(a)
    assert copies.want(b)
    assert not copies.want(a)
    with copies.lent(a) as first_path, copies.lent(a) as same_path, copies.lent(b) as other_path:
        assert first_path == same_path
        assert Path(first_path).stat().st_size == Path(other_path).stat().st_size == 1000
    assert not Path(first_path).exists() or not Path(other_path).exists()
    (server.folder / "large.mp4").write_bytes(bytes(2000))
    copies.want(f"{server.url}/large.mp4")
    with (
        pytest.raises(SourceError, match="more than the 1500 bytes of a copy"),
        copies.lent(f"{server.url}/large.mp4"),
    ):
        pytest.fail("it was copied")


def first(count: int, manners: Manners):
    """So many requests of a file are answered with `manners`, the rest well."""

    def answer(request: Request) -> Manners:
        return manners if request.number < count else Manners()

    return answer
