"""Erasure, on a disk and on an object store."""

from collections.abc import Iterator

import fsspec
import pytest
from segments import box_at, split_parts

from pipeline.output_lock import exclusive_run
from pipeline.outputs.forget_videos import forget
from schemas.errors import OutputError
from schemas.records import Video
from transforms.stabilize_tracks import stabilize_segments
from transforms.storage.atomic_files import Folder, file_stem, write_bytes
from transforms.storage.output_tables import OutputFolder, read_tracks, read_videos
from transforms.storage.parts import save_part
from transforms.storage.run_output import RunOutput
from transforms.write_tracks import write_video

#: Names that are prefixes of others, and one that is no file name.
NAMES = ("a", "a.mp4", "a.mp4.parquet", "b/with space.mp4")
CONFIG = {"stabilizer": "none"}


@pytest.fixture(params=["disk", "memory"])
def output(request, tmp_path) -> Iterator[str]:
    """Four videos, each with tracks, a row, staged parts and derived files; and a report."""
    url = str(tmp_path / "out") if request.param == "disk" else "memory://test-forget/out"
    run_output = RunOutput(url, CONFIG)
    for name in NAMES:
        boxes = {pts: {0: box_at(pts)} for pts in range(3)}
        parts = split_parts(boxes, [], video=Video(name, f"/in/{name}"))
        saved = [save_part(run_output.staging(parts[0].segment.video), part) for part in parts]
        write_video(stabilize_segments(saved, run_output, "none"), run_output)
        stem = file_stem(name)
        for place in (f"{stem}.parquet", f"blinks/{stem}.csv", f"faces/{stem}/0/0001.png"):
            write_bytes(f"{url}/derived/{place}", b"of " + name.encode())
    for place in ("run.json", "report.html"):
        write_bytes(f"{url}/{place}", b"{}")
    yield url
    Folder(url).remove()


def files_below(url: str) -> dict[str, bytes]:
    fs, path = fsspec.core.url_to_fs(url)
    return {name[len(path) + 1 :]: fs.cat_file(name) for name in fs.find(path)}


def test_all_of_a_video_goes_and_nothing_of_another(output):
    before = files_below(output)
    for name in NAMES:
        mine = [place for place in files_below(output) if place_of(place, file_stem(name))]
        assert len(mine) == 7  # row, tracks, two parts in a folder, three derived files
        (video,) = forget(output, [name])
        left = files_below(output)
        assert before.keys() - left.keys() == {*mine, *({"report.html"} & before.keys())}
        assert {place: before[place] for place in left} == left
        assert video.video_id == name
        assert len(video.removed) == (7 if "report.html" in before else 6)
        assert video.bytes == sum(len(before[p]) for p in before.keys() - left.keys())
        before = left
    assert list(before) == ["run.json"]


def place_of(place: str, stem: str) -> bool:
    """Whether a file below OUTPUT belongs to a video, by its construction above."""
    folder, _, name = place.partition("/")
    if folder == ".staging":
        return name.partition("/")[0][:-17] == stem
    return place in (
        f"videos/{stem}.parquet", f"tracks/{stem}.parquet", f"derived/{stem}.parquet",
        f"derived/blinks/{stem}.csv", f"derived/faces/{stem}/0/0001.png",
    )  # fmt: skip


@pytest.mark.parametrize("removed", range(1, 6))
def test_a_removal_that_was_killed_is_finished_by_the_same_call(output, removed):
    found = OutputFolder(output).files_of("a.mp4")
    assert len(found) == 6
    for file in found[:removed]:  # the files removed so far
        file.remove()
    assert "a.mp4" not in read_videos(output)["video_id"].to_pylist()
    (video,) = forget(output, ["a.mp4"])
    assert len(video.removed) == 6 - removed + 1  # and the report
    assert not [place for place in files_below(output) if place_of(place, "a.mp4")]
    assert set(read_tracks(output)["video_id"].to_pylist()) == {*NAMES} - {"a.mp4"}


def test_unknown_ids_are_told_and_the_others_removed(facetracks, output):
    ended = facetracks("forget", output, "none.mp4", "b/with space.mp4", "../run.json")
    assert ended.status == 1
    assert "holds nothing about 'none.mp4', '../run.json'; expected values" in ended.err
    stem = file_stem("b/with space.mp4")
    assert f"b/with space.mp4: removed tracks/{stem}.parquet\n" in ended.out
    assert f"1 videos removed from {output}" in ended.out
    assert "run.json" in files_below(output)
    assert facetracks("forget", output, "a").status == 0
    assert facetracks("forget", output, "a").status == 1


def test_nothing_is_removed_while_a_run_writes(facetracks, output):
    if "://" in output:
        pytest.skip("object stores have no lock")
    before = files_below(output)
    with exclusive_run(OutputFolder(output)):
        ended = facetracks("forget", output, "a.mp4")
    assert ended.status == 2
    assert "another run is writing there" in ended.err
    assert files_below(output) == before


def test_a_folder_that_is_no_output(tmp_path):
    (tmp_path / "videos.txt").touch()
    with pytest.raises(OutputError, match="expected the output of annotate"):
        forget(tmp_path, ["a.mp4"])
    with pytest.raises(OutputError, match="expected the output of annotate"):
        forget(tmp_path / "none", ["a.mp4"])


def test_what_was_forgotten_is_no_longer_done(output):
    run_output, video = RunOutput(output, CONFIG), Video("a.mp4", "/in/a.mp4")
    assert run_output.is_done(video)
    forget(output, ["a.mp4"])
    assert not run_output.is_done(video)
    assert run_output.is_done(Video("a", "/in/a"))
