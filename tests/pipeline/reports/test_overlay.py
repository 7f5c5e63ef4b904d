import numpy as np
import pytest

from pipeline.reports.overlay import FaceOverlay, draw_caption, draw_face

GREEN, ORANGE = (60, 240, 90), (255, 150, 30)


def face(source: str = "detected", raw_shift_px: float = 0.0) -> FaceOverlay:
    column, row = np.meshgrid(np.arange(17), np.arange(4))
    points = np.stack([40 + 8.0 * column.ravel(), 60 + 16.0 * row.ravel()], -1)
    return FaceOverlay(
        face_id=3,
        box_xyxy_px=np.array([30.0, 40.0, 180.0, 130.0]),
        box_source=source,
        landmarks_px=points,
        raw_landmarks_px=points + np.array([0.0, raw_shift_px]),
    )


def drawn(overlay: FaceOverlay, **options: bool) -> np.ndarray:
    frame = np.zeros((160, 220, 3), np.uint8)
    draw_face(frame, overlay, **options)
    return frame


def test_points_are_where_the_landmarks_are() -> None:
    frame = drawn(face(), box=False)
    for x, y in face().landmarks_px.astype(int):
        assert frame[y, x, 1] > 150
        assert frame[y, x, 1] > frame[y, x, 0] + 80


def test_raw_landmarks_only_where_they_differ_or_on_request() -> None:
    def orange(frame: np.ndarray) -> int:
        red, green, _ = np.moveaxis(frame.astype(int), -1, 0)
        return int((red > green + 40).sum())

    assert orange(drawn(face(), box=False)) == 0
    assert orange(drawn(face(raw_shift_px=4.0), box=False)) > 100
    near = face(raw_shift_px=0.4)  # the outer eye corners are 72 px apart
    assert not near.raw_differs
    plain = drawn(near, box=False)
    np.testing.assert_array_equal(plain, drawn(face(), box=False))
    assert (drawn(near, box=False, raw=True) != plain).any()


def test_interpolated_boxes_are_dashed() -> None:
    solid, dashed = (drawn(face(s))[130, 30:180, 2] > 100 for s in ("detected", "interpolated"))
    assert solid.all()
    assert 0.3 < dashed.mean() < 0.75


def test_what_is_not_finite_is_not_drawn() -> None:
    overlay = face()
    overlay.landmarks_px[5] = np.nan
    overlay.raw_landmarks_px[5] = np.nan
    overlay.box_xyxy_px[0] = np.inf
    assert not drawn(overlay).any()


def test_far_outside_the_frame_is_no_error() -> None:
    overlay = face()
    overlay.landmarks_px[:] += 1e7
    overlay.raw_landmarks_px[:] -= 1e7
    overlay.box_xyxy_px[:] -= 1e7
    draw_face(np.zeros((20, 20, 3), np.uint8), overlay)


@pytest.mark.parametrize("width", [40, 400])
def test_caption_stays_in_its_strip(width: int) -> None:
    frame = np.full((60, width, 3), 100, np.uint8)
    draw_caption(frame, "frame 12   0.480 s   face 0", height_px=20)
    assert (frame[:40] == 100).all()
    assert frame[40:].max() > 120
    assert frame[40:].min() == 25
    assert frame[40:, -3:].max() == 25
