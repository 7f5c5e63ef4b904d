"""Inputs on HDFS, with fsspec's class, and on a fake Hugging Face Hub."""

from collections.abc import Iterator
from importlib import import_module
from typing import ClassVar

import pytest
from fsspec.implementations.arrow import ArrowFSWrapper, HadoopFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import LocalFileSystem

from pipeline.inputs import find_inputs
from schemas.errors import HostError, SourceError
from schemas.records import Video
from transforms.decoding.segment_plan import plan_segments
from transforms.decoding.video_source import open_video
from transforms.select_videos import inspect_video
from transforms.storage.atomic_files import Folder, write_bytes
from transforms.storage.source_files import resolve


class FolderHdfs(HadoopFileSystem):
    """fsspec's HDFS class on paths of this disk, without libhdfs."""

    cachable = False

    def __init__(self, host: str = "default", port: int = 0, **options: object) -> None:
        assert (host, port) == ("namenode", 8020)
        ArrowFSWrapper.__init__(self, fs=LocalFileSystem())


class MemoryHub(MemoryFileSystem):
    """The Hub's entries: no time, an id of the bytes."""

    protocol = "hf"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]

    def info(self, path: str, **options: object) -> dict:
        told = super().info(path, **options)
        told.pop("created", None)
        return told | ({"blob_id": f"{told['size']:040x}"} if told["type"] == "file" else {})


@pytest.fixture(params=["hdfs", "hf"])
def corpus(request, monkeypatch, faceless_clip, tmp_path) -> Iterator[str]:
    """The URL of a folder of one clip."""
    kind = {"hdfs": FolderHdfs, "hf": MemoryHub}[request.param]
    monkeypatch.setitem(import_module("fsspec.registry")._registry, request.param, kind)
    place = {"hdfs": f"namenode:8020{tmp_path}/corpus", "hf": "/datasets/owner/name/corpus"}
    url = f"{request.param}://{place[request.param]}"
    write_bytes(f"{url}/a clip.mp4", faceless_clip.read_bytes())
    write_bytes(f"{url}/notes.txt", b"none")
    yield url
    MemoryHub.store.clear()


def test_found_in_folders_and_by_patterns(corpus):
    for given in (corpus, f"{corpus}/*.mp4", f"{corpus}/a clip.mp4"):
        (video,) = find_inputs([given]).videos
        assert video == Video("a clip.mp4", f"{corpus}/a clip.mp4")


def test_opened_and_known_by_their_bytes(corpus, faceless_clip):
    (video,) = find_inputs([corpus]).videos
    inspected = inspect_video(video)
    assert inspected.fingerprint.startswith(f"size={faceless_clip.stat().st_size} ")
    assert " at " not in inspected.fingerprint  # it identifies the version, not the path
    with open_video(video.uri) as opened:
        segments = plan_segments(inspected, opened, 60.0)
    assert [segment.metadata.frames_expected for segment in segments] == [50]
    Folder(video.uri).remove()
    with pytest.raises(SourceError, match="no such file or object"):
        inspect_video(video)


def test_hdfs_without_hadoop_says_what_it_takes(monkeypatch):
    for name in ("JAVA_HOME", "HADOOP_HOME", "ARROW_LIBHDFS_DIR"):
        monkeypatch.setenv(name, "/none")
    with pytest.raises(HostError, match=r"hdfs://.*install: Java and Hadoop") as told:
        resolve("hdfs://namenode:8020/corpus/a.mp4")
    assert "\n" not in str(told.value)
