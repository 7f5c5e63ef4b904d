"""The face detector's network: fully convolutional, four strides, one face score a cell.

    image --/4--> stem --> s8 --> s16 --> s32 --> s64      down: halve, then residual blocks
                           |       |       |       |
                           v       v       v       v
                          p8 <--- p16 <-- p32 <-- p64      up: 1x1, nearest x2, add
                           |       |       |       |
                         5 maps  5 maps  5 maps  5 maps    score logit, dx, dy, log w, log h

Small faces are found at stride 8, faces as large as the image at stride 64.
B batch, C channels, H, W; maps of a level are (B, 5, H / stride, W / stride).
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.atomic_write import atomic_write
from models.detection.boxes import cell_centres, decode_boxes
from schemas.errors import WeightsError

__all__ = [
    "DetectorConfig",
    "DetectorNetwork",
    "decode_levels",
    "detector_licence",
    "load_detector_network",
    "save_detector_network",
]

_FORMAT = "facetracks-face-detector-1"
_NEUTRAL_GREY = 114.0
_GREY_SCALE = 1 / 64
#: What detectors that `train detector` makes of the research data may be used for.
_LICENCE = "research use only: so is the footage that taught it"
_PRIOR_LOGIT = -4.6  # a cell holds a face one time in a hundred, before training


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Everything that builds a `DetectorNetwork`, and how it wants to be used.

    Attributes:
        stem_channels: channels at strides 2 and 4.
        stage_channels: channels at strides 8, 16, 32 and 64.
        head_channels: channels of the way back up.
        input_longest_side_px: what larger images are to be reduced to.
        score_threshold: where recall and precision balance.
    """

    stem_channels: tuple[int, int] = (16, 32)
    stage_channels: tuple[int, int, int, int] = (48, 64, 64, 64)
    head_channels: int = 48
    input_longest_side_px: int = 640
    score_threshold: float = 0.53

    @property
    def strides_px(self) -> tuple[int, ...]:
        """Cell distances of the levels, fine to coarse."""
        return (8, 16, 32, 64)


class ConvNormRelu(nn.Sequential):
    """Convolution, BatchNorm, ReLU; 3x3 or 1x1, padded so that stride 1 keeps the size."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3, then a 1x1 that mixes channels."""
    return nn.Sequential(
        ConvNormRelu(in_channels, in_channels, 3, stride, groups=in_channels),
        ConvNormRelu(in_channels, out_channels, 1),
    )


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        change: torch.Tensor = self.body(x)
        return x + change


class DetectorNetwork(nn.Module):
    """Face score and box code for every cell of four grids over the image."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        half, quarter = self.config.stem_channels
        c8, c16, c32, c64 = self.config.stage_channels
        head = self.config.head_channels
        self.stem = nn.Sequential(
            ConvNormRelu(3, half, 3, 2),
            ConvNormRelu(half, quarter, 3, 2),
        )
        plain8 = nn.Sequential(ConvNormRelu(c8, c8, 3), ConvNormRelu(c8, c8, 3))
        plain16 = nn.Sequential(ConvNormRelu(c16, c16, 3), ConvNormRelu(c16, c16, 3))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(ConvNormRelu(quarter, c8, 3, 2), Residual(plain8)),
                nn.Sequential(ConvNormRelu(c8, c16, 3, 2), Residual(plain16)),
                nn.Sequential(
                    ConvNormRelu(c16, c32, 3, 2),
                    Residual(separable(c32, c32)),
                    Residual(separable(c32, c32)),
                ),
                nn.Sequential(
                    separable(c32, c64, 2),
                    Residual(separable(c64, c64)),
                    Residual(separable(c64, c64)),
                ),
            ]
        )
        self.laterals = nn.ModuleList(
            [ConvNormRelu(c, head, 1) for c in self.config.stage_channels]
        )
        self.heads = nn.ModuleList(
            [
                nn.Sequential(separable(head, head), separable(head, head), nn.Conv2d(head, 5, 1))
                for _ in self.config.strides_px
            ]
        )
        for module in self.heads.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
                module.bias.data[0] = _PRIOR_LOGIT

    def to_channels_last(self) -> DetectorNetwork:
        """This network, its kernels laid out the way that is fastest on a CPU."""
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Maps of every level, fine to coarse.

        Args:
            image: (B, 3, H, W) float RGB in 0 to 255; H and W multiples of 64.

        Returns: a list of (B, 5, H / stride, W / stride), one for each stride.
        """
        x = self.stem((image - _NEUTRAL_GREY).mul_(_GREY_SCALE))
        down: list[torch.Tensor] = []
        for stage in self.stages:
            x = stage(x)
            down.append(x)
        up = self.laterals[-1](down[-1])
        levels = [self.heads[-1](up)]
        for i in range(len(down) - 2, -1, -1):
            up = self.laterals[i](down[i]) + functional.interpolate(up, scale_factor=2.0)
            levels.insert(0, self.heads[i](up))
        return levels

    def folded(self) -> DetectorNetwork:
        """A copy for inference with every BatchNorm folded into its convolution."""
        network = copy.deepcopy(self).eval()
        for module in network.modules():
            if isinstance(module, ConvNormRelu) and isinstance(module[1], nn.BatchNorm2d):
                conv, norm = module[0], module[1]
                assert isinstance(conv, nn.Conv2d)
                module[0] = fuse_conv_bn_eval(conv, norm)
                module[1] = nn.Identity()
        return network.requires_grad_(False).to_channels_last()


