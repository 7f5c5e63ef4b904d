from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from published_layouts import disc_landmarks, disc_picture, write_300vw

from models.landmarks.datasets.ibug_300vw import CATEGORIES_300VW, read_300vw
from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin


def test_the_published_split() -> None:
    assert Counter(CATEGORIES_300VW.values()) == {"1": 31, "2": 19, "3": 14}
    categories = [CATEGORIES_300VW.get(name) for name in ("001", "114", "203", "410")]
    assert categories == [None, "1", "2", "3"]


def test_splits(tmp_path: Path) -> None:
    write_300vw(tmp_path, ["001", "114", "203", "410"], frames=1)

    def names(split: str) -> list[str]:
        return [video.origin.video for video in read_300vw(tmp_path, split).videos]

    assert names("all") == ["001", "114", "203", "410"]
    assert names("test") == ["114", "203", "410"]
    assert names("train") == ["001"]
    assert names("2") == ["203"]


def test_faces_come_with_their_pictures_and_the_frames_before(tmp_path: Path) -> None:
    data = read_300vw(write_300vw(tmp_path, ["203"], frames=4), "test")
    faces = list(data.faces(window_frames=3))
    assert [len(face.earlier) for face in faces] == [0, 1, 2, 2]
    assert faces[3].origin == FaceOrigin("300vw/test", "203", frame=3, category="2")
    assert [face.origin.frame for face in faces[3].earlier] == [1, 2]
    assert all(not face.earlier for face in faces[3].earlier)
    for number, face in enumerate(faces):
        np.testing.assert_allclose(face.landmarks_px, disc_landmarks(number), atol=1e-4)
        assert np.abs(face.load().astype(int) - disc_picture(number)).mean() < 3


def _broken(folder: Path, number: int) -> None:
    path = folder / "001" / "annot" / f"{number:06d}.pts"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], "1.0 x", *lines[10:]]))


def test_a_broken_annotation_is_an_error_or_a_counted_skip(tmp_path: Path) -> None:
    write_300vw(tmp_path, ["001"], frames=5)
    _broken(tmp_path, 3)
    with pytest.raises(AnnotationError, match=r"000003\.pts:10: could not convert.*'x'"):
        list(read_300vw(tmp_path).faces())
    skipped: list[str] = []
    faces = list(read_300vw(tmp_path).faces(window_frames=3, skipped=skipped))
    assert [face.origin.frame for face in faces] == [0, 1, 3, 4]
    assert [len(face.earlier) for face in faces] == [0, 1, 0, 1]  # not across the gap
    assert len(skipped) == 1


def test_a_missing_annotation_is_an_error_or_a_counted_skip(tmp_path: Path) -> None:
    write_300vw(tmp_path, ["001"], frames=3)
    (tmp_path / "001" / "annot" / "000002.pts").unlink()
    with pytest.raises(AnnotationError, match=r"300vw/all 001: frame 1 has no label"):
        list(read_300vw(tmp_path).faces())
    skipped: list[str] = []
    assert len(list(read_300vw(tmp_path).faces(skipped=skipped))) == 2
    assert len(skipped) == 1


def test_a_video_shorter_than_its_labels(tmp_path: Path) -> None:
    write_300vw(tmp_path, ["001"], frames=5)
    write_clip(tmp_path / "001" / "vid.avi", [disc_picture()] * 3, codec="mpeg4")
    with pytest.raises(AnnotationError, match=r"no frame for 2 of 5 labelled frames, .* 3"):
        list(read_300vw(tmp_path).faces())


def test_what_is_no_such_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"got no \*/vid\.avi"):
        read_300vw(tmp_path)
    write_300vw(tmp_path, ["001", "002"], frames=1)
    with pytest.raises(AnnotationError, match=r"got 2 videos \(001, 002, .* none of split 'test'"):
        read_300vw(tmp_path, "test")
    (tmp_path / "001" / "vid.avi").unlink()
    with pytest.raises(AnnotationError, match=r"001: got neither vid\.avi nor imgs"):
        read_300vw(tmp_path)
    skipped: list[str] = []
    assert [v.origin.video for v in read_300vw(tmp_path, skipped=skipped).videos] == ["002"]
    assert len(skipped) == 1
    (tmp_path / "002" / "vid.avi").write_bytes(b"no video")
    with pytest.raises(AnnotationError, match=r"vid\.avi: cannot be decoded"):
        list(read_300vw(tmp_path, skipped=skipped).faces())


@pytest.mark.realdata
def test_two_real_frames(shared_data: Path) -> None:
    data = read_300vw(shared_data / "images68" / "300vw_mmpose", "train")
    faces = list(data.faces(window_frames=3))
    assert [face.origin.frame for face in faces] == [5, 8]
    assert [face.earlier for face in faces] == [(), ()]
    assert faces[0].load().shape == (720, 1280, 3)
    np.testing.assert_allclose(faces[0].landmarks_px[0], [742.224, 196.764], atol=1e-3)
