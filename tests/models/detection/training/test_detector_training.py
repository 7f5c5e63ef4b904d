import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.detection import box_decoding
from models.detection.box_decoding import cell_centres
from models.detection.training.canvases import Canvas
from models.detection.training.labelled_images import LabelledImage
from models.detection.training.trainer import (
    DetectorTrainer,
    TrainingSettings,
    assign_cells,
    decode_boxes,
    detection_loss,
)
from models.detection.weights_file import DetectorConfig
from schemas.errors import WeightsError

TINY = DetectorConfig(stem_channels=(8, 8), stage_channels=(8, 8, 8, 8), head_channels=8)
FAST = TrainingSettings(
    canvas_px=64, batch_size=4, large_canvas_px=128, large_batch_size=2, warm_up_steps=1
)
NO_BOXES = np.zeros((0, 4), np.float32)


def pool() -> list[LabelledImage]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(4):
        image = rng.integers(0, 60, (96, 96, 3)).astype(np.uint8)
        image[30:62, 34:58] = 230
        images.append(
            LabelledImage(
                image,
                np.array([[34, 30, 58, 62]], np.float32),
                np.ones(1, np.float32),
                np.zeros(1, np.float32),
            )
        )
    return images


def trainer(settings: TrainingSettings = FAST) -> DetectorTrainer:
    return DetectorTrainer([pool()], np.ones(1), settings, TINY)


def one_level(rows: int, columns: int, stride_px: int, level: int):
    centres = torch.from_numpy(cell_centres(rows, columns, stride_px))
    strides = torch.full((len(centres),), float(stride_px))
    return centres, strides, torch.full((len(centres),), level)


def test_the_cells_near_the_centre_answer():
    # A 24 px face centred at (19.5, 19.5), the centre of cell (2, 2): reach is 10 px.
    box = torch.tensor([[7.5, 7.5, 31.5, 31.5]])
    face = assign_cells(*one_level(5, 5, 8, 0), box).reshape(5, 5)
    expected = torch.full((5, 5), -1)
    expected[1:4, 1:4] = 0
    assert torch.equal(face, expected)


@pytest.mark.parametrize(
    ("side", "levels"),
    [(20, [0]), (34, [0, 1]), (70, [1, 2]), (100, [2]), (160, [2, 3]), (500, [3])],
)
def test_the_size_decides_on_the_level(side, levels):
    box = torch.tensor([[0.0, 0.0, side, side]])
    answering = []
    for level, stride_px in enumerate((8, 16, 32, 64)):
        cells = 640 // stride_px
        face = assign_cells(*one_level(cells, cells, stride_px, level), box)
        if (face >= 0).any():
            answering.append(level)
    assert answering == levels


def test_the_smaller_face_wins_a_cell():
    boxes = torch.tensor([[0.0, 0.0, 38.0, 38.0], [11.5, 11.5, 27.5, 27.5]])
    face = assign_cells(*one_level(5, 5, 8, 0), boxes).reshape(5, 5)
    assert face[2, 2] == 1


def test_no_faces_no_answers():
    face = assign_cells(*one_level(2, 2, 8, 0), torch.zeros(0, 4))
    assert face.tolist() == [-1] * 4


def perfect_maps(box: list[float], logit: float) -> torch.Tensor:
    """(1, 5, 4, 4) of stride 8, where every cell predicts the same box exactly."""
    (x0, y0, x1, y1), centres = box, torch.from_numpy(cell_centres(4, 4, 8))
    offsets = (torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2]) - centres) / 8
    sizes = torch.tensor([x1 - x0, y1 - y0]).div(32).log().expand(16, 2)
    codes = torch.cat([offsets, sizes], 1)
    return torch.cat([torch.full((16, 1), logit), codes], 1).T.reshape(1, 5, 4, 4)


