import numpy as np
import pytest
from stabilizer_cases import make_face, make_track

from models.synthesis.face_motion import RandomMotion
from models.synthesis.motion_tracks import (
    MotionTrack,
    add_measured_errors,
    face_size_px,
    real_motions,
    unexplained_errors,
)
from schemas.errors import UsageError
from schemas.landmarks import FLIP_PERMUTATION


def write_labels(path, landmarks, *, spread=0.5, frame=None, face=None):
    count = len(landmarks)
    np.savez(
        path,
        frame_index=np.arange(count) if frame is None else frame,
        face=np.zeros(count, int) if face is None else face,
        landmarks_px=landmarks.astype(np.float32),
        spread_percent=np.full(count, spread),
    )
    return path


def test_real_motions_are_smoothed_and_cut(tmp_path):
    moving = make_track(80, noise=0.5)
    landmarks = np.concatenate([moving.raw_px, moving.raw_px[:70] + 300.0])
    path = write_labels(tmp_path / "clip.mp4.npz", landmarks)
    one, two = real_motions(path)  # a leap lies between them
    assert (len(one), len(two), one.name) == (80, 70, "clip.mp4")
    off = one.truth_px - moving.truth_px
    assert off[3:-3].std() < 0.7 * (moving.raw_px - moving.truth_px).std()


@pytest.mark.parametrize(
    "change",
    [
        {"spread": 2.0},
        {"frame": 2 * np.arange(80)},
        {"face": np.arange(80)},
    ],
)
def test_labels_that_do_not_hold_together_are_left_out(tmp_path, change):
    assert not real_motions(write_labels(tmp_path / "a.npz", make_track(80).raw_px, **change))


def test_added_errors_keep_their_size_relative_to_the_face():
    measured = make_track(30, size=50.0, noise=2.0)
    motion = make_track(50, size=400.0, noise=0.0)
    got = add_measured_errors(motion, [measured], np.random.default_rng(3))
    assert np.array_equal(got.truth_px, motion.truth_px)
    errors = (got.raw_px - got.truth_px) / face_size_px(got.truth_px)[:, None, None]
    own = unexplained_errors(measured)
    pool = np.concatenate([own, own[:, FLIP_PERMUTATION] * [-1, 1]])
    for error in errors:
        assert np.abs(pool - error).max((1, 2)).min() < 1e-9


def test_what_follows_the_motion_is_not_added():
    """Errors that are a fixed share of the mouth's motion vanish, noise and bias stay."""
    noise = np.random.default_rng(0).normal(0, 0.3, (90, 68, 2))
    motion = np.zeros((90, 68, 2))
    motion[:, 48:68, 1] = 10 * np.sin(2 * np.pi * np.arange(90) / 30)[:, None]
    truth = make_face() + motion
    track = MotionTrack("made", 25.0, truth, truth + 2.0 - 0.6 * motion + noise)
    got = unexplained_errors(track) * face_size_px(truth)[:, None, None]
    assert np.abs(got.mean(0) - 2.0 - noise.mean(0)).max() < 0.1
    assert np.abs(got - 2.0 - noise).mean() < 0.1


def test_what_is_no_such_file_is_told(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK not a zip")
    with pytest.raises(UsageError, match=r"broken\.npz: not"):
        real_motions(path)


def test_a_track_must_hold_together():
    face = make_face()[None]
    with pytest.raises(ValueError, match=r"raw \(2, 68, 2\)"):
        MotionTrack("made", 25.0, face, np.repeat(face, 2, 0))


def test_random_motion_repeats_and_stays_within_what_can_be_drawn():
    motions = [RandomMotion(np.random.default_rng(seed), 8.0) for seed in (0, 0, 1, 2, 3)]
    times = np.linspace(0, 8, 60)
    assert [motions[0].pose(t) for t in times] == [motions[1].pose(t) for t in times]
    assert motions[0].pose(3.0) != motions[2].pose(3.0)
    for motion in motions:
        poses = [motion.pose(float(t)) for t in times]
        assert max(abs(pose.yaw_deg) for pose in poses) < 22
        assert all(-1 <= pose.mouth_open <= 1 and 0 <= pose.blink <= 1 for pose in poses)
    assert max(pose.blink for pose in poses) > 0.5
