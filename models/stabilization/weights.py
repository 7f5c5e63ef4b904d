"""The file of a fitted stabilizer: one safetensors file, numbers as tensors, words as metadata.

It holds everything that `facetracks train stabilizer` fits: the Bayesian filter, the offline
smoother, and the parameters of the simpler filters that were tuned on the same tracks.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, get_args

import numpy as np

from models.stabilization.bayesian_filter import Covariance, FilterParameters
from models.stabilization.mode_smoother import SmootherParameters
from models.tensor_file import read_tensors, write_tensors
from schemas.errors import WeightsError

DEFAULT_STABILIZER_WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "stabilizer.safetensors"
_FORMAT: Final = "facetracks stabilizer weights 2"
#: Without `filter.jitter`.
_FORMER_FORMAT: Final = "facetracks stabilizer weights 1"
_FILTER: Final = ("gamma", "weights", "prior", "noise", "jitter")
_SMOOTHER: Final = tuple(f.name for f in fields(SmootherParameters)[2:])  # no arrays
_WORDS: Final = ("covariance", "stabilizer", "licence", "training")


@dataclass(frozen=True, slots=True)
class StabilizerWeights:
    """What was fitted.

    filter: the Bayesian filter; covariance: its reading of Eq. 9.
    smoother: the offline smoother.
    baselines: parameters of the simpler filters, by name.
    stabilizer: the name of the one that measured best; the one that a path to the file selects.
    licence, training: what the training data allows; where the numbers come from.
    sha256: hex digest of the file they were read from.
    """

    filter: FilterParameters
    smoother: SmootherParameters
    baselines: Mapping[str, Mapping[str, float]]
    covariance: Covariance = "diagonal"
    stabilizer: str = "rts"
    licence: str = ""
    training: str = ""
    sha256: str = field(default="", compare=False)


def save_stabilizer_weights(path: Path, fitted: StabilizerWeights) -> None:
    """Writes the file whole or not at all; V in single precision, made orthonormal on loading."""
    theta, smoother = fitted.filter, fitted.smoother
    tensors = {
        "eigenvectors": theta.eigenvectors.astype(np.float32),
        "filter.gamma": np.array([theta.gamma]),
        "filter.weights": theta.weights,
        "filter.prior": theta.prior,
        "filter.noise": theta.noise,
        "filter.jitter": theta.jitter,
        "smoother.jitter": smoother.jitter,
        **{f"smoother.{name}": np.array([getattr(smoother, name)]) for name in _SMOOTHER},
    }
    words = {
        "format": _FORMAT,
        "baselines": {name: dict(values) for name, values in fitted.baselines.items()},
        **{name: getattr(fitted, name) for name in _WORDS},
    }
    # One value of metadata: the order of several is not fixed.
    write_tensors(path, tensors, {"card": json.dumps(words)})


def load_stabilizer_weights(path: Path = DEFAULT_STABILIZER_WEIGHTS) -> StabilizerWeights:
    """Reads a file of `save_stabilizer_weights`; cached until the file changes.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"stabilizer weights: no such file: {path}")
    return _load(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _load(path: Path, modified_ns: int) -> StabilizerWeights:
    try:
        tensors, metadata = read_tensors(path, "stabilizer weights")
        words = json.loads(metadata.get("card", "{}"))
        if words.get("format") not in (_FORMAT, _FORMER_FORMAT):
            raise WeightsError(
                f"{path}: not stabilizer weights: metadata format is "
                f"{words.get('format')!r}, expected {_FORMAT!r}"
            )
        if words["covariance"] not in get_args(Covariance):
            raise ValueError(f"covariance: got {words['covariance']!r}, expected diagonal or full")
        # The orthonormal matrix nearest to the rounded one.
        left, _, right = np.linalg.svd(tensors["eigenvectors"].astype(np.float64))
        basis = np.ascontiguousarray(left @ right)
        fitted = _FILTER if words["format"] == _FORMAT else _FILTER[:-1]
        values = {name: tensors[f"filter.{name}"].astype(np.float64) for name in fitted}
        numbers = {name: float(tensors[f"smoother.{name}"][0]) for name in _SMOOTHER}
        jitter = tensors["smoother.jitter"].astype(np.float64)
        gamma = float(values.pop("gamma")[0])
        return StabilizerWeights(
            filter=FilterParameters(basis, gamma, **values),
            smoother=SmootherParameters(basis, jitter, **numbers),
            baselines=words["baselines"],
            **{name: words[name] for name in _WORDS},
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{path}: not readable stabilizer weights: {error}") from error
