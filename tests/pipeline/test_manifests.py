import json
import logging

import fsspec
import pytest
from manifest_files import mixed_folder, write_manifest

from pipeline.inputs import find_inputs
from pipeline.manifests import read_manifest
from schemas.errors import ManifestError
from schemas.records import Video

ROWS = [
    {"uri": "a.mp4"},
    {"uri": "/abs/b.mp4", "video_id": "bee", "start_seconds": 1.5, "stop_seconds": 3.0},
    {"uri": "s3://bucket/c.mp4", "boxes": "boxes/c.parquet"},
]


@pytest.fixture()
def folder(tmp_path):
    return mixed_folder(tmp_path)


def ids(*inputs) -> list[str]:
    return [v.video_id for v in find_inputs([str(i) for i in inputs]).videos]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_manifest_in_three_formats(tmp_path, suffix):
    url = write_manifest(tmp_path / f"m{suffix}", ROWS)
    expected = [
        Video("a.mp4", str(tmp_path / "a.mp4")),
        Video("bee", "/abs/b.mp4", 1.5, 3.0),
        Video("c.mp4", "s3://bucket/c.mp4", boxes_uri=str(tmp_path / "boxes/c.parquet")),
    ]
    assert list(read_manifest(url)) == expected
    assert list(find_inputs([url]).videos) == expected


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_ids_and_uris_that_look_like_numbers_stay_as_they_are_written(tmp_path, suffix):
    url = write_manifest(tmp_path / f"m{suffix}", [{"uri": "007", "video_id": "01"}])
    (video,) = read_manifest(url)
    assert (video.video_id, video.uri) == ("01", str(tmp_path / "007"))


def test_relative_uris_start_at_the_manifest_wherever_it_lies():
    memory = fsspec.filesystem("memory")
    memory.pipe("/test-manifest/m.csv", b"uri\nclips/a.mp4\n")
    (video,) = read_manifest("memory://test-manifest/m.csv")
    assert video.uri == "memory://test-manifest/clips/a.mp4"


def test_a_manifest_may_name_one_video_twice_with_other_ranges(tmp_path):
    rows = [{"uri": "a.mp4", "stop_seconds": 1}, {"uri": "a.mp4", "start_seconds": 1}]
    found = ids(write_manifest(tmp_path / "m.jsonl", rows))
    assert len(set(found)) == 2


def test_columns_not_used_are_told(tmp_path, caplog):
    url = write_manifest(tmp_path / "m.csv", [{"uri": "a.mp4", "label": "x", "fold": "1"}])
    with caplog.at_level(logging.WARNING):
        list(read_manifest(url))
    assert "columns not used: fold, label" in caplog.text


def test_an_empty_manifest_is_an_input_without_a_video(tmp_path):
    (tmp_path / "m.jsonl").write_text("\n")
    found = find_inputs([str(tmp_path / "m.jsonl")])
    assert not found.videos
    assert found.failures[0].reason == "no_match"


def test_manifests_may_be_left_to_the_pipeline(tmp_path, folder):
    """The first rows are read, so that an invalid manifest fails at once."""
    full = write_manifest(tmp_path / "full.csv", [{"uri": "a.mp4"}, {"uri": "c.mp4"}])
    empty = write_manifest(tmp_path / "empty.jsonl", [])
    found = find_inputs([full, empty, str(folder / "b.mp4")], open_manifests=False)
    assert found.manifests == [full]
    assert [video.video_id for video in found.videos] == ["b.mp4"]
    assert [failure.video.uri for failure in found.failures] == [empty]
    with pytest.raises(ManifestError, match="no such manifest"):
        find_inputs([str(tmp_path / "none.csv")], open_manifests=False)


def test_utf_16_is_told_by_its_name(tmp_path):
    (tmp_path / "m.csv").write_bytes("uri\na.mp4\n".encode("utf-16"))
    with pytest.raises(ManifestError, match="got UTF-16 or UTF-32, expected UTF-8"):
        list(read_manifest(str(tmp_path / "m.csv")))


