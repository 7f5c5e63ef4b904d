from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from segments import make_segment

from schemas.records import BOX_SOURCES, Segment, StreamMetadata, Video
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.reach import OVERHANG_SECONDS, WINDOW_SECONDS
from transforms.decoding.window_builder import decode_windows

SPEC = CropSpec(size_px=8, scale=1.0, window_frames=3)


class Boxes:
    """Faces by pts; key frames every fifth of a second, or at given pts."""

    def __init__(self, faces, *, source="detected", keys=None):
        self.faces, self.source, self.keys = faces, source, keys
        self.looked_at: list[int] = []

    def is_key(self, frame, pts, previous_pts):
        if self.keys is not None:
            return pts in self.keys
        return previous_pts is None or pts // 5 != previous_pts // 5

    def find(self, frame, pts, pixels, aspect):
        self.looked_at.append(pts)
        found = self.faces(pts) if callable(self.faces) else self.faces
        boxes = np.array(found, np.float32).reshape(-1, 4)
        return boxes, np.full(len(boxes), 0.9, np.float32)

    def same_boxes(self, frame, pts, other_frame, other_pts):
        return True


def pictures(pts, *, shots=()):
    """Grey frames that encode their number; a new shot at each of `shots`.

    A dark tile moves along their lower edge, because a picture that only gets slightly
    brighter from frame to frame may count as a repeat.
    """
    frames = []
    for at in pts:
        value = 30 + at + 100 * (sum(shot <= at for shot in shots) % 2)
        image = np.full((48, 64, 3), value, np.uint8)
        left = 8 * at % 64
        image[40:, left : left + 8] = value - 30
        frames.append((at, av.VideoFrame.from_ndarray(image, format="rgb24")))
    return frames


def decode(boxes, pts, segment=None, shots=(), **options):
    (windows,) = decode_windows(
        segment or make_segment(), pictures(pts, shots=shots), boxes, SPEC, **options
    )
    return windows


def frames_in_windows(windows) -> list[list[int]]:
    """The frame of each crop of each window (encoded in the pictures)."""
    return [[int(windows.crops[i, 4, 4, 0]) - 30 for i in row] for row in windows.windows]


ONE_FACE = [(10.0, 10.0, 18.0, 18.0)]


def test_the_first_frames_repeat_the_first_crop():
    windows = decode(Boxes(ONE_FACE), range(6))
    assert frames_in_windows(windows) == [
        [0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5],
    ]  # fmt: skip
    assert windows.crops.shape == (6, 8, 8, 3)
    assert windows.windows.dtype == np.int32
    assert windows.rows.frame.tolist() == windows.rows.frame_pts.tolist() == [*range(6)]


def test_rows_and_affines_by_hand():
    windows = decode(Boxes(ONE_FACE), range(3))
    assert windows.rows.boxes_xyxy_px == pytest.approx(np.array(ONE_FACE * 3))
    assert [BOX_SOURCES[i] for i in windows.rows.box_source] == [
        "detected", "interpolated", "detected",
    ]  # fmt: skip
    assert windows.rows.scores == pytest.approx([0.9] * 3)
    assert windows.rows.blur == pytest.approx([np.nan] * 3, nan_ok=True)  # too small to tell
    assert windows.rows.cut_off.tolist() == [0.0] * 3
    # 8 px over 8: crop (0, 0) is half a pixel inside the corner of the box.
    assert windows.affines[0] == pytest.approx(np.array([[1, 0, 10.5], [0, 1, 10.5]]))
    geometry = windows.geometry
    assert (geometry.width_px, geometry.height_px, geometry.rotation_deg) == (64, 48, 0)


def test_a_face_that_is_partly_outside_and_how_blurred_it_is():
    """16 of 48 columns of the box are left of the frame; the rest shows a sharp edge."""
    frames = []
    for at in range(2):
        image = np.full((48, 64, 3), 100, np.uint8)
        image[24:, 16:] = 200 + 20 * at
        frames.append((at, av.VideoFrame.from_ndarray(image, format="rgb24")))
    spec = CropSpec(size_px=48, scale=1.0, window_frames=3)
    boxes = Boxes([(-16.5, -0.5, 31.5, 47.5)], source="given", keys={0, 1})
    (windows,) = decode_windows(make_segment(), frames, boxes, spec)
    assert windows.rows.cut_off == pytest.approx([1 / 3] * 2)
    # One step per line; a nine-tap blur leaves a ninth of each.
    assert windows.rows.blur == pytest.approx([1 / 9] * 2, abs=0.01)


