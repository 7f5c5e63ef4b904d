import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.detection.network import (
    DetectorConfig,
    DetectorNetwork,
    decode_levels,
    load_detector_network,
    save_detector_network,
)
from schemas.errors import WeightsError

TINY = DetectorConfig(stem_channels=(8, 8), stage_channels=(8, 8, 8, 8), head_channels=8)


def shaken(config: DetectorConfig = TINY) -> DetectorNetwork:
    """A network whose BatchNorms are not the identity."""
    torch.manual_seed(3)
    network = DetectorNetwork(config)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                tensor.uniform_(-0.3, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
    return network.eval()


def test_parameters_stay_under_the_limit():
    assert sum(p.numel() for p in DetectorNetwork().parameters()) <= 300_000


def test_maps_have_their_levels_shapes():
    levels = DetectorNetwork(TINY).eval()(torch.zeros(2, 3, 128, 192))
    assert [tuple(m.shape) for m in levels] == [
        (2, 5, 16, 24),
        (2, 5, 8, 12),
        (2, 5, 4, 6),
        (2, 5, 2, 3),
    ]


def test_folding_changes_nothing_but_the_rounding():
    network = shaken()
    image = torch.rand(1, 3, 64, 128) * 255
    for plain, folded in zip(network(image), network.folded()(image), strict=True):
        torch.testing.assert_close(folded, plain, atol=1e-4, rtol=1e-4)


def test_folding_leaves_the_original_alone():
    network = shaken()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    network.folded()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_decoding_levels_by_hand():
    fine, coarse = torch.full((1, 5, 2, 2), -9.0), torch.full((1, 5, 1, 1), -9.0)
    fine[0, :, 1, 0] = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0])  # cell centre (3.5, 11.5)
    coarse[0, :, 0, 0] = torch.tensor([2.0, 0.5, 0.0, 0.0, 0.0])  # (7.5, 7.5), moved 8 right
    boxes, scores = decode_levels([fine, coarse], (8, 16), score_threshold=0.4)
    np.testing.assert_allclose(scores, [0.5, 1 / (1 + np.exp(-2))], rtol=1e-6)
    np.testing.assert_allclose(
        boxes, [[-12.5, -4.5, 19.5, 27.5], [-16.5, -24.5, 47.5, 39.5]], rtol=1e-6
    )


def test_decoding_nothing_has_the_right_shape():
    boxes, scores = decode_levels([torch.full((1, 5, 2, 2), -9.0)], (8,), score_threshold=0.5)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_a_file_gives_the_network_back(tmp_path):
    network = shaken()
    path = tmp_path / "detector.safetensors"
    save_detector_network(network, path)
    again = load_detector_network(path)
    assert again.config == TINY
    assert not again.training
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(again.state_dict()[name], tensor.half().float())


def test_a_full_size_file_stays_under_the_limit(tmp_path):
    path = tmp_path / "detector.safetensors"
    save_detector_network(DetectorNetwork(), path)
    assert path.stat().st_size <= 1_500_000


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"missing: no file at .*nowhere\.safetensors"):
        load_detector_network(tmp_path / "nowhere.safetensors")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "damaged.safetensors"
    save_detector_network(DetectorNetwork(TINY), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"damaged\.safetensors is not a readable"):
        load_detector_network(path)


def test_a_file_of_another_network_says_so(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"format": "something-else"})
    with pytest.raises(WeightsError, match="its format is 'something-else', expected 'facetracks"):
        load_detector_network(path)


def test_a_missing_tensor_is_named(tmp_path):
    path = tmp_path / "partial.safetensors"
    save_detector_network(DetectorNetwork(TINY), path)
    tensors = load_file(path)
    del tensors["stem.0.0.weight"]
    fields = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__}
    metadata = {"format": "facetracks-face-detector-1", "config": json.dumps(fields)}
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match=r"missing \['stem\.0\.0\.weight'\]"):
        load_detector_network(path)


@pytest.mark.parametrize("config", ["not json", "{}", '{"stem_channels": 3}', "[]"])
def test_a_broken_config_is_no_crash(tmp_path, config):
    path = tmp_path / "broken.safetensors"
    save_file(
        {"x": torch.zeros(1)}, path, {"format": "facetracks-face-detector-1", "config": config}
    )
    with pytest.raises(WeightsError, match="no usable detector config"):
        load_detector_network(path)