BAD = {
    "no uri column": ("m.csv", "path,video_id\na,b\n", r"no column uri; got path, video_id; exp"),
    "no uri": ("m.csv", "uri,video_id\na,b\n,c\n", r"row 2: uri is ''|row 2: uri is None"),
    "a number": ("m.jsonl", '{"uri": 5}', r"row 1: uri is 5, expected a path or URL"),
    "blank": ("m.jsonl", '{"uri": "  "}', r"row 1: uri is '  '"),
    "not JSON": ("m.jsonl", '{"uri": "a"}\n{"uri"\n', r"line 2 is not JSON"),
    "a list": ("m.jsonl", "[1, 2]\n", r"line 1: got \[1, 2\], expected an object"),
    "backwards": (
        "m.csv", "uri,start_seconds,stop_seconds\na,5,4\n",
        r"row 1: stop_seconds 4 .*after start_seconds 5",
    ),
    "before zero": ("m.csv", "uri,start_seconds\na,-1\n", r"start_seconds is -1.*expected seconds"),
    "beyond a float": (
        "m.jsonl", '{"uri": "a", "stop_seconds": ' + "9" * 400 + "}", "expected seconds >= 0"
    ),
    "infinite": ("m.csv", "uri,stop_seconds\na,inf\n", r"stop_seconds is inf, expected seconds"),
    "words": ("m.csv", "uri,stop_seconds\na,soon\n", r"row 1: stop_seconds is 'soon', exp"),
    "a column twice": ("m.csv", "uri,uri\na,b\n", r"got several columns uri, expected one"),
    "a truth": ("m.jsonl", '{"uri": "a", "stop_seconds": true}\n', r"is True, expected sec"),
    "lists in lists": ("m.jsonl", "[" * 100_000 + "\n", r"line 1 is not JSON: .*recursion"),
    "an id twice": ("m.csv", "uri,video_id\na,x\nb,x\n", r"row 2: video_id 'x' is used twice"),
    "nothing": ("m.csv", "", r"cannot be read as a manifest"),
    "no Parquet": ("m.parquet", "text", r"cannot be read as a manifest"),
    "no UTF-8": ("m.jsonl", b"\xff\xfe\x00", r"cannot be read as a manifest"),
    "ragged": ("m.csv", "uri,video_id\na,b,c\n", r"cannot be read as a manifest"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BAD))
def test_a_manifest_that_cannot_be_used_says_where_and_why(tmp_path, what):
    name, content, message = BAD[what]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ManifestError, match=message) as told:
        list(read_manifest(str(path)))
    assert str(path) in str(told.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.csv: no such manifest"):
        find_inputs([str(tmp_path / "none.csv")])


def test_line_breaks_in_quoted_values_of_a_csv_of_any_size(tmp_path):
    """Longer than Arrow's blocks of 1 MiB, with breaks in every row and one very long row."""
    rows = [f'clips/{i}.mp4,"line {i}\nof a caption\r\nand more"' for i in range(40_000)]
    rows.append('clips/long.mp4,"' + "x\n" * 1_000_000 + '"')
    path = tmp_path / "m.csv"
    path.write_bytes("\n".join(["uri,caption", *rows, ""]).encode())
    videos = list(read_manifest(str(path)))
    assert len(videos) == 40_001
    assert videos[39_999].video_id == "39999.mp4"
    assert videos[-1].uri == str(tmp_path / "clips/long.mp4")


@pytest.mark.parametrize("break_", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_feeds_end_the_lines_of_a_jsonl(tmp_path, break_):
    path = tmp_path / "m.jsonl"
    rows = [{"uri": "a.mp4", "caption": f"one{break_}two"}, {"uri": "b.mp4"}]
    path.write_text("\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows), newline="")
    assert [v.video_id for v in read_manifest(str(path))] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_mark_of_utf8_is_no_part_of_the_first_column(tmp_path, name):
    text = "uri,video_id\na.mp4,x\n" if name == "m.csv" else '{"uri": "a.mp4", "video_id": "x"}\n'
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    (video,) = read_manifest(str(tmp_path / name))
    assert (video.video_id, video.uri) == ("x", str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_told_in_clear_words(tmp_path, name, encoding):
    text = "uri\na.mp4\n" if name == "m.csv" else '{"uri": "a.mp4"}\n'
    (tmp_path / name).write_text(text, encoding=encoding)
    with pytest.raises(ManifestError, match="got UTF-16 or UTF-32, expected UTF-8"):
        list(read_manifest(str(tmp_path / name)))
