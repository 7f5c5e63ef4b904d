from pathlib import Path

import numpy as np
import pytest
from published_layouts import disc_landmarks, disc_picture, write_300w

from models.landmarks.datasets.ibug_300w import read_300w
from models.landmarks.datasets.labelled_face import AnnotationError

_NAMES = ("afw/a", "helen/trainset/b", "helen/testset/c", "lfpw/testset/d", "ibug/e",
          "300W/01_Indoor/indoor_001", "300W/02_Outdoor/outdoor_001", "mine/f")  # fmt: skip


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["a", "b"]),
        ("common", ["c", "d"]),
        ("challenging", ["e"]),
        ("public", ["c", "e", "d"]),
        ("private", ["indoor_001", "outdoor_001"]),
    ],
)
def test_splits_are_told_by_the_folders(tmp_path: Path, split: str, names: list[str]) -> None:
    data = read_300w(write_300w(tmp_path, _NAMES), split)
    assert [face.name for face in data.stills] == names
    assert {face.origin.data_set for face in data.stills} == {f"300w/{split}"}


def test_all_keeps_the_subset_of_each_face(tmp_path: Path) -> None:
    data = read_300w(write_300w(tmp_path, _NAMES))
    categories = {face.name: face.origin.category for face in data.stills}
    assert categories["f"] == "mine"
    assert categories["d"] == "common"
    (face,) = (face for face in data.faces() if face.name == "c")
    np.testing.assert_allclose(face.landmarks_px, disc_landmarks(2), atol=1e-4)
    assert np.abs(face.load().astype(int) - disc_picture(2)).mean() < 3
    subset = read_300w(tmp_path / "helen" / "testset", "common")
    assert [face.name for face in subset.stills] == ["c"]


def test_what_is_missing_is_an_error_or_a_counted_skip(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"got no \.pts file"):
        read_300w(tmp_path)
    write_300w(tmp_path, ["afw/a", "afw/b"])
    with pytest.raises(AnnotationError, match="got no picture of split 'private' of 300W"):
        read_300w(tmp_path, "private")
    (tmp_path / "afw" / "a.jpg").unlink()
    with pytest.raises(AnnotationError, match=r"a\.pts: got no picture of this name beside it"):
        read_300w(tmp_path)
    skipped: list[str] = []
    assert [face.name for face in read_300w(tmp_path, skipped=skipped).stills] == ["b"]
    assert len(skipped) == 1


@pytest.mark.realdata
def test_real_helen(shared_data: Path) -> None:
    data = read_300w(shared_data / "images68" / "helen_train8")
    assert len(data.stills) == 8
    for face in data.faces():
        height, width = face.load().shape[:2]
        assert ((face.landmarks_px > 0) & (face.landmarks_px < [width, height])).all()
