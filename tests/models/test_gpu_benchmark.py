"""The GPU benchmark, run on the CPU."""

import pytest

from tests.benchmarks import gpu

torch = pytest.importorskip("torch")


def test_it_runs_to_its_end_and_the_device_agrees_with_the_cpu(capsys):
    tiny = ["--device", "cpu", "--networks", "unet", "--windows", "2", "--seconds", "0"]
    assert gpu.main([*tiny, "--no-compile"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["roofline", "float32"], ["roofline", "bfloat16"],
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[3:5]] == [["unet", "float32"], ["unet", "bfloat16"]]
    assert all(float(line.split()[2]) > 0 for line in lines[3:5])
    assert sum("px at most" in line for line in lines) == 4


def test_where_there_is_no_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--device", "cuda:99"])
    assert ended.value.code == 2
    assert "this machine has" in capsys.readouterr().err
