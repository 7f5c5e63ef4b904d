import dataclasses

import numpy as np

from models.landmarks.datasets.labelled_face import FaceOrigin, LabelledFace
from models.synthesis.animated_faces import animated_windows, can_be_animated
from models.synthesis.astronaut import ASTRONAUT_LANDMARKS_PX

_NOSE_TIP = 30


def _still() -> LabelledFace:
    """The astronaut's landmarks on a grey picture that is black but for a dot on the nose tip."""
    landmarks = np.round(ASTRONAUT_LANDMARKS_PX).astype(np.float32)
    picture = np.zeros((512, 512, 3), np.uint8)
    x, y = landmarks[_NOSE_TIP].astype(int)
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    return LabelledFace.from_landmarks("dot", picture, landmarks, FaceOrigin())


def _windows(tracks: list[np.ndarray], count: int = 4, seed: int = 0) -> list[LabelledFace]:
    options = {"count": count, "frames": 3, "crop_size_px": 64, "seed": seed}
    return list(animated_windows([_still()], tracks, **options))


def _dot(face: LabelledFace) -> np.ndarray:
    weight = face.load()[..., 0].clip(90, None) - 90.0  # the inside of a mouth is not quite black
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_labels_are_where_the_pixels_are() -> None:
    track = np.stack([ASTRONAUT_LANDMARKS_PX + [4 * (t - 2), 0] for t in range(3)])
    for window in _windows([track]):
        assert len(window.earlier) == 2 and not window.earlier[0].earlier
        for face in (*window.earlier, window):
            assert np.linalg.norm(face.landmarks_px[_NOSE_TIP] - _dot(face)) < 0.35
            assert max(face.load().shape) <= 4 * 64


def test_windows_move_as_the_track_did() -> None:
    """Its mouth opens while the head rests; whose mouth it was does not matter."""
    rest = ASTRONAUT_LANDMARKS_PX * 2
    opened = rest.copy()
    opened[55:60] += [0, 14]
    opened[65:68] += [0, 14]
    opened[6:11] += [0, 9]
    for window in _windows([np.stack([rest, (rest + opened) / 2, opened])]):
        gaps = [
            np.linalg.norm(f.landmarks_px[66] - f.landmarks_px[62])
            for f in (*window.earlier, window)
        ]
        assert gaps[0] < gaps[1] - 0.5 < gaps[2] - 1
    resting = _windows([np.stack([rest, rest, rest])])[0]
    np.testing.assert_array_equal(resting.earlier[0].landmarks_px, resting.landmarks_px)


def test_windows_follow_from_the_seed_with_tracks_or_without() -> None:
    track = np.stack([ASTRONAUT_LANDMARKS_PX] * 3)
    for tracks in ([], [track]):
        first, again, other = (_windows(tracks, 1, seed)[0] for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.load(), again.load())
        np.testing.assert_array_equal(first.landmarks_px, again.landmarks_px)
        assert not np.array_equal(first.landmarks_px, other.landmarks_px)


def test_faces_that_are_small_turned_or_not_all_labelled_are_not_animated() -> None:
    still = _still()
    assert can_be_animated(still)
    small = still.landmarks_px / 3
    turned = still.landmarks_px * np.float32([0.6, 1.0])
    partial = still.landmarks_px.copy()
    partial[0] = np.nan
    for landmarks in (small, turned):
        assert not can_be_animated(
            LabelledFace.from_landmarks("", still.image, landmarks, FaceOrigin())
        )
    assert not can_be_animated(dataclasses.replace(still, landmarks_px=partial))
