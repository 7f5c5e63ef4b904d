import numpy as np
import pytest

from models.detection.detections import Detections
from models.detection.metrics import DetectionTally


def faces(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.linspace(0.9, 0.8, len(boxes), dtype="f4")
    )


def test_recall_and_precision_by_hand():
    tally = DetectionTally()
    tally.add(  # one found, one missed, one wrong
        faces((0, 0, 100, 100), (500, 500, 560, 560)),
        faces((0, 0, 100, 100), (200, 0, 300, 100)),
    )
    summary = tally.summary()
    assert (summary["faces"], summary["wrong"]) == (2, 1)
    assert summary["recall"] == 0.5
    assert summary["precision"] == 0.5
    assert summary["mean_iou"] == 1.0


def test_small_faces_count_neither_way():
    tally = DetectionTally()
    small = (0.0, 0.0, 39.0, 39.0)
    tally.add(faces(), faces(small))  # not asked for
    tally.add(faces((0, 0, 41, 41)), faces(small))  # a large box on a small face
    tally.add(faces(small), faces())  # a small box on nothing
    summary = tally.summary()
    assert (summary["images"], summary["faces"], summary["wrong"]) == (3, 0, 0)
    assert summary["recall"] is None
    assert summary["precision"] is None


def test_offset_and_jitter_by_hand():
    tally = DetectionTally()
    # The centre is off by +10 and +14 % of the side: 12 % on average, 2 % around that.
    tally.add(faces((10, 0, 110, 100)), faces((0, 0, 100, 100)))
    tally.add(faces((14, 0, 114, 100)), faces((0, 0, 100, 100)))
    summary = tally.summary()
    assert summary["offset_percent"] == pytest.approx(np.sqrt((10**2 + 14**2) / 2))
    assert summary["jitter_percent"] == pytest.approx(2.0)
    assert summary["size_offset_percent"] == pytest.approx(0.0)
    assert summary["mean_iou"] == pytest.approx((90 / 110 + 86 / 114) / 2)


def test_merging_equals_counting_together():
    a, b, both = DetectionTally(), DetectionTally(), DetectionTally()
    images = [
        (faces((3, 0, 99, 90)), faces((0, 0, 100, 100))),
        (faces((0, 0, 50, 50)), faces((200, 200, 300, 300))),
    ]
    for tally, (found, reference) in zip((a, b), images, strict=True):
        tally.add(found, reference)
        both.add(found, reference)
    a.merge(b)
    assert a.summary() == both.summary()