def test_given_boxes_are_called_given():
    windows = decode(Boxes(ONE_FACE, source="given", keys={0, 2}), range(3))
    assert [BOX_SOURCES[i] for i in windows.rows.box_source] == ["given", "interpolated", "given"]


def test_neighbours_too_long_ago_are_not_used():
    """25 pts a second: up to 6 pts apart is within WINDOW_SECONDS of 1/4 s."""
    assert Fraction(1, 4) == WINDOW_SECONDS
    windows = decode(Boxes(ONE_FACE), [0, 6, 13, 14, 16, 20])
    assert frames_in_windows(windows) == [
        [0, 0, 0], [0, 0, 6], [13, 13, 13], [13, 13, 14], [13, 14, 16], [14, 16, 20],
    ]  # fmt: skip


def test_windows_do_not_reach_over_a_shot_cut():
    windows = decode(Boxes(ONE_FACE), range(8), shots=[4])
    assert windows.rows.cuts_pts.tolist() == [4]
    shown = [[f % 100 for f in row] for row in frames_in_windows(windows)]
    assert shown[3:6] == [[1, 2, 3], [4, 4, 4], [4, 4, 5]]
    assert len(set(windows.rows.track.tolist())) == 2


def test_the_frames_about_a_cut_and_the_last_are_key_frames():
    boxes = Boxes(ONE_FACE)
    decode(boxes, range(13), shots=[8])
    assert boxes.looked_at == [0, 5, 7, 8, 10, 12]


def test_the_first_frame_of_a_later_segment_is_no_key_frame():
    boxes = Boxes(ONE_FACE)
    segment = make_segment(1, 2, seek=5, own=(24, None))
    windows = decode(boxes, range(5, 41), segment)
    assert boxes.looked_at == [10, 15, 20, 25, 30, 35, 40]
    assert windows.rows.frame_pts.tolist() == [*range(24, 41)]
    assert frames_in_windows(windows)[0] == [22, 23, 24]


def test_faces_of_a_frame_stand_in_order_of_x():
    far_first = [(40.0, 10.0, 48.0, 18.0), (10.0, 10.0, 18.0, 18.0)]
    windows = decode(Boxes(far_first), range(3))
    assert windows.rows.boxes_xyxy_px[:, 0].tolist() == [10, 40] * 3
    first = windows.rows.track[:2].tolist()
    assert windows.rows.track.tolist() == first * 3
    assert windows.affines[:, 0, 2].tolist() == [10.5, 40.5] * 3


def test_a_frame_without_faces_counts():
    windows = decode(Boxes([]), range(4))
    assert windows.rows.frame_pts.tolist() == [0, 1, 2, 3]
    assert windows.windows.shape == (0, 3)
    assert windows.crops.shape == (0, 8, 8, 3)


def test_no_frames_at_all():
    windows = decode(Boxes(ONE_FACE), [])
    assert windows.geometry is None
    assert windows.rows.frame_pts.shape == (0,)
    assert windows.crops.shape == (0, 8, 8, 3)


def test_a_segment_ends_at_its_seam_and_reads_no_further():
    read = []

    def frames():
        for item in pictures(range(100)):
            read.append(item[0])
            yield item

    segment = make_segment(0, 2, own=(None, 20))
    (windows,) = decode_windows(segment, frames(), Boxes(ONE_FACE), SPEC)
    assert windows.rows.frame_pts.tolist() == [*range(20)]
    assert windows.seam.pts == 20
    assert windows.seam.boxes_xyxy_px == pytest.approx(np.array(ONE_FACE))
    assert windows.seam.track.tolist() == [windows.rows.track[-1]]
    assert len(windows.crops) == 20
    assert max(read) <= 35  # two key frames and a little past the seam


def test_a_seam_without_faces_is_still_a_seam():
    windows = decode(Boxes([]), range(40), make_segment(0, 2, own=(None, 20)))
    assert windows.seam.pts == 20
    assert windows.seam.boxes_xyxy_px.shape == (0, 4)


def test_the_last_segment_has_no_seam():
    assert decode(Boxes(ONE_FACE), range(30), make_segment(1, 2, own=(10, None))).seam is None


def test_progress_is_told_for_every_frame():
    told = []
    decode(Boxes(ONE_FACE), range(5), on_progress=told.append)
    assert told == [1, 2, 3, 4, 5]


