import pyarrow.parquet as pq
from track_tables import assert_same_tracks


def test_decoding_apart_from_aligning_gives_the_same_tracks(facetracks, talking_clip, tmp_path):
    tables = []
    for name, options in (("together", ()), ("apart", ("--separate-decode",))):
        ended = facetracks(
            "annotate", talking_clip, "--output", tmp_path / name, "--device", "cpu",
            "--workers", 2, "--segment-seconds", 2, *options,
        )  # fmt: skip
        assert ended.status == 0, ended.err
        tables.append(pq.read_table(tmp_path / name / "tracks" / "talking.mp4.parquet"))
    assert tables[0].num_rows > 150
    assert_same_tracks(*tables)


def test_a_size_that_no_runner_could_read_is_refused(facetracks):
    ended = facetracks("annotate", "a.mp4", "--output", "out", "--align-ram=much")
    assert ended.status == 2
    assert "much" in ended.err
