from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from segments import box_at, make_rows, make_segment, make_windows
from stages import outputs_of

from schemas.records import SegmentWindows
from transforms.align_faces import (
    MIN_WEIGHT,
    AlignFaces,
    AlignSettings,
    _window_count,
    align_windows,
)


class BrightnessModel:
    """Returns for each window x, the brightness of its first crop, and y, that of its last.

    The spread is a hundredth of y.
    """

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict_with_spread(
        self, crops: np.ndarray, windows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        assert windows.dtype == np.intp
        assert len(np.unique(windows)) == len(crops)  # every sent crop is used
        self.calls.append(len(windows))
        value = crops[:, 0, 0, 0].astype(np.float32)
        points = np.stack([value[windows[:, 0]], value[windows[:, -1]]], -1)
        spread = np.repeat(value[windows[:, -1]][:, None] / 100, 68, axis=1)
        return np.repeat(points[:, None], 68, axis=1), spread


class BrightnessSettings(AlignSettings):
    """Uses a model without weights."""

    def load_model(self):
        return BrightnessModel()


def segments(*faces: int) -> list[SegmentWindows]:
    return [make_windows(make_segment(i, len(faces)), count) for i, count in enumerate(faces)]


def align(batch, batch_windows=100):
    model = BrightnessModel()
    return list(align_windows(batch, model, batch_windows=batch_windows)), model.calls


def test_landmarks_come_back_in_image_pixels_by_hand():
    ((first, second), _) = align(segments(1, 2))
    # Crop (0, 0) of segment 0; crops of 10 and 11 in segment 1. affine: 2 u + x of the box.
    assert first.landmarks_px[0, 0] == pytest.approx([0, 10])
    assert second.landmarks_px[0, 67] == pytest.approx([2 * 10 + 0, 2 * 10 + 10])
    assert second.landmarks_px[1, 5] == pytest.approx([2 * 11 + box_at(30)[0], 2 * 11 + 10])
    assert second.landmarks_px.shape == (2, 68, 2)
    assert second.landmarks_px.dtype == np.float32


def test_spreads_are_as_large_as_crop_pixels_are_in_the_image():
    ((first, second), _) = align(segments(1, 2))
    assert (first.spread_px.shape, first.spread_px.dtype) == ((1, 68), np.float32)
    np.testing.assert_allclose(second.spread_px, [[2 * 0.10] * 68, [2 * 0.11] * 68])


def test_everything_else_travels_on():
    (windows,) = segments(2)
    ((landmarks,), _) = align([windows])
    assert landmarks.segment == windows.segment
    assert landmarks.rows is windows.rows
    assert landmarks.geometry == windows.geometry
    assert landmarks.stats.decode_seconds == 0.5
    assert landmarks.stats.align_seconds > 0


def test_the_oldest_frame_of_a_window_comes_first():
    (windows,) = segments(2)
    windows.windows[:] = [[0, 0, 1], [1, 0, 0]]
    ((landmarks,), _) = align([windows])
    in_crop = (landmarks.landmarks_px[:, 0] - windows.affines[:, :, 2]) / 2
    assert in_crop == pytest.approx(np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize("batch_windows", [1, 2, 3, 7, 100])
def test_segments_share_full_batches(batch_windows):
    batch = segments(3, 0, 1, 5, 0, 2)
    together, calls = align(batch, batch_windows)
    assert sum(calls) == 11
    assert all(n == batch_windows for n in calls[:-1])
    assert [x.segment.index for x in together] == [0, 1, 2, 3, 4, 5]
    for windows, landmarks in zip(batch, together, strict=True):
        ((alone,), _) = align([windows], batch_windows)
        assert np.array_equal(landmarks.landmarks_px, alone.landmarks_px)


def test_no_elements_and_no_windows():
    assert align([]) == ([], [])
    ((landmarks,), calls) = align(segments(0))
    assert landmarks.landmarks_px.shape == (0, 68, 2)
    assert calls == []


def test_batches_count_windows():
    """A batch is full when its windows are; a segment of few faces counts as a few windows."""
    assert [_window_count(w) for w in segments(0, 1, 40, 300)] == [MIN_WEIGHT, MIN_WEIGHT, 40, 300]


@pytest.mark.parametrize("batch_windows", [1, 4, 256])
def test_as_a_stage_n_elements_give_n(batch_windows):
    batch = segments(3, 0, 9, 1, 2, 0, 4)
    got = outputs_of(batch, AlignFaces(BrightnessSettings(batch_windows=batch_windows)))
    assert sorted(x.segment.index for x in got) == list(range(7))
    expected, _ = align(batch)
    for landmarks in got:
        twin = expected[landmarks.segment.index]
        assert np.array_equal(landmarks.landmarks_px, twin.landmarks_px)


def test_the_model_that_ships_takes_what_stages_give():
    """The shapes of the elements are those that LandmarkModel.predict requires."""
    model = AlignSettings(device="cpu", threads=1).load_model()
    size, frames = model.card.crop_size_px, model.card.window_frames
    windows = make_windows(make_segment(), 3, crop_px=size)
    assert windows.windows.shape[1] == frames
    (landmarks,) = align_windows([windows], model, batch_windows=2)
    assert landmarks.landmarks_px.shape == (3, 68, 2)
    assert all(np.diff(pair).any() for pair in pairwise(landmarks.landmarks_px[:, 0, 0]))


def test_frames_of_another_rate_are_not_aligned():
    """Of 25 pts a second, 5 frames a second: 0, 5 and 10; 4 is repeated by 5."""
    segment = make_segment(own=(0, None))
    rows = make_rows({pts: {0: box_at(pts), 1: box_at(60)} for pts in (0, 1, 4, 6, 10, 11)})
    rows = replace(rows, repeat_pts=np.array([5], np.int64), repeat_of=np.array([2], np.int32))
    one = make_windows(segment, 2)
    windows = replace(
        one,
        rows=rows,
        windows=np.tile(one.windows, (6, 1)),
        affines=np.tile(one.affines, (6, 1, 1)),
    )
    model = BrightnessModel()
    (every,) = align_windows([windows], BrightnessModel(), batch_windows=4)
    (some,) = align_windows([windows], model, batch_windows=4, fps=Fraction(5))
    assert model.calls == [4, 2]
    aligned = np.repeat([True, False, True, False, True, False], 2)
    assert np.isnan(some.landmarks_px[~aligned]).all()
    assert np.isnan(some.spread_px[~aligned]).all()
    np.testing.assert_array_equal(some.landmarks_px[aligned], every.landmarks_px[aligned])
    np.testing.assert_array_equal(some.spread_px[aligned], every.spread_px[aligned])
