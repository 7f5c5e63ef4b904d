"""Names that users pass on the command line. They are here and not beside what they name,
because this module imports nothing.
"""

from __future__ import annotations

from typing import Final

#: Landmark networks, in the order of the local-motion paper's Table 7; then its plain FCNs,
#: FHR's network, and ours.
NETWORK_NAMES: Final = (
    "2d",
    "3d",
    "2drnn",
    "3drnn",
    "2dfcrnn",
    "3dfcrnn",
    "2dfcn",
    "3dfcn",
    "hourglass",
    "unet",
)

#: Settings that only some networks have.
NETWORK_SETTINGS: Final = {"hourglass": ("stacks", "features"), "unet": ("channels", "blocks")}

#: Ways to read a heatmap that expect a Gaussian.
GAUSSIAN_CODECS: Final = ("argmax", "quarter", "fractional", "log_difference", "taylor")

#: All ways to read a heatmap.
CODECS: Final = (*GAUSSIAN_CODECS, "soft_argmax")

#: Standard deviation of a heatmap's Gaussian (FHR, "Training Setting"), heatmap pixels.
SIGMA_PX: Final = 3.0

#: How landmark networks are trained.
RECIPES: Final = ("paper", "modern")

#: Formats of other tools that tracks are exported to.
EXPORT_FORMATS: Final = (
    "openface",
    "py-feat",
    "coco",
    "cvat",
    "fiftyone",
    "pts",
    "npz",
    "rerun",
    "webdataset",
    "huggingface",
)

#: Ends of the names of manifests, which list videos.
MANIFEST_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")

#: What crops of faces are written as.
CROP_FORMATS: Final = ("mp4", "png", "webdataset")

#: Ways to hide a face.
REDACTION_STYLES: Final = ("pixelate", "blur", "fill")

#: Floating-point formats of the landmark network.
PRECISIONS: Final = ("float32", "bfloat16", "int8")

#: Uses of tracks that the licence of weights can be required to allow.
USES: Final = ("commercial",)

#: Landmark weights in the package, by name.
LANDMARK_WEIGHTS: Final = ("fast", "accurate", "default")

#: Stabilizers; a weights file can be given instead.
STABILIZERS: Final = ("none", "one-euro", "rts", "sta", "sta-offline")

#: What a data folder may hold to measure landmark networks on.
EVALUATION_SETS: Final = ("300w/common", "turned/held-out", "ytf68/val")

#: What a data folder may hold to train landmark networks on.
TRAINING_SETS: Final = ("300w", "turned", "pseudo68", "ytf68")

#: Kinds of labelled data sets: `--set KIND[/SPLIT]:PATH`.
SET_KINDS: Final = ("300vw", "snap", "300w", "talking-face", "ytf68", "dlib", "tracks")
