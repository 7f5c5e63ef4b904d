import logging
import os
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from manifest_files import mixed_folder, write_manifest

from pipeline.inputs import find_inputs
from pipeline.manifests import read_manifest
from schemas.errors import HostError, SourceError, UsageError
from schemas.records import Video
from transforms.select_videos import inspect_video
from transforms.storage.source_files import look_up


@pytest.fixture()
def folder(tmp_path):
    return mixed_folder(tmp_path)


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


@pytest.fixture()
def linked(tmp_path):
    """A corpus of links to videos elsewhere, with links in a cycle."""
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


def test_a_folder_that_cannot_be_listed_is_an_input_that_fails(linked, monkeypatch):
    locked = linked.parent / "disk" / "deep"
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != locked)
    assert ids(linked.parent / "disk")[-2:] == ["back/own.mp4", "deep"]
    assert ids(locked) == ["deep"]
    with pytest.raises(SourceError, match="no permission to list this folder"):
        look_up(str(locked))


@pytest.mark.parametrize("name", ["pipe.mp4", "link-to-pipe.mp4"])
def test_pipes_and_devices_are_not_called_empty(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link-to-pipe.mp4").symlink_to(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="is a pipe, socket or device; expected a file"):
        look_up(str(tmp_path / name))


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
    """An object store with the empty objects that some tools create for folders."""

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
