import numpy as np

from models.boxes import iou, match_boxes, match_by_score, non_maximum_suppression


def rows(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def at(x: float, y: float = 0.0, size: float = 10.0) -> tuple[float, float, float, float]:
    return (x, y, x + size, y + size)


def test_matching_is_best_for_all_and_leaves_out_what_overlaps_too_little():
    a, b = rows(at(0), at(4)), rows(at(3), at(-4))
    # The best pair, a1-b0, and the remaining pair, a0-b1.
    assert match_boxes(a, b, min_iou=0.2) == [(0, 1), (1, 0)]
    assert match_boxes(a, b, min_iou=0.5) == [(1, 0)]
    assert match_boxes(a, rows(), min_iou=0.2) == []


def test_one_box_takes_the_one_that_it_overlaps_most():
    one, many = rows([0, 0, 10, 10]), rows([4, 0, 14, 10], [1, 0, 11, 10], [50, 0, 60, 10])
    assert match_boxes(one, many, min_iou=0.2) == [(0, 1)]
    assert match_boxes(many, one, min_iou=0.2) == [(1, 0)]
    assert match_boxes(one, rows([50, 0, 60, 10]), min_iou=0.2) == []


def test_boxes_without_a_choice_are_matched_in_order():
    corners = np.array([[0, 0], [100, 0], [200, 0], [300, 0]])
    boxes = np.hstack([corners, corners + 40])
    found = (boxes + 2)[[2, 0, 3]]
    assert match_boxes(found, boxes, min_iou=0.3) == [(0, 2), (1, 0), (2, 3)]
    assert match_boxes(found, boxes + 50, min_iou=0.3) == []


def test_iou_by_hand():
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 9]]
    expected = [
        [1, 50 / 150, 0, 0],
        [50 / 150, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],  # a box without area overlaps nothing, not even itself
    ]
    np.testing.assert_allclose(iou(boxes, boxes), expected)


def test_iou_of_nothing_has_the_right_shape():
    assert iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_suppression_keeps_the_surest_and_votes_on_its_place():
    boxes = np.array(
        [
            [2, 0, 12, 10],  # IoU 80 / 120 with the highest score: a duplicate that votes
            [0, 0, 10, 10],  # the highest score
            [5, 0, 15, 10],  # IoU 1 / 3: neither votes nor is removed at 0.4
            [50, 50, 60, 60],
        ],
        np.float32,
    )
    scores = np.array([0.6, 0.9, 0.3, 0.5], np.float32)
    kept, kept_scores = non_maximum_suppression(boxes, scores, iou_threshold=0.4)
    shift = 2 * 0.36 / (0.81 + 0.36)
    expected = [[shift, 0, 10 + shift, 10], [50, 50, 60, 60], [5, 0, 15, 10]]
    np.testing.assert_allclose(kept, expected, atol=1e-5)
    np.testing.assert_allclose(kept_scores, [0.9, 0.5, 0.3], atol=1e-7)


def test_boxes_of_low_score_vote_and_are_not_kept():
    boxes = rows([0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60])
    scores = np.array([0.8, 0.4, 0.4], np.float32)
    kept, kept_scores = non_maximum_suppression(boxes, scores, iou_threshold=0.4, min_score=0.5)
    np.testing.assert_allclose(kept, [[0.4, 0, 10.4, 10]], atol=1e-6)  # weights 0.64, 0.16
    np.testing.assert_allclose(kept_scores, [0.8])


def test_suppression_drops_what_overlaps_more_than_the_threshold():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)
    kept, _ = non_maximum_suppression(boxes, np.array([0.9, 0.8], np.float32), iou_threshold=0.3)
    np.testing.assert_allclose(kept, [[0, 0, 10, 10]])


def test_suppression_looks_at_the_surest_thousand():
    x0 = 20 * np.arange(1200, dtype=np.float32)
    boxes = np.stack([x0, 0 * x0, x0 + 10, 0 * x0 + 10], 1)
    scores = np.linspace(0.1, 0.9, 1200, dtype=np.float32)
    kept, kept_scores = non_maximum_suppression(boxes, scores, iou_threshold=0.4)
    assert len(kept) == 1000
    assert kept_scores.min() == scores[200]


def test_suppression_of_nothing():
    kept, scores = non_maximum_suppression(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), iou_threshold=0.4
    )
    assert kept.shape == (0, 4)
    assert scores.shape == (0,)
    assert kept.dtype == scores.dtype == np.float32


def test_each_reference_box_is_matched_once_and_by_the_surest():
    found = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [90, 0, 99, 9]], np.float32)
    reference = np.array([[1, 0, 11, 10]], np.float32)
    assert match_by_score(found, reference, min_iou=0.5).tolist() == [0, -1, -1]


def test_a_match_needs_the_overlap():
    found = np.array([[0, 0, 10, 10]], np.float32)
    reference = np.array([[5, 0, 15, 10]], np.float32)  # IoU 1/3
    assert match_by_score(found, reference, min_iou=0.5).tolist() == [-1]
    assert match_by_score(found, reference, min_iou=0.3).tolist() == [0]


def test_matching_nothing():
    none = np.zeros((0, 4), np.float32)
    one = np.array([[0, 0, 9, 9]], np.float32)
    assert match_by_score(none, one, min_iou=0.5).tolist() == []
    assert match_by_score(one, none, min_iou=0.5).tolist() == [-1]
