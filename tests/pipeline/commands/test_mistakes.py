"""Help and usage errors: one line, from a program that has loaded no heavy modules."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

HEAVY = ("apache_beam", "av", "cv2", "scipy", "torch")

HELP = [
    [], ["demo"], ["annotate"], ["render"], ["derive"], ["probe"], ["report"], ["crop"], ["redact"],
    ["export"], ["compact"], ["forget"], ["sample"], ["networks"], ["completion"],
    ["evaluate"], ["evaluate", "tracks"], ["evaluate", "landmarks"], ["evaluate", "detector"],
    ["evaluate", "coverage"], ["evaluate", "codecs"], ["evaluate", "stabilizers"],
    ["train"], ["train", "landmarks"], ["train", "detector"], ["train", "stabilizer"],
]  # fmt: skip

#: The command line, and the expected message.
MISTAKES = {
    "": ["required: COMMAND"],
    "anotate clips -o out": ["got 'anotate'", "did you mean annotate?"],
    "clips -o out": ["got 'clips', expected one of demo, annotate"],
    "annotate clips": ["required: -o/--output"],
    "annotate -o out": ["required: INPUT"],
    "annotate clips -o out --overwite": ["option --overwite", "did you mean --overwrite?"],
    "annotate clips -o out --stabiliser sta": ["did you mean --stabilizer?"],
    "annotate clips -o out --gpu": ["unknown option --gpu"],
    "annotate clips -o out --device gpu": ["--device: got 'gpu'", "cuda:i"],
    "annotate clips -o out --workers 0": ["--workers: got '0'", "from 1 up"],
    "annotate clips -o out --stabilizer kalman": ["got 'kalman'", "one-euro"],
    "annotate clips -o out --weights accurat": ["got 'accurat'", "did you mean accurate?"],
    "annotate clips -o out --weights none.safetensors": ["no such file: none.safetensors"],
    "annotate clips -o out --detector yunet:none.onnx": ["no such file: none.onnx"],
    "annotate clips -o out --precision fp16": [
        "got 'fp16', expected one of float32, bfloat16, int8"
    ],
    "annotate clips -o out --require-licence free": ["got 'free', expected one of commercial"],
    "forget out": ["required: VIDEO_ID"],
    "probe": ["required: INPUT"],
    "probe clips --to probe.csv": ["got 'probe.csv'", ".parquet"],
    "probe clips --price-per-hour free": ["got 'free', expected a number above 0"],
    "report out --thumbnails -1": ["--thumbnails: got '-1'", "from 0 up"],
    "annotate clips -o out --retry hung": ["got hung, expected some of", "decoder_hung"],
    "annotate clips -o out --segment-seconds ten": ["got 'ten', expected a number above 0"],
    "annotate -o out --overwrite clips more": [],
    "render clip.mp4 --to overlay.mp4": ["required: --tracks"],
    "render clip.mp4 --tracks out --to overlay.avi": ["got 'overlay.avi'", ".mp4 or .png"],
    "render clip.mp4 --tracks out --to sheet.png --frames none": ["--frames: got 'none'"],
    "render clip.mp4 other.mp4 --tracks out --to o.mp4": ["got 'other.mp4'", "one argument too"],
    "crop clip.mp4 --tracks out --to faces --format gif": ["got 'gif', expected one of mp4"],
    "crop clip.mp4 --tracks out --to faces --max-yaw 0": ["--max-yaw: got '0'"],
    "export out --format openfaces --to csv": ["got 'openfaces'", "did you mean openface?"],
    "export out --to csv": ["required: --format"],
    "redact clip.mp4 --tracks out --to hidden.avi": ["got 'hidden.avi'", ".mp4 or .mov or .mkv"],
    "redact clip.mp4 --tracks out --to o.mp4 --style smear": ["got 'smear', expected one of"],
    "sample clip.mov": ["got 'clip.mov'", ".mp4"],
    "evaluate landmark --data data": ["got 'landmark'", "did you mean landmarks?"],
    "fit-stabilizer": ["facetracks train stabilizer:", "required: --output"],
    "evaluate-stabilizers --draws 0": ["facetracks evaluate stabilizers:", "--draws: got '0'"],
    "evaluate landmarks": ["got no data set, expected --data or --set"],
    "evaluate landmarks --data data --draws -1": ["--draws: got '-1'", "from 0 up"],
    "train landmarks --output runs": ["got no data set, expected --data or --set"],
    "train landmarks --data d --output r --network 4d": ["got '4d', expected one of 2d, 3d"],
    "train landmarks --data d --output r --minutes 1 --epochs 2": ["not allowed with"],
    "completion fish": ["got 'fish'", "bash"],
}
MISTAKES.pop("annotate -o out --overwrite clips more")  # no error: inputs may come last

PROGRAM = """
import contextlib, io, json, sys
from pipeline.commands.cli import main

answers = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as ended:
            answers.append((ended.code or 0, out.getvalue(), err.getvalue()))
print(json.dumps({"answers": answers, "loaded": sorted(sys.modules)}))
"""


class Answer(NamedTuple):
    """The result of a command line."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, object]:
    """The results of every line above in one process, and the modules that it loaded."""
    lines = [[*words, "--help"] for words in HELP] + [["--version"]]
    lines += [line.split() for line in MISTAKES]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(lines), capture_output=True, text=True, check=True,
        cwd=tmp_path_factory.mktemp("empty"),
    )  # fmt: skip
    found = json.loads(ended.stdout)
    answers = [Answer(*answer) for answer in found["answers"]]
    keys = [" ".join(line) for line in lines]
    return {"loaded": found["loaded"], **dict(zip(keys, answers, strict=True))}


def test_nothing_heavy_is_loaded(told):
    assert "argparse" in told["loaded"]
    assert [name for name in HEAVY if name in told["loaded"]] == []


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_every_command_explains_itself(told, words):
    answer = told[" ".join([*words, "--help"])]
    assert answer.status == 0
    assert answer.out.startswith(" ".join(["usage: facetracks", *words]))
    if words not in (["evaluate"], ["train"]):
        shown = answer.out.partition("examples:\n")[2] or answer.out
        assert shown.count(" ".join(["facetracks", *words])) >= 2


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_in_one_line(told, line):
    answer = told[line]
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("facetracks")
    assert answer.err.count("\n") == 1
    for words in MISTAKES[line]:
        assert words in answer.err


def test_newcomers_find_their_commands_first(told):
    commands = re.findall(r"^    (\S+)", told["--help"].out, re.MULTILINE)
    assert commands[:3] == ["demo", "annotate", "render"]


def test_options_of_annotate_come_in_groups_with_examples(told):
    text = told["annotate --help"].out
    groups = ["input:", "output:", "quality:", "this machine:", "cluster:", "limits:"]
    assert [line for line in text.splitlines() if line in groups] == groups
    for before, after in zip(groups, [*groups[1:], "examples:"], strict=True):
        section = text[text.index(f"\n{before}\n") : text.index(f"\n{after}\n")]
        assert section.count("  facetracks annotate ") == 2


def test_the_version_is_that_of_the_package(told):
    import facetracks

    assert told["--version"].out == f"facetracks {facetracks.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_can_complete_options(facetracks, shell):
    ended = facetracks("completion", shell)
    assert ended.status == 0
    assert "segment-seconds" in ended.out


def test_a_script_for_bash_is_one_that_bash_reads(facetracks, tmp_path):
    script = Path(tmp_path / "completion.bash")
    script.write_text(facetracks("completion", "bash").out)
    subprocess.run(["/bin/bash", "-n", script], check=True)
