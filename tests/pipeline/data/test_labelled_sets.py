"""Labelled data sets by their command-line names, and tracks as ground truth."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import decode_plainly
from published_layouts import write_300vw, write_300w, write_snap, write_talking_face

from pipeline.commands.sample import write_sample
from pipeline.data.labelled_sets import read_labelled_set, read_labelled_sets
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "clip.mp4"
    write_sample(path, seconds=0.4, size_px=128)
    return path


def test_each_kind_of_videos(tmp_path: Path) -> None:
    write_300vw(tmp_path / "vw", ["001", "114"], frames=1)
    write_snap(tmp_path / "snap", ["S01/yaw/happy", "S09/yaw/happy"], frames=1)
    write_talking_face(tmp_path / "talk", frames=1)
    found = {
        spec: [video.origin.video for video in read_labelled_set(f"{spec}:{tmp_path}/{at}").videos]
        for spec, at in (
            ("300vw", "vw"),
            ("300vw/all", "vw"),
            ("snap", "snap"),
            ("snap/train", "snap"),
            ("talking-face", "talk"),
        )
    }
    assert found == {
        "300vw": ["114"],
        "300vw/all": ["001", "114"],
        "snap": ["S09/yaw/happy"],
        "snap/train": ["S01/yaw/happy"],
        "talking-face": ["franck"],
    }


def test_stills(tmp_path: Path) -> None:
    write_300w(tmp_path, ["ibug/a", "afw/b"])
    assert len(read_labelled_set(f"300w:{tmp_path}").stills) == 2
    data = read_labelled_set(f"300w/challenging:{tmp_path}")
    assert (data.name, [face.name for face in data.stills]) == ("300w/challenging", ["a"])


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_300w(tmp_path / name, ["ibug/a"])
    specs = [f"300w:{tmp_path}/a", f"300w:{tmp_path}/b", f"300w/challenging:{tmp_path}/b"]
    names = [data.name for data in read_labelled_sets(specs)]
    assert names == [*specs[:2], "300w/challenging"]
    with pytest.raises(UsageError, match="2 times, expected it once"):
        read_labelled_sets([specs[0], specs[0]])


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    write_300w(tmp_path / "a:b", ["ibug/a"])
    assert len(read_labelled_set(f"300w:{tmp_path}/a:b").stills) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("300vw", r"got '300vw', expected KIND\[/SPLIT\]:PATH with KIND one of 300vw, snap"),
        ("wflw:x", r"got 'wflw:x', expected KIND"),
        ("300vw/4:x", r"got split '4', expected test, train, 1, 2, 3, all"),
        ("talking-face/test:x", r"got split 'test', expected none for talking-face"),
        ("tracks:x.parquet", r"expected tracks:OUTPUT_OR_PARQUET=VIDEO"),
        ("tracks:none.parquet=v.mp4", r"none\.parquet, which is not there"),
        ("dlib:none.xml", r"none\.xml: cannot be read"),
    ],
)
def test_what_it_refuses(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_labelled_set(spec)


def test_tracks_are_the_truth_of_their_video(clip: Path) -> None:
    tracks = clip.with_name("clip.truth.parquet")
    data = read_labelled_set(f"tracks:{tracks}={clip}")
    faces = list(data.faces(window_frames=3))
    assert [face.origin.frame for face in faces] == list(range(10))
    assert [len(face.earlier) for face in faces] == [0, 1] + [2] * 8
    table = pq.read_table(tracks).to_pydict()
    for number, frame in enumerate(decode_plainly(clip)):
        expected = np.stack([table["x"][number], table["y"][number]], axis=-1)
        np.testing.assert_allclose(faces[number].landmarks_px, expected)
        np.testing.assert_allclose(faces[number].box_xyxy_px, table["box_xyxy_px"][number])
        shown = frame.to_ndarray(format="rgb24").astype(int)
        assert np.abs(faces[number].load() - shown).mean() < 3  # FramePixels smooths chroma
    assert data.videos[0].frames.fps == 25
