import json
import logging
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.inputs import find_inputs
from pipeline.manifests import read_manifest
from schemas.errors import HostError, ManifestError, UsageError
from schemas.records import Video
from transforms.select_videos import inspect_video


@pytest.fixture()
def folder(tmp_path):
    for name in ("b.mp4", "a.mkv", "deep/c.mp4", "notes.txt", ".hidden.mp4", ".git/d.mp4", "s.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def ids(*inputs, **options) -> list[str]:
    return [v.video_id for v in find_inputs([str(i) for i in inputs], **options).videos]


def test_a_file_is_a_video_by_its_name(folder):
    (video,) = find_inputs([str(folder / "b.mp4")]).videos
    assert video == Video("b.mp4", str(folder / "b.mp4"))


def test_a_file_that_is_not_there_is_still_an_input(folder):
    """So that it ends as a row that says not_found."""
    assert ids(folder / "none.mp4") == ["none.mp4"]


def test_a_folder_gives_what_may_be_videos_by_their_paths(folder, caplog):
    with caplog.at_level(logging.WARNING):
        assert ids(folder) == ["a.mkv", "b.mp4", "deep/c.mp4"]
    assert "4 files are no videos by their names" in caplog.text


def test_patterns(folder):
    assert ids(folder / "*.mp4") == ["b.mp4"]
    assert ids(folder / "**/*.mp4") == ["b.mp4", "c.mp4"]
    assert ids(folder / "?.m*") == ["a.mkv", "b.mp4"]
    assert ids(folder / "[ab].m*") == ["a.mkv", "b.mp4"]


@pytest.mark.parametrize("name", ["[x].mp4", "what?.mp4", "a*.mp4", "{a,b}.mp4"])
def test_a_name_that_looks_like_a_pattern_is_the_file(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "x.mp4").touch()
    (video,) = find_inputs([str(tmp_path / name)]).videos
    assert video.uri == str(tmp_path / name)


def test_names_with_brackets_are_found_by_patterns_and_folders(tmp_path):
    (tmp_path / "[x].mp4").touch()
    assert ids(tmp_path) == ids(tmp_path / "*.mp4") == ["[x].mp4"]


@pytest.mark.parametrize("what", ["*.avi", "empty"])
def test_what_holds_no_video_is_a_failure_of_its_own(folder, what):
    (folder / "empty").mkdir()
    found = find_inputs([str(folder / what), str(folder / "b.mp4")])
    (failure,) = found.failures
    assert failure.reason == "no_match"
    assert str(folder / what) in failure.message
    assert [v.video_id for v in found.videos] == ["b.mp4"]
    assert len(found) == 2


def test_the_order_is_that_of_the_arguments_and_twice_is_once(folder, caplog):
    b, a = folder / "b.mp4", folder / "a.mkv"
    with caplog.at_level(logging.WARNING):
        assert ids(b, a, b, folder / "*.mkv") == ["b.mp4", "a.mkv"]
    assert "2 inputs were given twice" in caplog.text


def test_different_videos_of_one_name_get_ids_of_their_own(folder, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b.mp4").touch()
    one, other = ids(folder / "b.mp4", tmp_path / "x" / "b.mp4")
    assert one != other
    assert one.startswith("b.mp4-")
    assert other.startswith("b.mp4-")
    assert ids(folder / "b.mp4", tmp_path / "x" / "b.mp4") == [one, other]


def test_limit(folder):
    assert ids(folder, limit=2) == ["a.mkv", "b.mp4"]
    assert ids(folder, limit=9) == ["a.mkv", "b.mp4", "deep/c.mp4"]


def test_urls():
    urls = ["https://host/path/clip.mp4?token=a/b", "http://host/", "memory://f/z.mp4"]
    videos = list(find_inputs(urls).videos)
    assert [v.video_id for v in videos] == ["clip.mp4", "http://host/", "z.mp4"]
    assert videos[0].uri == "https://host/path/clip.mp4?token=a/b"
    assert videos[2].uri == "memory:///f/z.mp4"


def test_folders_and_patterns_of_an_object_store():
    memory = fsspec.filesystem("memory")
    for name in ("a.mp4", "deep/b.mp4"):
        memory.pipe(f"/test-inputs/{name}", b"")
    found = find_inputs(["memory://test-inputs"]).videos
    assert [(v.video_id, v.uri) for v in found] == [
        ("a.mp4", "memory:///test-inputs/a.mp4"),
        ("deep/b.mp4", "memory:///test-inputs/deep/b.mp4"),
    ]
    assert ids("memory://test-inputs/*.mp4") == ["a.mp4"]


ROWS = [
    {"uri": "a.mp4"},
    {"uri": "/abs/b.mp4", "video_id": "bee", "start_seconds": 1.5, "stop_seconds": 3.0},
    {"uri": "s3://bucket/c.mp4", "boxes": "boxes/c.parquet"},
]


def write_manifest(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
        if path.suffix == ".csv":
            pa.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
    return str(path)


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
    """Their first rows are read, so that one that cannot be used shows at once."""
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
    "infinite": ("m.csv", "uri,stop_seconds\na,inf\n", r"stop_seconds is inf, expected seconds"),
    "words": ("m.csv", "uri,stop_seconds\na,soon\n", r"row 1: stop_seconds is 'soon', exp"),
    "a column twice": ("m.csv", "uri,uri\na,b\n", r"got several columns uri, expected one"),
    "a truth": ("m.jsonl", '{"uri": "a", "stop_seconds": true}\n', r"is True, expected sec"),
    "lists in lists": ("m.jsonl", "[" * 100_000 + "\n", r"line 1 is not JSON: .*recursion"),
    "an id twice": ("m.csv", "uri,video_id\na,x\nb,x\n", r"row 2: video_id 'x' stood before"),
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


@pytest.fixture()
def linked(tmp_path):
    """A corpus whose videos lie elsewhere, with links that lead back."""
    elsewhere = tmp_path / "disk"
    (elsewhere / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4"):
        (elsewhere / name).touch()
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "own.mp4").touch()
    (corpus / "linked").symlink_to(elsewhere)
    (corpus / "c.mp4").symlink_to(elsewhere / "a.mp4")
    (corpus / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (elsewhere / "back").symlink_to(corpus)  # corpus/linked/back is corpus again
    (corpus / "itself").symlink_to("itself")
    return corpus


def test_linked_folders_are_followed_and_loops_end(linked):
    expected = ["c.mp4", "gone.mp4", "itself", "linked/a.mp4", "linked/deep/b.mp4", "own.mp4"]
    assert ids(linked) == expected
    assert ids(linked.parent / "disk") == ["a.mp4", *(f"back/{x}" for x in (
        "c.mp4", "gone.mp4", "itself", "own.mp4")), "deep/b.mp4"]  # fmt: skip


def test_patterns_go_into_linked_folders(linked):
    def found(pattern: str) -> list[str]:
        uris = [v.uri for v in find_inputs([str(linked / pattern)]).videos]
        return [uri.removeprefix(f"{linked}/") for uri in uris]

    assert found("*/*.mp4") == ["linked/a.mp4"]
    assert found("lin?ed/deep/*") == ["linked/deep/b.mp4"]
    assert found("**/b.mp4") == ["linked/deep/b.mp4"]
    assert found("**/*.mp4") == [
        "c.mp4", "gone.mp4", "linked/a.mp4", "linked/deep/b.mp4", "own.mp4",
    ]  # fmt: skip
    assert found("**") == sorted([
        "c.mp4", "gone.mp4", "itself", "linked/a.mp4", "linked/deep/b.mp4", "own.mp4",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "uri", ["file://{}/a%20b%2520%C3%A9.mp4", "file://localhost{}/a%20b%2520%C3%A9.mp4"]
)
def test_escapes_of_a_file_uri_are_undone_once(tmp_path, uri):
    path = tmp_path / "a b%20é.mp4"
    path.touch()
    (video,) = find_inputs([uri.format(tmp_path)]).videos
    assert video == Video("a b%20é.mp4", str(path))
    url = write_manifest(tmp_path / "m.csv", [{"uri": uri.format(tmp_path)}])
    (video,) = read_manifest(url)
    assert inspect_video(video).fingerprint.startswith("size=0 mtime=")


def test_a_plain_path_keeps_its_percent_signs(tmp_path):
    (tmp_path / "100%20.mp4").touch()
    (video,) = find_inputs([str(tmp_path / "100%20.mp4")]).videos
    assert inspect_video(video).fingerprint.startswith("size=0 mtime=")


class Store(MemoryFileSystem):
    """An object store that lists the empty objects which some tools make for folders."""

    protocol = "markers"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("markers://", "memory://"))

    def find(self, path, detail=False, **options):
        found = super().find(path, detail=detail, **options)
        return found if detail else [*found, f"{path}/deep/", f"{path}/old_$folder$"]

    def glob(self, path, **options):
        return [*super().glob(path, **options), "/bucket/deep/", "/bucket/old_$folder$"]


def test_empty_objects_that_stand_for_folders_are_no_inputs():
    fsspec.register_implementation("markers", Store, clobber=True)
    Store().pipe("/bucket/a.mp4", b"x")
    for text in ("markers://bucket", "markers://bucket/*"):
        found = find_inputs([text], allowed_protocols=["markers"]).videos
        assert [v.uri for v in found] == ["markers:///bucket/a.mp4"]


@pytest.mark.parametrize(
    ("url", "extra"),
    [("gs://b/x.mp4", "gcs"), ("s3://b/x.mp4", "s3"), ("abfs://b/x.mp4", "azure")]
    + [("hf://datasets/a/b/x.mp4", "hf")],
)
def test_a_package_that_is_missing_is_told_with_its_extra(monkeypatch, url, extra):
    def missing(url, **options):
        raise ImportError("Install it")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(HostError, match=rf"{url}: no package .*'facetracks\[{extra}\]"):
        find_inputs([url])
    with pytest.raises(HostError, match=rf"facetracks\[{extra}\]"):
        inspect_video(Video("x", url))


class Locked(MemoryFileSystem):
    protocol = "locked"

    def exists(self, path, **options):
        raise PermissionError("Unable to locate credentials")


def test_missing_credentials_are_told_without_a_trace():
    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(
        UsageError, match=r"locked://b/x: cannot be listed: PermissionError: Unable"
    ):
        find_inputs(["locked://b/x"], allowed_protocols=["locked"])


def test_ids_stay_when_a_corpus_moves(tmp_path):
    def corpus(name: str):
        folder = tmp_path / name
        for part in ("one", "two"):
            (folder / part).mkdir(parents=True)
            (folder / part / "vid.avi").touch()
        write_manifest(folder / "m.csv", [{"uri": "one/vid.avi"}, {"uri": "two/vid.avi"}])
        return folder

    here, there = corpus("here"), corpus("there")
    for inside in ("*/vid.avi", "m.csv", ""):
        assert ids(here / inside) == ids(there / inside)
        assert len(set(ids(here / inside))) == 2
