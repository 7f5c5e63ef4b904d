"""Construction of the landmark networks by name: those of both papers, and the U-net."""

from __future__ import annotations

from typing import Any

from models.landmarks.networks.coordinate_network import CoordinateNetwork
from models.landmarks.networks.heatmap_network import HeatmapNetwork
from models.landmarks.networks.hourglass import StackedHourglass
from models.landmarks.networks.landmark_network import LandmarkNetwork
from models.landmarks.networks.unet import UNet
from schemas.choices import NETWORK_NAMES


def build_network(name: str, landmark_count: int = 68, **settings: Any) -> LandmarkNetwork:
    """A freshly initialized network.

    Args:
        name: one of NETWORK_NAMES.
        landmark_count: landmarks to predict.
        settings: crop_size_px for any of them; dropout for any but the hourglass and the
            U-net; stacks and features for the hourglass; channels and blocks for the U-net.

    Raises:
        ValueError: there is no such network, or a setting is out of range.
        TypeError: the network has no such setting.
    """
    early, late = name.startswith("3d"), name.endswith("rnn")
    match name:
        case "2d" | "3d" | "2drnn" | "3drnn":
            return CoordinateNetwork(landmark_count, early=early, late=late, **settings)
        case "2dfcn" | "3dfcn" | "2dfcrnn" | "3dfcrnn":
            return HeatmapNetwork(landmark_count, early=early, late=late, **settings)
        case "hourglass":
            return StackedHourglass(landmark_count, **settings)
        case "unet":
            return UNet(landmark_count, **settings)
    raise ValueError(f"network: got {name!r}, expected one of {', '.join(NETWORK_NAMES)}")