def test_boxes_are_decoded_as_in_inference():
    rng = np.random.default_rng(2)
    codes = rng.normal(0, 3, (9, 4)).astype(np.float32)  # some beyond the limit
    centres = rng.uniform(0, 99, (9, 2)).astype(np.float32)
    ours = decode_boxes(torch.from_numpy(codes), torch.from_numpy(centres), torch.tensor(16.0))
    expected = box_decoding.decode_boxes(codes, centres, 16)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-3)


def test_a_perfect_box_costs_nothing():
    box = [5.0, 4.0, 27.0, 28.0]
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8), np.array([box], np.float32), NO_BOXES)
    _, losses = detection_loss([perfect_maps(box, 0.0)], (8,), [canvas])
    assert losses.box == pytest.approx(0, abs=1e-5)
    assert losses.relative == pytest.approx(0, abs=1e-5)
    assert losses.cells == 4


def test_the_score_loss_by_hand():
    # Nothing to find and every score 0.5: 16 cells of 0.5**2 * log 2 each.
    maps = perfect_maps([0.0, 0.0, 10.0, 10.0], 0.0)
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8), NO_BOXES, NO_BOXES)
    _, losses = detection_loss([maps], (8,), [canvas])
    assert losses.score == pytest.approx(16 * 0.25 * math.log(2))
    assert losses.box == 0


def test_ignored_cells_are_not_taught():
    maps = perfect_maps([0.0, 0.0, 10.0, 10.0], 0.0)
    ignore = np.array([[0, 0, 15, 31]], np.float32)  # the left two of four columns
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8), NO_BOXES, ignore)
    _, losses = detection_loss([maps], (8,), [canvas])
    assert losses.score == pytest.approx(8 * 0.25 * math.log(2))


def test_a_box_off_by_ten_percent_costs_what_it_should():
    box = [4.0, 4.0, 24.0, 24.0]
    moved = [6.0, 4.0, 26.0, 24.0]  # 2 of 20 px: IoU 18/22, the hull is the union
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8), np.array([box], np.float32), NO_BOXES)
    _, losses = detection_loss([perfect_maps(moved, 0.0)], (8,), [canvas])
    assert losses.box == pytest.approx(1 - 18 / 22, abs=1e-5)
    assert losses.relative == pytest.approx(0.1 - 0.05 / 2, abs=1e-5)


def test_a_few_steps_reduce_the_loss():
    torch.set_num_threads(1)
    run = trainer(replace(FAST, learning_rate=1e-2, large_share=0.0))
    losses = [run.step(0.0).total for _ in range(30)]
    assert np.mean(losses[-8:]) < 0.85 * np.mean(losses[:8])


def test_stopping_and_going_on_changes_nothing(tmp_path):
    unbroken, first, second = trainer(), trainer(), trainer()
    for i in range(6):
        unbroken.step(i / 6)
    for i in range(3):
        first.step(i / 6)
    first.seconds_spent = 12.5
    first.save(tmp_path / "checkpoint.pt")
    second.load(tmp_path / "checkpoint.pt")
    assert (second.step_number, second.seconds_spent) == (3, 12.5)
    for i in range(3, 6):
        second.step(i / 6)
    for network in ("network", "average"):
        wanted = getattr(unbroken, network).state_dict()
        for name, tensor in getattr(second, network).state_dict().items():
            assert torch.equal(tensor, wanted[name]), name


def test_drawing_twice_draws_the_same():
    run = trainer()
    a, b = run.draw(), run.draw()
    assert all(np.array_equal(x.image, y.image) for x, y in zip(a, b, strict=True))


def test_a_broken_checkpoint_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt: not a checkpoint of this training"):
        trainer().load(tmp_path / "none.pt")
    torch.save({"network": {}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: not a checkpoint of this training"):
        trainer().load(tmp_path / "other.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(WeightsError, match=r"noise\.pt: not a checkpoint of this training"):
        trainer().load(tmp_path / "noise.pt")
