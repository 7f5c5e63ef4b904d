import dataclasses

import numpy as np
import pytest
from published_layouts import disc_landmarks, write_300vw

from models.detection.face_detector import load_face_detector
from models.landmarks.datasets.ibug_300vw import read_300vw
from models.landmarks.datasets.labelled_face import AnnotationError
from models.landmarks.model import load_landmark_model
from models.synthesis.face_clips import labelled_video_clips, load_clip, save_clip
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two frames of discs in the layout of 300VW, in which detectors find no face."""
    folder = write_300vw(tmp_path_factory.mktemp("vw"), ["001"], frames=3)
    videos = read_300vw(folder, "train").videos
    model, detector = load_landmark_model(), load_face_detector("default")
    return next(iter(labelled_video_clips(videos, model.card, detector, frames=2, seed=0)))


def test_a_labelled_video_becomes_crops_beside_its_truth(clip):
    model = load_landmark_model()
    assert clip.crops.shape == (2, model.card.crop_size_px, model.card.crop_size_px, 3)
    half = (model.card.crop_size_px - 1) / 2
    middle = clip.affines @ np.array([half, half, 1.0])  # of the crop, in the frame
    track = clip.track(model)
    assert (track.name, len(track), track.fps) == ("001", 2, clip.fps)
    assert np.abs(middle - clip.truth_px.mean(1)).max() < 2 * track.size_px
    assert np.array_equal(track.truth_px, clip.truth_px)


def test_the_true_landmarks_are_those_of_the_labels(clip):
    assert (clip.truth_px.shape, clip.fps) == ((2, 68, 2), 25)
    np.testing.assert_allclose(clip.truth_px[1], disc_landmarks(1), atol=1e-4)


def test_a_video_whose_first_frame_has_no_label_is_told(tmp_path):
    videos = read_300vw(write_300vw(tmp_path, ["001"], frames=3), "train").videos
    model, detector = load_landmark_model(), load_face_detector("default")
    labels = {number: videos[0].labels[number] for number in (1, 2)}
    late = dataclasses.replace(videos[0], labels=labels, every_frame=False)
    with pytest.raises(AnnotationError, match="001@1: got face 0, expected one in every frame"):
        list(labelled_video_clips([late], model.card, detector, frames=2, seed=0))


def test_clips_are_kept(clip, tmp_path):
    save_clip(tmp_path / "0.npz", clip)
    got = load_clip(tmp_path / "0.npz")
    assert (got.name, got.fps) == (clip.name, clip.fps)
    for name in ("truth_px", "crops", "affines"):
        assert np.array_equal(getattr(got, name), getattr(clip, name))


def test_what_is_no_clip_is_told(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    with pytest.raises(UsageError, match=r"broken\.npz: not a file of a clip"):
        load_clip(tmp_path / "broken.npz")
