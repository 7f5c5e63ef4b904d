"""`probe`: the report before a run."""

import json

import pyarrow.parquet as pq
import pytest
from clips import drifting, write_clip, write_sound

from pipeline.commands.probe import summary_of, summary_text
from pipeline.probing.probe import probe
from pipeline.probing.probe_costs import CostModel, Sample
from pipeline.settings import AnnotateSettings
from schemas.probes import PROBE_SCHEMA


@pytest.fixture(scope="module")
def folder(tmp_path_factory, talking_clip):
    """A face; a rotated clip with a variable rate; sound only; text; an empty file."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "talking.mp4").write_bytes(talking_clip.read_bytes())
    uneven = [*range(0, 20, 2), *range(20, 60, 4)]
    write_clip(folder / "uneven.mp4", drifting(20, 96, 64), pts=uneven, rate=50, rotation_deg=90)
    write_sound(folder / "sound.mp4")
    (folder / "text.mp4").write_text("no video" * 99)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return probe([folder, folder / "none.mp4"], AnnotateSettings(workers=1))


def test_a_row_an_input(found, talking_clip):
    assert found.videos.schema.equals(PROBE_SCHEMA)
    rows = {row["video_id"]: row for row in found.videos.to_pylist()}
    broken = {name: row["reason"] for name, row in rows.items() if row["status"] == "broken"}
    assert broken == {
        "sound.mp4": "no_video_stream", "text.mp4": "not_a_video", "empty.mp4": "empty",
        "none.mp4": "not_found",
    }  # fmt: skip
    talking = rows["talking.mp4"]
    assert talking["size_bytes"] == talking_clip.stat().st_size
    assert (talking["codec"], talking["pixel_format"]) == ("h264", "yuv420p")
    assert (talking["width"], talking["height"], talking["rotation_deg"]) == (256, 128, 0)
    assert (talking["frames"], talking["fps"], talking["variable_rate"]) == (150, 25, False)
    assert talking["duration_seconds"] == pytest.approx(6, abs=0.05)
    assert 4 <= talking["sampled_frames"] <= 10  # 4 % of 6 s
    assert talking["sampled_faces"] >= talking["sampled_frames"]
    assert talking["work_seconds"] > rows["uneven.mp4"]["work_seconds"] > 0
    uneven = rows["uneven.mp4"]
    assert (uneven["width"], uneven["height"], uneven["rotation_deg"]) == (64, 96, 90)
    assert rows["empty.mp4"]["work_seconds"] == 0


def test_the_sum_of_all(found):
    told = summary_of(found, 10, price_per_hour=3.6)
    assert (told["inputs"], told["codecs"]) == (6, {"h264": 2})
    assert sum(told["broken"].values()) == 4
    assert told["rotations"] == {"90": 1}
    assert told["sizes"] == {"256x128": 1, "64x96": 1}
    assert told["work_seconds"] == pytest.approx(sum(found.videos["work_seconds"].to_pylist()))
    assert told["seconds_on_workers"] == found.start_seconds + found.work_seconds / 10
    assert told["cost_on_workers"] == pytest.approx(told["seconds_on_workers"] * 10 / 1000)
    words = summary_text(told)
    for part in ("6 inputs, 4 of them broken", "h264 (2)", "text.mp4", "on 10 workers like these"):
        assert part in words
    json.dumps(told)


def test_the_command_writes_a_table_and_what_annotate_reads(facetracks, folder, tmp_path):
    ended = facetracks(
        "probe", folder / "uneven.mp4", "--json", "--workers", 1,
        "--to", tmp_path / "probe.parquet", "-o", tmp_path / "out",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told == json.loads((tmp_path / "out" / "probe.json").read_text())
    assert pq.read_table(tmp_path / "probe.parquet").schema.equals(PROBE_SCHEMA)
    again = facetracks("annotate", folder / "uneven.mp4", "-o", tmp_path / "out", "--workers", 1)
    assert f"probe estimated {told['seconds_here']:.0f} s, the run took" in again.out
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["predicted_seconds"] == told["seconds_here"]
    done = facetracks("annotate", folder / "uneven.mp4", "-o", tmp_path / "out", "--workers", 1)
    assert "probe estimated" not in done.out


def sample(**more) -> Sample:
    values = {
        "seconds": 2.0, "frames": 50, "repeats": 0, "rows": 100, "pixels": 1000, "codec": "h264",
        "segments": 3, "plan_seconds": 0.5, "decode_seconds": 1.0, "detect_seconds": 2.2,
        "crop_seconds": 0.1, "overhead_seconds": 0.25,
    }  # fmt: skip
    return Sample(**values | more)


def test_work_by_hand():
    costs = CostModel(0.01, 0.002, 0.3, [sample()])
    # 500 frames of 20 ms, 101 detections of 0.2 s, 1000 faces of 13 ms, 3 segments, a plan, a file
    by_hand = 500 * 0.02 + 101 * 0.2 + 1000 * 0.013 + 3 * 0.25 + 0.5 + 0.3
    assert costs.faces_per_frame() == 2
    assert costs.work_seconds(costs.samples[0], seconds=20, frames=500) == pytest.approx(by_hand)
    assert costs.work_seconds(None, seconds=20, frames=500) == pytest.approx(by_hand - 2 * 0.25)


def test_larger_frames_and_other_codecs_take_their_own_time():
    slow = sample(codec="hevc", decode_seconds=4.0)
    costs = CostModel(0.0, 0.0, 0.0, [sample(), slow])
    one, other = (costs.work_seconds(s, seconds=2, frames=50) for s in costs.samples)
    assert other - one == pytest.approx(3.0)
    large = sample(pixels=4000)
    four_times = CostModel(0.0, 0.0, 0.0, [sample()]).work_seconds(large, seconds=2, frames=50)
    once = CostModel(0.0, 0.0, 0.0, [sample()]).work_seconds(sample(), seconds=2, frames=50)
    assert four_times - once == pytest.approx(3.0)


def test_nothing_that_could_be_sampled():
    assert CostModel(0.0, 0.0, 0.0).work_seconds(None, seconds=9, frames=9) == 0
    assert CostModel(0.0, 0.0, 0.0).faces_per_frame() == 0
