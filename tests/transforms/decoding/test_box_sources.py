from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.detection.detections import Detections
from models.frame_pixels import FramePixels
from schemas.errors import BoxesError
from schemas.records import Video
from transforms.decoding.box_files import read_boxes
from transforms.decoding.box_sources import DetectedBoxes, GivenBoxes

TB = Fraction(1, 100)
STEP = 4  # 25 frames a second


def video(path) -> Video:
    return Video("clip.mp4", "/in/clip.mp4", boxes_uri=str(path))


def csv(tmp_path, text: str) -> Video:
    (tmp_path / "boxes.csv").write_text(text)
    return video(tmp_path / "boxes.csv")


def pixels(width: int = 64, height: int = 48) -> FramePixels:
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2] = 200
    return FramePixels(av.VideoFrame.from_ndarray(image, format="rgb24"))


class WholeImage:
    """A detector that returns the whole image as a face, edge pixel to edge pixel."""

    name, input_longest_side_px, weights_sha256 = "whole", 32, ""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def detect(self, image: np.ndarray) -> Detections:
        self.seen.append(image.shape)
        height, width = image.shape[:2]
        return Detections.sorted_by_score([[-0.5, -0.5, width - 0.5, height - 0.5]], [0.9])


def test_key_frames_are_the_first_of_each_fifth_of_a_second():
    source = DetectedBoxes(WholeImage(), TB)
    pts = [0, 10, 19, 20, 39, 41, 100]
    keys = [source.is_key(i, p, pts[i - 1] if i else None) for i, p in enumerate(pts)]
    assert keys == [True, False, False, True, False, True, True]


def test_the_grid_is_anchored_at_zero_also_below_it():
    source = DetectedBoxes(WholeImage(), TB)
    assert [source.is_key(1, p, p - 1) for p in (-21, -20, -19, -1, 0, 1)] == [
        False, True, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "aspect", "seen"),
    [
        ((64, 48), 1.0, (24, 32, 3)),  # halved, so that the longest side is 32
        ((30, 20), 1.0, (20, 30, 3)),  # smaller frames are not scaled
        ((32, 48), 2.0, (24, 32, 3)),  # 64 x 48 on square pixels
    ],
)
def test_the_detector_sees_square_pixels_of_its_size(size, aspect, seen):
    detector = WholeImage()
    boxes, scores = DetectedBoxes(detector, TB).find(0, 0, pixels(*size), aspect)
    assert detector.seen == [seen]
    assert boxes == pytest.approx(np.array([[-0.5, -0.5, size[0] - 0.5, size[1] - 0.5]]))
    assert boxes.dtype == scores.dtype == np.float32
    assert scores == pytest.approx([0.9])


def test_boxes_by_frame_number(tmp_path):
    source = read_boxes(
        csv(tmp_path, "frame_index,x0,y0,x1,y1\n4,1,2,3,4\n4,5,6,7,8\n9,1,1,2,2"), TB, STEP
    )
    assert [source.is_key(i, 400, None) for i in (3, 4, 9)] == [False, True, True]
    boxes, scores = source.find(4, 0, pixels(), 1.0)
    assert boxes == pytest.approx(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]))
    assert boxes.dtype == np.float32
    assert scores.tolist() == [1, 1]


def test_boxes_of_a_frame_keep_their_order_wherever_they_stand(tmp_path):
    source = read_boxes(
        csv(tmp_path, "pts,x0,y0,x1,y1\n9,7,1,8,2\n4,1,2,3,4\n9,5,1,6,2\n4,0,2,3,4"), TB, STEP
    )
    assert source.find(0, 9, pixels(), 1.0)[0][:, 0].tolist() == [7, 5]
    assert source.find(0, 4, pixels(), 1.0)[0][:, 0].tolist() == [1, 0]


def test_frames_that_the_file_leaves_out_have_no_face():
    source = GivenBoxes(np.empty(0, np.int64), np.empty((0, 4), np.float32), by="pts")
    boxes, scores = source.find(0, 0, pixels(), 1.0)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_by_pts_are_for_that_pts_alone(tmp_path):
    source = read_boxes(csv(tmp_path, "pts,x0,y0,x1,y1\n29,1,2,3,4"), TB, STEP)
    assert [source.is_key(29, p, None) for p in (28, 29, 30)] == [False, True, False]


def test_boxes_by_seconds_are_for_the_frame_nearby(tmp_path):
    """Within 0.4 of a frame: at 25 frames a second 1.6 of the 100 pts."""
    source = read_boxes(csv(tmp_path, "pts_seconds,x0,y0,x1,y1\n0.29,1,2,3,4"), TB, STEP)
    near = [source.is_key(7, p, None) for p in (27, 28, 29, 30, 31)]
    assert near == [False, True, True, True, False]
    assert source.find(7, 30, pixels(), 1.0)[0].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("suffix", [".parquet", ".PARQUET"])
