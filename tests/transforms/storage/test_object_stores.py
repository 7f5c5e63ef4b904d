"""The whole command on object stores: the same tracks as on the local disk."""

from __future__ import annotations

import io
import uuid

import fsspec
import pyarrow.parquet as pq
import pytest
from object_stores import serve_azure, serve_s3
from track_tables import assert_same_tracks

from transforms.storage.atomic_files import Folder, atomic_file, write_bytes

OPTIONS = ("--segment-seconds", 2, "--workers", 2, "--device", "cpu")


@pytest.fixture(scope="module")
def local(talking_clip, tmp_path_factory):
    """The tracks of the clip by a local run."""
    from pipeline.commands.cli import main

    output = tmp_path_factory.mktemp("local") / "out"
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in ("annotate", talking_clip, "--output", output, *OPTIONS)])
    assert not ended.value.code
    return pq.read_table(output / "tracks" / "talking.mp4.parquet")


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs", reason="needs the extra: s3")
    with serve_s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        fs = fsspec.filesystem("s3")
        fs.mkdir("corpus")
        yield store
        type(fs).clear_instance_cache()


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    pytest.importorskip("adlfs", reason="needs the extra: azure")
    folder = tmp_path_factory.mktemp("azurite")
    with serve_azure(folder) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fs = fsspec.filesystem("abfs")
        fs.mkdir("corpus")
        yield fs
        type(fs).clear_instance_cache()


def check_annotate(facetracks, clip, local, root: str) -> None:
    """Annotates videos below `root` into `root`; a second run finds them finished."""
    write_bytes(f"{root}/videos/talking.mp4", clip.read_bytes())
    command = ("annotate", f"{root}/videos", "--output", f"{root}/out", *OPTIONS)
    ended = facetracks(*command)
    assert ended.status == 0, ended.err
    output = Folder(f"{root}/out")
    fs, path = fsspec.core.url_to_fs(f"{root}/out")
    left = [name.rpartition("/out/")[2] for name in fs.find(path)]
    assert left == ["run.json", "tracks/talking.mp4.parquet", "videos/talking.mp4.parquet"]
    tracks = (output / "tracks" / "talking.mp4.parquet").read_bytes()
    assert_same_tracks(pq.read_table(io.BytesIO(tracks)), local)
    assert facetracks(*command).status == 0
    assert (output / "tracks" / "talking.mp4.parquet").read_bytes() == tracks


def test_memory_gives_the_tracks_of_the_local_disk(facetracks, talking_clip, local):
    check_annotate(facetracks, talking_clip, local, f"memory://{uuid.uuid4().hex}")


def test_s3_gives_the_tracks_of_the_local_disk(facetracks, talking_clip, local, s3):
    check_annotate(facetracks, talking_clip, local, "s3://corpus/annotated")


@pytest.mark.engines
def test_azure_gives_the_tracks_of_the_local_disk(facetracks, talking_clip, local, azure):
    check_annotate(facetracks, talking_clip, local, "abfs://corpus/annotated")


def test_a_write_to_s3_is_one_put(s3):
    s3.requests.clear()
    write_bytes("s3://corpus/one/a.bin", b"whole")
    assert [r for r in s3.requests if r[0] != "GET"] == [("PUT", "/corpus/one/a.bin?")]
    assert Folder("s3://corpus/one/a.bin").read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("size", "refused"), [(1 << 20, "PUT"), (105_000_000, "partNumber=2"), (105_000_000, "POST")]
)
def test_a_write_to_s3_that_fails_midway_leaves_the_object_of_before(s3, size, refused):
    """A single put, the second part of a large one, and the commit of its parts."""
    url = f"s3://corpus/broken/{refused}"
    write_bytes(url, b"before")

    def refuses(method: str, target: str) -> bool:
        commit = refused == "POST" and "uploadId=" in target and method == "POST"
        return commit or (method == "PUT" and refused in f"{method} {target}")

    s3.refuses = refuses
    try:
        with pytest.raises(PermissionError), atomic_file(url) as path, path.open("wb") as file:
            file.truncate(size)
    finally:
        s3.refuses = lambda method, target: False
    assert Folder(url).read_bytes() == b"before"
    fs = fsspec.filesystem("s3")
    assert fs.call_s3("list_multipart_uploads", Bucket="corpus").get("Uploads", []) == []


@pytest.mark.engines
def test_a_write_to_azure_that_fails_midway_leaves_the_object_of_before(azure, monkeypatch):
    url = "abfs://corpus/broken.bin"
    write_bytes(url, b"before")
    with pytest.raises(RuntimeError, match="halfway"), atomic_file(url) as path:
        path.write_bytes(b"half")
        raise RuntimeError("halfway")
    assert Folder(url).read_bytes() == b"before"
    assert Folder("abfs://corpus").names() != []
