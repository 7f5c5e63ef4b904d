"""The command line with an object store at bucket://, backed by a local folder.

    python bucket_annotate.py LOG annotate ... --output bucket:///FOLDER

As on an object store, a put is atomic, folders exist only while they contain objects, and
there is no lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import fsspec
from counted_annotate import main
from fsspec.implementations.local import LocalFileSystem


class BucketFileSystem(LocalFileSystem):
    """bucket:///a/b is the file /a/b."""

    protocol = "bucket"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(p) for p in path]
        return super()._strip_protocol(os.fspath(path).removeprefix("bucket://"))

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        target = Path(self._strip_protocol(rpath))
        temporary = Path(lpath).with_name(f"put-{uuid.uuid4().hex}")
        shutil.copyfile(lpath, temporary)
        while True:
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another run removed the folder
                temporary.replace(target)
                return

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        target = Path(self._strip_protocol(path))
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink()
        with contextlib.suppress(OSError):  # a folder exists only with objects
            for folder in target.parents:
                folder.rmdir()


if __name__ == "__main__":
    fsspec.register_implementation("bucket", BucketFileSystem)
    main(sys.argv[1], sys.argv[2:])
