from pathlib import Path

import numpy as np
import pytest
from published_layouts import disc_landmarks, write_300vw, write_snap

from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin
from models.landmarks.datasets.snap_2dfe import read_snap_2dfe

_SUBJECTS = ("S01", "S06", "S07", "S09", "S12", "S13")


@pytest.mark.parametrize(
    ("split", "subjects"),
    [
        ("train", ["S01", "S06"]),
        ("validation", ["S07"]),
        ("test", ["S09", "S12"]),
        ("all", list(_SUBJECTS)),
    ],
)
def test_subject_splits(tmp_path: Path, split: str, subjects: list[str]) -> None:
    write_snap(tmp_path, [f"{subject}/Pitch/Happiness" for subject in _SUBJECTS], frames=1)
    videos = read_snap_2dfe(tmp_path, split).videos
    assert [video.origin.video.split("/")[0] for video in videos] == subjects


def test_movement_and_expression_come_from_the_path(tmp_path: Path) -> None:
    write_snap(tmp_path, ["subject_10/translation-x/expr_sad/unconstrained"], frames=4)
    (video,) = read_snap_2dfe(tmp_path, "test").videos
    faces = list(video.faces(window_frames=3))
    name = "subject_10/translation-x/expr_sad/unconstrained"
    assert faces[2].origin == FaceOrigin("snap/test", name, 2, movement="tx", expression="sad")
    assert [len(face.earlier) for face in faces] == [0, 1, 2, 2]
    np.testing.assert_allclose(faces[2].landmarks_px, disc_landmarks(2), atol=1e-4)
    assert faces[2].load().shape == (128, 128, 3)


def test_recordings_may_be_videos_and_the_still_camera_is_left_out(tmp_path: Path) -> None:
    write_300vw(tmp_path / "09" / "yaw", ["fear"], frames=2)
    write_snap(tmp_path, ["09/yaw/helmet/fear"], frames=2)
    (video,) = read_snap_2dfe(tmp_path, "test").videos
    assert (video.origin.movement, video.origin.expression) == ("yaw", "fear")
    assert len(list(video.faces())) == 2


def test_what_a_path_must_name(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"got 0 folders of frames, none a recording of spl"):
        read_snap_2dfe(tmp_path)
    write_snap(tmp_path, ["09/pitch/happy", "09/pitch/yaw"], frames=1)
    message = r"got subjects \[9\], movements \['pitch', 'yaw'\], expressions \[\]"
    with pytest.raises(AnnotationError, match=message):
        read_snap_2dfe(tmp_path)
    skipped: list[str] = []
    assert len(read_snap_2dfe(tmp_path, skipped=skipped).videos) == 1
    assert len(skipped) == 1


def test_a_frame_without_points(tmp_path: Path) -> None:
    write_snap(tmp_path, ["09/pitch/happy"], frames=3)
    (tmp_path / "09" / "pitch" / "happy" / "frame_0002.pts").unlink()
    with pytest.raises(AnnotationError, match=r"snap/test 09/pitch/happy: frame 1 has no label"):
        list(read_snap_2dfe(tmp_path, "test").faces())