def test_parquet_with_lists_as_in_our_own_track_files(tmp_path, suffix):
    table = pa.table(
        {
            "video_id": ["clip.mp4", "other.mp4"],
            "frame_index": [0, 0],
            "pts": [7, 7],
            "box_xyxy_px": pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.float32(), 4)),
        }
    )
    pq.write_table(table, tmp_path / f"boxes{suffix}")
    boxes, _ = read_boxes(video(tmp_path / f"boxes{suffix}"), TB, STEP).find(99, 7, pixels(), 1.0)
    assert boxes.tolist() == [[1, 2, 3, 4]]


def test_no_rows_for_this_video_are_no_faces(tmp_path):
    source = read_boxes(csv(tmp_path, "video_id,pts,x0,y0,x1,y1\nother,0,1,2,3,4"), TB, STEP)
    assert not source.is_key(0, 0, None)


def test_a_video_id_that_looks_like_a_number_still_chooses(tmp_path):
    given = csv(tmp_path, "video_id,pts,x0,y0,x1,y1\n17,0,1,2,3,4\n18,0,5,6,7,8")
    source = read_boxes(Video("17", given.uri, boxes_uri=given.boxes_uri), TB, STEP)
    assert source.find(0, 0, pixels(), 1.0)[0].tolist() == [[1, 2, 3, 4]]


BAD_CSV = {
    "no place": ("x0,y0,x1,y1\n1,2,3,4", "expected pts, frame_index or pts_seconds"),
    "no box": ("pts,x0,y0,x1\n1,2,3,4", "got the columns pts, x0, y0, x1; expected"),
    "no width": ("pts,x0,y0,x1,y1\n0,1,2,3,4\n1,3,2,3,4", "row 1: got .*expected x0 < x1, y0 < y1"),
    "upside down": ("pts,x0,y0,x1,y1\n0,1,9,3,4", "row 0: got"),
    "not a number": ("pts,x0,y0,x1,y1\n0,1,2,nan,4", "row 0: got"),
    "infinite": ("pts,x0,y0,x1,y1\n0,1,2,inf,4", "row 0: got"),
    "words": ("pts,x0,y0,x1,y1\n0,one,2,3,4", "one|x0"),
    "a missing number": ("pts,x0,y0,x1,y1\n0,,2,3,4", "row 0|x0"),
    "a missing place": ("pts,x0,y0,x1,y1\n0,1,2,3,4\n,1,2,3,4", "row 1|pts"),
    "a time of day for a place": ("pts,x0,y0,x1,y1\n2020-01-01,1,2,3,4", "pts: got values of type"),
    "words for a place": ("pts,x0,y0,x1,y1\nhere,1,2,3,4", "here|pts"),
    "nothing": ("", "cannot be used"),
    "ragged": ("pts,x0\n1,2,3,4\n", "cannot be used"),
}


@pytest.mark.parametrize("what", sorted(BAD_CSV))
def test_boxes_that_cannot_be_used_are_told(tmp_path, what):
    text, message = BAD_CSV[what]
    with pytest.raises(BoxesError, match=message) as told:
        read_boxes(csv(tmp_path, text), TB, STEP)
    assert told.value.reason == "bad_boxes"
    assert "/in/clip.mp4" in str(told.value)
    assert "boxes.csv" in str(told.value)


BAD_LISTS = {
    "three numbers": [[1.0, 2.0, 3.0]] * 4,
    "no list": [None, [1.0, 2.0, 3.0, 4.0]],
    "a hole": [[1.0, None, 3.0, 4.0]],
}


@pytest.mark.parametrize("what", sorted(BAD_LISTS))
def test_lists_that_are_no_boxes_are_told(tmp_path, what):
    lists = BAD_LISTS[what]
    table = pa.table({"pts": range(len(lists)), "box_xyxy_px": pa.array(lists)})
    pq.write_table(table, tmp_path / "boxes.parquet")
    with pytest.raises(BoxesError, match="box"):
        read_boxes(video(tmp_path / "boxes.parquet"), TB, STEP)


def test_a_file_that_is_not_there_or_not_parquet_is_told(tmp_path):
    with pytest.raises(BoxesError, match="cannot be used"):
        read_boxes(video(tmp_path / "none.csv"), TB, STEP)
    (tmp_path / "boxes.parquet").write_bytes(b"text")
    with pytest.raises(BoxesError, match="cannot be used"):
        read_boxes(video(tmp_path / "boxes.parquet"), TB, STEP)
