import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from schemas.errors import SourceError
from transforms.storage import source_files
from transforms.storage.source_files import SourceFile, is_local, look_up, resolve, retrying

CONTENT = bytes(range(256)) * 40


class Answers:
    """Raises or returns the given values, one after the other."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class HttpError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Shaky:
    """A file system whose connections break after some bytes; counts opened files."""

    def __init__(self, breaks_after: int, heals_after: int = 10**6) -> None:
        self.breaks_after, self.heals_after, self.opened = breaks_after, heals_after, 0

    def open(self, path, mode, **options):
        self.opened += 1
        return _Connection(self)


class _Connection:
    def __init__(self, owner: Shaky) -> None:
        self._owner, self._position, self._left = owner, 0, owner.breaks_after

    def seek(self, position: int) -> None:
        self._position = position

    def read(self, size: int) -> bytes:
        if self._left <= 0 and self._owner.opened <= self._owner.heals_after:
            raise ConnectionResetError("connection reset by peer")
        stop = len(CONTENT) if size < 0 else self._position + size
        self._left -= size
        return CONTENT[self._position : stop]

    def close(self) -> None:
        pass


def test_what_fails_twice_and_then_works_works():
    action = Answers(ConnectionResetError("gone"), HttpError(503), "here")
    assert retrying(action, "s3://b/v.mp4", "cannot be reached") == "here"
    assert action.asked == 3


@pytest.mark.parametrize("status", [408, 429, 500])
def test_a_server_that_asks_for_patience_gets_it(status):
    assert retrying(Answers(HttpError(status), 1), "u", "w") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError("x"), "not_found"),
        (PermissionError("x"), "unreadable"),
        (HttpError(403), "unreadable"),
        (HttpError(404), "unreadable"),
        (ImportError("install s3fs"), "unreadable"),
        (ValueError("protocol not known"), "unreadable"),
    ],
)
def test_what_cannot_get_better_is_told_at_once(error, reason):
    action = Answers(error)
    with pytest.raises(SourceError, match=r"s3://b/v\.mp4: ") as told:
        retrying(action, "s3://b/v.mp4", "cannot be reached")
    assert told.value.reason == reason
    assert told.value.__cause__ is error
    assert action.asked == 1


def test_what_is_written_says_what_the_file_system_said():
    with pytest.raises(SourceError, match=r"u: cannot be reached: PermissionError: no key"):
        retrying(Answers(PermissionError("no key")), "u", "cannot be reached")


def test_reading_goes_on_at_the_right_byte_after_a_break():
    fs = Shaky(breaks_after=3000)
    with SourceFile(fs, "v", "shaky://v", {"size": len(CONTENT)}) as file:
        got = b"".join(iter(lambda: file.read(1500), b""))
    assert got == CONTENT
    assert fs.opened >= 2


def test_a_source_that_ends_early_is_no_shorter_video():
    """As from a server that answers 416, or an object that was replaced by a shorter one."""
    stated = len(CONTENT) + 7
    with SourceFile(Shaky(10**9), "v", "shaky://v", {"size": stated}) as file:
        assert file.read(stated) == CONTENT
        with pytest.raises(SourceError, match=f"got nothing at byte {len(CONTENT)} of {stated}"):
            file.read(1)
        file.seek(stated)
        assert file.read(1) == b""


def test_seeking_and_telling():
    with SourceFile(Shaky(10**9), "v", "shaky://v", {"size": len(CONTENT)}) as file:
        assert file.seek(100) == 100
        assert file.read(4) == CONTENT[100:104]
        assert file.tell() == 104
        assert file.seek(-4, 1) == 100
        assert file.seek(-3, 2) == len(CONTENT) - 3
        assert file.read() == CONTENT[-3:]
        assert file.read(5) == b""
        assert file.readable()
        assert file.seekable()


def test_a_look_tells_size_and_what_is_no_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"123")
    fs, path, info = look_up(str(tmp_path / "a.mp4"))
    assert is_local(fs)
    assert (path, info["size"]) == (str(tmp_path / "a.mp4"), 3)
    with pytest.raises(SourceError, match="is a folder, expected a video file") as told:
        look_up(str(tmp_path))
    assert told.value.reason == "unreadable"
    with pytest.raises(SourceError, match="no such file") as told:
        look_up(str(tmp_path / "b.mp4"))
    assert told.value.reason == "not_found"
    with pytest.raises(SourceError) as told:
        look_up("nosuchscheme://a/b.mp4")
    assert told.value.reason == "unreadable"


def test_local_is_this_disk_only():
    assert is_local(LocalFileSystem())
    assert not is_local(MemoryFileSystem())
    assert not is_local(fsspec.filesystem("memory"))


@pytest.mark.parametrize(("stall_seconds", "wait_seconds"), [(60, 10), (300, 58), (20, 2), (5, 1)])
def test_all_tries_of_a_silent_server_end_before_a_stall_does(stall_seconds, wait_seconds):
    before = source_files._answer_seconds
    try:
        source_files.give_up_within(stall_seconds)
        fs, _ = resolve("http://127.0.0.1:9/clip.mp4")
        timeout = fs.client_kwargs["timeout"]
        assert (timeout.sock_connect, timeout.sock_read) == (wait_seconds, wait_seconds)
    finally:
        source_files._answer_seconds = before