def test_oblong_pixels_reach_the_box_source_and_the_crop():
    aspects = []

    class Asks(Boxes):
        def find(self, frame, pts, pixels, aspect):
            aspects.append(aspect)
            return super().find(frame, pts, pixels, aspect)

    metadata = StreamMetadata(
        "h264", "yuv420p", Fraction(1, 25), Fraction(25), None, None, Fraction(2)
    )
    segment = Segment(Video("v", "/v"), metadata, 0, 1)
    (windows,) = decode_windows(segment, pictures(range(2)), Asks(ONE_FACE), SPEC)
    assert aspects == [2.0, 2.0]
    assert windows.geometry.sample_aspect_ratio == 2
    # 8 px of width are 16 of height: the crop spans 8 x 16 px.
    assert windows.affines[0][:, :2] == pytest.approx(np.array([[1, 0], [0, 2]]))


def moving(pts):
    """Two moving faces, one sometimes missed, one that appears and disappears."""
    faces = [(5 + pts / 4, 5.0, 15 + pts / 4, 15.0), (50 - pts / 9, 30.0, 60 - pts / 9, 40.0)]
    if (pts // 5) % 3:
        faces.append((25.0, 20.0, 37.0, 32.0))
    if (pts // 5) % 8 < 2:
        faces.append((2.0, 34.0, 12.0, 44.0))
    return faces


@pytest.mark.parametrize("shots", [(), (24,), (25, 31), (44, 70)])
@pytest.mark.parametrize("keyframes", [[25], [25, 50, 75], [10, 20, 40, 60, 62]])
def test_segments_give_the_rows_and_windows_of_one_pass(keyframes, shots):
    pts = range(100)
    overhang = 18  # pts, of 25 a second
    whole = decode(Boxes(moving), pts, shots=shots)
    edges = [None, *(k + overhang for k in keyframes), None]
    seeks = [0, *keyframes]
    found, row = {"windows": [], "boxes": [], "cuts": [], "pts": []}, 0
    for i, seek in enumerate(seeks):
        segment = make_segment(i, len(seeks), seek=seek or None, own=(edges[i], edges[i + 1]))
        frames = [f for f in pictures(pts, shots=shots) if f[0] >= seek]
        (part,) = decode_windows(segment, frames, Boxes(moving), SPEC)
        if part.seam is not None:
            assert part.seam.pts == edges[i + 1]
            at_seam = whole.rows.boxes_xyxy_px[whole.rows.frame == part.seam.pts]
            assert sorted(map(tuple, part.seam.boxes_xyxy_px)) == sorted(map(tuple, at_seam))
        for index, window in enumerate(part.windows):
            expected = whole.crops[whole.windows[row + index]]
            assert np.array_equal(part.crops[window], expected)
        row += len(part.windows)
        found["boxes"] += part.rows.boxes_xyxy_px.tolist()
        found["cuts"] += part.rows.cuts_pts.tolist()
        found["pts"] += part.rows.frame_pts.tolist()
    assert found["pts"] == [*pts]
    assert found["cuts"] == whole.rows.cuts_pts.tolist() == [*shots]
    assert found["boxes"] == whole.rows.boxes_xyxy_px.tolist()
    assert row == len(whole.windows)


def rows_from(windows, pts):
    """(pts, box, source) of every row from a pts on."""
    rows = windows.rows
    at = rows.frame_pts[rows.frame]
    boxes = rows.boxes_xyxy_px.round(4).tolist()
    rows_of_all = zip(at.tolist(), boxes, rows.box_source.tolist(), strict=True)
    return [row for row in rows_of_all if row[0] >= pts]


def test_segments_before_in_and_after_a_pause_have_the_rows_of_the_whole():
    """Every frame as a segment's key frame; the detector misses the face at every third look."""
    pts = [*range(25), *range(60, 140)]

    def faces(at):
        return [] if at % 15 == 5 else [[8 + at / 20, 8, 28 + at / 20, 32]]

    whole = decode(Boxes(faces), pts)
    assert [at for at, *_ in rows_from(whole, 0)] == pts
    overhang = int(OVERHANG_SECONDS / whole.segment.metadata.time_base)
    for number, key in enumerate(pts):
        segment = replace(make_segment(), own_start_pts=key + overhang)
        part = decode(Boxes(faces), pts[number:], segment)
        assert rows_from(part, 0) == rows_from(whole, key + overhang)
