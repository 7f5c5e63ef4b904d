"""The pages that are made, and the notebook, are what the code is."""

import runpy
import shutil
from pathlib import Path

import pytest

import facetracks

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_the_api_is_current():
    api_page = runpy.run_path(str(DOCS / "make_api.py"))["api_page"]
    page = api_page()
    assert (DOCS / "api.md").read_text() == page, "python docs/make_api.py makes it again"
    for name in facetracks.__all__:
        assert f"\n## {name}\n" in page or name == "__version__"
    assert "**Raises**" in page
    assert "<factory>" not in page


@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(talking_clip, tmp_path, monkeypatch, capsys):
    (tmp_path / "videos").mkdir()
    shutil.copy(talking_clip, tmp_path / "videos" / "talking.mp4")
    monkeypatch.chdir(tmp_path)
    seen = runpy.run_path(str(DOCS / "notebook.py"))
    assert seen["summary"].statuses == {"ok": 1}
    assert seen["landmarks_px"].shape == (seen["tracks"].num_rows, 68, 2)
    assert seen["clip"].num_rows == seen["tracks"].num_rows
    assert len(seen["faces"]) == 1
    assert seen["crops"].crops == seen["exported"].rows == seen["tracks"].num_rows
    assert seen["hidden"] == 150
    said = capsys.readouterr().out
    assert "{'ok': 1}" in said
    assert "('ok', 1)" in said
