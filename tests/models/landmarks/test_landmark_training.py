import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.face_box import DETECTOR_NOISE, box_from_landmarks, jitter_box
from models.landmarks.augmentation import AugmentationStrength
from models.landmarks.data import LabelledFace
from models.landmarks.evaluation import errors_on_boxes, errors_on_jittered_boxes
from models.landmarks.model import LandmarkCard
from models.landmarks.training import LandmarkTrainer, TrainingOptions
from schemas.errors import WeightsError
from schemas.landmarks import FLIP_PERMUTATION

_OPTIONS = TrainingOptions(
    batch_size=8,
    samples_per_epoch=16,
    learning_rate=5e-4,
    average_decay=0.5,
    strength=AugmentationStrength(appearance=0.3),
)


def _faces(count: int = 8) -> list[LabelledFace]:
    """Dark discs on a bright ground; the landmarks of each lie mirror-symmetrically on it."""
    rng = np.random.default_rng(3)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    first = np.minimum(np.arange(68), FLIP_PERMUTATION)  # of a mirrored pair
    shape = ring[first] * np.stack([np.sign(FLIP_PERMUTATION - np.arange(68)), np.ones(68)], axis=1)
    faces = []
    for index in range(count):
        radius, centre = rng.uniform(15, 25), rng.uniform(55, 75, 2)
        landmarks = centre + radius * shape
        y, x = np.mgrid[:128, :128]
        disc = np.hypot(x - centre[0], y - centre[1]) < radius
        image = np.where(disc[..., None], np.uint8(40 + 10 * index), np.uint8(220)).repeat(3, -1)
        points = landmarks.astype(np.float32)
        faces.append(LabelledFace(f"disc{index}", image, points, box_from_landmarks(points)))
    return faces


def _trainer(options: TrainingOptions = _OPTIONS) -> LandmarkTrainer:
    faces = _faces()
    return LandmarkTrainer(faces, np.ones(len(faces)), LandmarkCard(), options)


def test_training_reduces_the_loss_on_eight_samples() -> None:
    """Each face has a box that is far off, always the same; only what is seen tells where."""
    rng = np.random.default_rng(0)
    noise = DETECTOR_NOISE.widened(5)
    faces = [
        dataclasses.replace(face, box_xyxy_px=jitter_box(face.box_xyxy_px, rng, noise))
        for face in _faces()
    ]
    still = AugmentationStrength(DETECTOR_NOISE.widened(0), 0.0, 0.0, 0.0, 0.0, 0.0)
    options = dataclasses.replace(_OPTIONS, strength=still, dropout=0.0)
    trainer = LandmarkTrainer(faces, np.ones(len(faces)), LandmarkCard(), options)
    losses = [trainer.train_epoch(0.3, 0.3) for _ in range(10)]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]
    assert trainer.epoch == 10


def test_the_first_prediction_is_the_mean_face() -> None:
    trainer = _trainer()
    errors = errors_on_boxes(
        trainer.model(), trainer.faces, [face.box_xyxy_px for face in trainer.faces]
    )
    assert errors.max() < 60


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = _trainer()
    for epoch in range(3):
        unbroken.train_epoch(epoch / 3, (epoch + 1) / 3)
    first = _trainer()
    first.train_epoch(0, 1 / 3)
    first.save_checkpoint(tmp_path / "c.pt", elapsed_s=12.5, best=3.0)
    second = _trainer()
    assert second.load_checkpoint(tmp_path / "c.pt") == {"elapsed_s": 12.5, "best": 3.0}
    for epoch in (1, 2):
        second.train_epoch(epoch / 3, (epoch + 1) / 3)
    assert second.epoch == 3
    for name, tensor in unbroken.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name]), name
    assert list(tmp_path.iterdir()) == [tmp_path / "c.pt"]


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"c\.pt: not a checkpoint of this training"):
        _trainer().load_checkpoint(path)
    torch.save({"network": {}}, path)
    with pytest.raises(WeightsError, match=r"c\.pt: not a checkpoint of this training"):
        _trainer().load_checkpoint(path)


def test_errors_on_jittered_boxes_follow_from_the_seed() -> None:
    trainer = _trainer()
    model = trainer.model()
    first = errors_on_jittered_boxes(model, trainer.faces, draws=3, seed=5)
    assert first.shape == (8, 3)
    np.testing.assert_array_equal(
        first, errors_on_jittered_boxes(model, trainer.faces, draws=3, seed=5)
    )
    assert np.abs(first - errors_on_jittered_boxes(model, trainer.faces, draws=3, seed=6)).max() > 0
