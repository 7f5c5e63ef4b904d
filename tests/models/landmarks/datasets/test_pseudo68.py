from pathlib import Path

import av
import numpy as np
import pytest

from models.landmarks.datasets.labelled_face import AnnotationError
from models.landmarks.datasets.pseudo68 import read_pseudo68


def _face(offset: float = 0.0) -> np.ndarray:
    """68 distinct points with plausible eyes; values have two decimals."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([60 + 30 * np.cos(angle), 50 + 30 * np.sin(angle)], axis=1)
    points[36], points[45] = (39, 45), (81, 45)
    return np.round(points + offset, 2).astype(np.float32)


def _video(path: Path, frames: int) -> Path:
    """Frame i is grey of value 20 i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(frames):
            image = np.full((96, 128, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _labels(path: Path, landmarks: np.ndarray, apart_px: list[float] | None = None) -> Path:
    """Both teachers agree, except for `apart_px` to the right of each face."""
    count = len(landmarks)
    apart = np.zeros((count, 1, 2))
    apart[:, 0, 0] = 0.0 if apart_px is None else apart_px
    np.savez(
        path,
        frame_index=np.arange(count, dtype=np.int32),
        face=np.zeros(count, np.int16),
        box_xywh_px=np.tile(np.float32([20, 10, 80, 70]), (count, 1)),
        a_px=landmarks.astype(np.float32),
        b_px=(landmarks + apart).astype(np.float32),
    )
    return path


def test_labels_are_the_mean_of_teachers_that_agree(tmp_path: Path) -> None:
    """The outer corners are 42 px apart: 2.1 percent are 0.88 px."""
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 3), [0.0, 0.8, 0.95])
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 3))
    assert [face.name for face in faces] == ["v.mp4@0", "v.mp4@1"]
    np.testing.assert_allclose(faces[0].landmarks_px, _face())
    np.testing.assert_allclose(faces[1].landmarks_px - _face(), [[0.4, 0]] * 68, atol=1e-5)
    np.testing.assert_allclose(faces[0].box_xyxy_px, [20, 10, 100, 80])
    assert faces[0].labels_right_px == pytest.approx(0.008 * 42)
    for face, index in zip(faces, (0, 1), strict=True):
        assert np.abs(face.load().astype(int) - 20 * index).max() <= 4


def test_the_first_teacher_alone_on_heads_that_are_turned_far(tmp_path: Path) -> None:
    turned = _face()
    turned[36, 0] = turned[45, 0] - 20  # a quarter of the box: over 50 degrees
    labels = _labels(tmp_path / "v.npz", np.stack([turned] * 2), [0.0, 9.0])
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 2))
    np.testing.assert_allclose([face.landmarks_px for face in faces], [turned] * 2)


def test_small_faces_are_left_out(tmp_path: Path) -> None:
    small = _face()
    small[36, 0] = small[45, 0] - 39
    labels = _labels(tmp_path / "v.npz", np.stack([small]))
    assert read_pseudo68(labels, _video(tmp_path / "v.mp4", 1)) == []


def test_shut_eyes_are_kept_beside_evenly_spaced_faces(tmp_path: Path) -> None:
    landmarks = np.stack([_face()] * 9)
    landmarks[5, [37, 38, 43, 44]] = landmarks[5, [41, 40, 47, 46]]  # lids that meet
    labels = _labels(tmp_path / "v.npz", landmarks)
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 9), faces_per_video=4)
    assert [face.name for face in faces] == [f"v.mp4@{i}" for i in (0, 3, 5, 8)]


def test_pseudo68_keeps_evenly_spaced_faces(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 7))
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 7), faces_per_video=3)
    assert [face.name for face in faces] == ["v.mp4@0", "v.mp4@3", "v.mp4@6"]


def test_pseudo68_of_a_shorter_video_is_an_error(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 7))
    with pytest.raises(AnnotationError, match=r"v\.mp4: the video has no frame for 3 of 7 .* 4"):
        read_pseudo68(labels, _video(tmp_path / "v.mp4", 4))


def test_broken_pseudo68(tmp_path: Path) -> None:
    video = _video(tmp_path / "v.mp4", 2)
    labels = tmp_path / "v.npz"
    labels.write_bytes(b"no zip")
    with pytest.raises(AnnotationError, match=r"v\.npz: not a file of teacher labels"):
        read_pseudo68(labels, video)
    _labels(labels, np.zeros((2, 60, 2)))
    with pytest.raises(AnnotationError, match=r"a_px has shape \(2, 60, 2\)"):
        read_pseudo68(labels, video)
    _labels(labels, np.stack([_face()] * 2))
    video.write_bytes(b"no video")
    with pytest.raises(AnnotationError, match=r"v\.mp4: cannot be decoded"):
        read_pseudo68(labels, video)


def test_pseudo68_brings_the_frames_before_as_far_as_they_follow_each_other(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "v.npz", np.stack([_face()] * 6))
    arrays = dict(np.load(labels))
    arrays["frame_index"] = np.array([0, 1, 2, 4, 5, 6])  # no face in frame 3
    arrays["box_xywh_px"][5] += [60, 0, 0, 0]  # another face in frame 6
    np.savez(labels, **arrays)
    faces = read_pseudo68(labels, _video(tmp_path / "v.mp4", 8), earlier_frames=2)
    assert [[frame.name for frame in face.earlier] for face in faces] == [
        [],
        ["v.mp4@0"],
        ["v.mp4@0", "v.mp4@1"],
        [],
        ["v.mp4@4"],
        [],
    ]
    assert abs(int(faces[2].earlier[1].load().mean()) - 20) <= 4


@pytest.mark.realdata
def test_real_teacher_labels(shared_data: Path) -> None:
    name = "livingbio__00002.mp4"
    labels, video = shared_data / "pseudo68" / f"{name}.npz", shared_data / "videos" / name
    faces = read_pseudo68(labels, video, faces_per_video=4, earlier_frames=2)
    assert len(faces) in (4, 5)  # evenly spaced, and the one with the most closed eyes
    for face in faces:
        height, width = face.load().shape[:2]
        assert (face.origin.data_set, face.origin.video) == ("pseudo68", name)
        inside = (face.landmarks_px > 0) & (face.landmarks_px < [width, height])
        assert inside.mean() > 0.9
