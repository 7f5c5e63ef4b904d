"""An installation without the extra `torch`: supported commands, and messages of the others."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

#: Hides the package in this process and in the processes that it starts.
CODE = """
import sys
sys.modules["torch"] = None
from pipeline.commands.cli import main
main(sys.argv[1:])
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_videos_are_annotated(talking_clip, tmp_path):
    done = run("annotate", talking_clip, "-o", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (row,) = pq.read_table(tmp_path / "out" / "videos").to_pylist()
    assert (row["status"], row["faces"]) == ("ok", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["networks"],
        ["evaluate", "landmarks", "--data", "."],
        ["annotate", "VIDEO", "-o", "OUT", "--device", "cuda"],
        ["annotate", "VIDEO", "-o", "OUT", "--device", "cpu", "--precision", "bfloat16"],
    ],
)
def test_what_needs_it_says_so_in_one_line(arguments, faceless_clip, tmp_path):
    places = {"VIDEO": faceless_clip, "OUT": tmp_path / "out"}
    done = run(*(places.get(argument, argument) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs torch: install it with pip install 'facetracks[torch]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
