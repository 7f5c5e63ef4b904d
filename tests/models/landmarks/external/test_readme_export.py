"""The README's export of a torch network, run as written."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from models.landmarks.model import load_landmark_model

README = Path(__file__).parents[4] / "README.md"


def test_the_readmes_export_runs(tmp_path: Path) -> None:
    text = README.read_text()
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "onnx.export" in c]
    (card,) = re.findall(r"```json\n(.*?)```", text, re.S)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "net.json").write_text(card)
    model = load_landmark_model(tmp_path / "net.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    found = model.predict(crops, np.arange(3)[:, None])
    assert found.shape == (3, 68, 2)
    assert np.abs(found[0] - found[1]).max() > 1e-3
