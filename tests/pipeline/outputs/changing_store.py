"""An object store in memory that reports its changes."""

from typing import ClassVar

from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["ChangingStore"]


class ChangingStore(MemoryFileSystem):
    """Calls `before_change` before a file is written or removed; subclasses own their files."""

    pseudo_dirs: ClassVar[list] = [""]

    def before_change(self):
        raise NotImplementedError

    def put_file(self, *args, **kwargs):
        self.before_change()
        return super().put_file(*args, **kwargs)

    def rm(self, *args, **kwargs):
        self.before_change()
        return super().rm(*args, **kwargs)