def decode_levels(
    levels: list[torch.Tensor], strides_px: tuple[int, ...], *, score_threshold: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Boxes and scores of the cells of one image that score at least the threshold.

    Args:
        levels: what the network returns for a batch of one.
        strides_px: the levels' strides.
        score_threshold: in [0, 1].

    Returns: (N, 4) float32 xyxy boxes in pixels, many a face, and (N,) float32 scores.
    """
    boxes, scores = [], []
    for maps, stride_px in zip(levels, strides_px, strict=True):
        _, channels, rows, columns = maps.shape
        cells = maps[0].permute(1, 2, 0).reshape(-1, channels)  # (H * W, 5)
        score = cells[:, 0].sigmoid()
        sure = torch.nonzero(score >= score_threshold)[:, 0]
        centres = cell_centres(rows, columns, stride_px)[sure]
        boxes.append(decode_boxes(cells[sure, 1:], centres, stride_px))
        scores.append(score[sure])
    return torch.cat(boxes).numpy(), torch.cat(scores).numpy()


def save_detector_network(
    network: DetectorNetwork, path: Path, *, licence: str | None = None
) -> None:
    """Writes the weights in half precision, with config and licence in the file's header.

    Without `licence`, they are for research only.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {
        "format": _FORMAT,
        "config": json.dumps(asdict(network.config)),
        "licence": licence or _LICENCE,
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_detector_network(path: Path) -> DetectorNetwork:
    """Reads a file of `save_detector_network`; the network is in eval mode.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"face detector weights are missing: no file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} is not a face detector: its format is {metadata.get('format')!r}, "
            f"expected {_FORMAT!r}"
        )
    try:
        network = DetectorNetwork(_read_config(metadata["config"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} holds no usable detector config: {error}") from error
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit its own config: {error}") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise WeightsError(
            f"{path} does not fit its own config: missing {missing}, unexpected {unexpected}"
        )
    return network.eval()


def detector_licence(path: Path) -> str:
    """What the header of a file of `save_detector_network` says it may be used for.

    Files from before headers said so give `unknown`.
    """
    with safe_open(path, framework="pt") as file:
        return str((file.metadata() or {}).get("licence", "unknown"))


def _read_config(text: str) -> DetectorConfig:
    fields: dict[str, Any] = json.loads(text)
    half, quarter = map(int, fields["stem_channels"])
    c8, c16, c32, c64 = map(int, fields["stage_channels"])
    return DetectorConfig(
        stem_channels=(half, quarter),
        stage_channels=(c8, c16, c32, c64),
        head_channels=int(fields["head_channels"]),
        input_longest_side_px=int(fields["input_longest_side_px"]),
        score_threshold=float(fields["score_threshold"]),
    )
