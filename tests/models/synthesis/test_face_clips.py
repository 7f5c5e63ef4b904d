import numpy as np
import pytest
from published_layouts import write_300vw

from models.detection.face_detector import load_face_detector
from models.landmarks.datasets.ibug_300vw import read_300vw
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
