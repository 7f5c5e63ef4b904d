import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from models.face_box import DETECTOR_NOISE, box_from_landmarks, jitter_box
from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace
from models.landmarks.training.augmentation import AugmentationStrength
from models.landmarks.training.recipes import MODERN, Recipe, plateau, recipe_for
from models.landmarks.training.trainer import LandmarkTrainer
from schemas.errors import WeightsError
from schemas.landmarks import COMMON_LANDMARKS, FLIP_PERMUTATION
from tests.models.landmarks.measured_errors import errors_on_boxes, errors_on_jittered_boxes

_RECIPE = dataclasses.replace(
    MODERN,
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


def _trainer(recipe: Recipe = _RECIPE, network: str = "2d") -> LandmarkTrainer:
    faces = _faces()
    return LandmarkTrainer(faces, np.ones(len(faces)), LandmarkCard(network=network), recipe)


def test_training_reduces_the_loss_on_eight_samples() -> None:
    """Each face has the same wrong box; only the picture shows its position."""
    rng = np.random.default_rng(0)
    noise = DETECTOR_NOISE.widened(5)
    faces = [
        dataclasses.replace(face, box_xyxy_px=jitter_box(face.box_xyxy_px, rng, noise))
        for face in _faces()
    ]
    still = AugmentationStrength(
        DETECTOR_NOISE.widened(0), angle_deg=0.0, stretch=0.0, warp=0.0, motion=0.0, appearance=0.0
    )
    recipe = dataclasses.replace(_RECIPE, strength=still, dropout=0.0)
    trainer = LandmarkTrainer(faces, np.ones(len(faces)), LandmarkCard(), recipe)
    losses = [trainer.train_epoch(0.3, 0.3) for _ in range(10)]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]
    assert trainer.epoch == 10


def test_the_first_prediction_is_the_mean_face() -> None:
    trainer = _trainer()
    errors = errors_on_boxes(
        trainer.model(), trainer.faces, [face.box_xyxy_px for face in trainer.faces]
    )
    assert errors.max() < 60


#: A rate that falls after each epoch without progress, so that three epochs have three rates.
_IMPATIENT = dataclasses.replace(
    recipe_for("paper", "2d"), schedule=functools.partial(plateau, patience_epochs=1), passes=2
)


@pytest.mark.parametrize("recipe", [_RECIPE, _IMPATIENT], ids=["modern", "paper"])
def test_a_resumed_run_equals_an_unbroken_one(recipe: Recipe, tmp_path: Path) -> None:
    def epoch(trainer: LandmarkTrainer) -> float:
        done = trainer.epoch
        trainer.train_epoch(done / 3, (done + 1) / 3)
        trainer.validation_errors.append(5.0)
        return trainer.learning_rate

    unbroken = _trainer(recipe)
    rates = [epoch(unbroken) for _ in range(3)]
    first = _trainer(recipe)
    again = [epoch(first), epoch(first)]
    first.save_checkpoint(tmp_path / "c.pt", elapsed_s=12.5, best=3.0)
    second = _trainer(recipe)
    assert second.load_checkpoint(tmp_path / "c.pt") == {"elapsed_s": 12.5, "best": 3.0}
    again.append(epoch(second))
    assert second.epoch == 3 and again == rates
    for name, tensor in unbroken.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name]), name
    assert list(tmp_path.iterdir()) == [tmp_path / "c.pt"]
    if recipe is _IMPATIENT:
        np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-5])


def test_the_paper_keeps_the_weights_themselves_and_a_checkpoint_keeps_its_recipe(
    tmp_path: Path,
) -> None:
    trainer = _trainer(_IMPATIENT)
    assert trainer.network.output.bias.abs().max() == 0  # type: ignore[union-attr]
    trainer.train_epoch(0, 0.5)
    for name, tensor in trainer.network.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, trainer.average.state_dict()[name]), name
    trainer.save_checkpoint(tmp_path / "c.pt")
    with pytest.raises(WeightsError, match="its recipe is paper, this one's modern"):
        _trainer().load_checkpoint(tmp_path / "c.pt")


def test_checkpoints_that_name_no_recipe_are_modern(tmp_path: Path) -> None:
    trainer = _trainer()
    trainer.train_epoch(0, 0.5)
    trainer.save_checkpoint(tmp_path / "c.pt", elapsed_s=1.0, best=2.0)
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    del state["recipe"], state["validation_errors"]
    torch.save(state, tmp_path / "c.pt")
    later = _trainer()
    later.load_checkpoint(tmp_path / "c.pt")
    assert later.epoch == 1
    assert later.train_epoch(0.5, 1) == trainer.train_epoch(0.5, 1)


def test_forward_passes_in_bfloat16_train_as_float32_does() -> None:
    """The path that CUDA takes, on the CPU."""
    half = dataclasses.replace(_RECIPE, autocast_devices=("cpu",), dropout=0.0)
    losses = [
        _trainer(r).train_epoch(0.3, 0.6)
        for r in (half, dataclasses.replace(half, autocast_devices=()))
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    trainer = _trainer(half)
    trainer.train_epoch(0.3, 0.6)
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}


def test_a_network_goes_on_from_a_smaller_one() -> None:
    small = _trainer()
    small.train_epoch(0.3, 0.6)
    tensors = small.average.state_dict()
    faces, card = _faces(), LandmarkCard(network="3d")
    grown = LandmarkTrainer(faces, np.ones(len(faces)), card, _RECIPE, (tensors, "2d"))
    boxes = [face.box_xyxy_px for face in faces]
    np.testing.assert_allclose(
        errors_on_boxes(grown.model(), faces, boxes),
        errors_on_boxes(small.model(), faces, boxes),
        atol=0.01,
    )


def test_labels_that_lack_landmarks_train_the_others() -> None:
    faces = [dataclasses.replace(face, landmarks_px=_only_common(face)) for face in _faces()]
    trainer = LandmarkTrainer(faces, np.ones(len(faces)), LandmarkCard(), _RECIPE)
    assert np.isfinite(trainer.train_epoch(0.3, 0.4))
    assert all(p.isfinite().all() for p in trainer.network.parameters())


def _only_common(face: LabelledFace) -> np.ndarray:
    landmarks = np.full_like(face.landmarks_px, np.nan)
    landmarks[list(COMMON_LANDMARKS)] = face.landmarks_px[list(COMMON_LANDMARKS)]
    return landmarks


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
