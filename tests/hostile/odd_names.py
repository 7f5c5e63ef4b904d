"""Names of files and ids of a manifest: one valid clip under each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.hostile.case import HostileCase
from tests.hostile.encoding import encode, moving
from tests.hostile.odd_files import sound_case

__all__ = ["write_odd_names"]

_NAMES: Final = (
    ("a name with spaces.mp4", "spaces"),
    (" leading and trailing .mp4 ", "spaces at both ends"),
    ("naïve-漢字-🎬-e\u0301.mp4", "letters of many alphabets, a combining accent"),
    (os.fsdecode(b"latin-\xe9.mp4"), "bytes that are not UTF-8"),
    ("line\nbreak\ttab\r.mp4", "a line break, a tab, a carriage return"),
    ("100%25 #1?x=y&z;.mp4", "characters that mean something in a URL"),
    ("a..b.mp4", "two dots inside"),
    ("-i.mp4", "like an option"),
    ("[ab]*{c}?.mp4", "like a pattern"),
    ("c:drive.mp4", "like a drive or a protocol"),
    ("file:x.mp4", "like a file URL"),
    ("memory::zip::x.mp4", "like a chain of protocols"),
    ("quote'\"`$(x)\\.mp4", "quotes, a backslash, a command"),
    ("~root.mp4", "like a home folder"),
    ("bell\x07\x1b[31m.mp4", "control characters"),
    ("\u202egnp.mp4", "text that runs from right to left"),
    ("x" * 251 + ".mp4", "the longest that a file can have"),
    ("no suffix", "no suffix"),
    ("deep/../deep/../deep/clip.mp4", "a path with `..` inside"),
)
_IDS: Final = (
    ("../../../escaped", "a path out of OUTPUT"),
    ("..", "the parent folder"),
    (".", "the folder itself"),
    ("/tmp/escaped", "an absolute path"),
    ("a/../../../b", "a path in and out again"),
    ("a\\..\\..\\b", "a path out, on another system"),
    ("with\nbreak", "a line break"),
    ("nul\0byte", "a NUL"),
    ("x" * 1000, "a thousand letters"),
    ("Same", "one that differs by case only, first"),
    ("same", "one that differs by case only, second"),
    ("é", "one that differs by its Unicode form only, first"),
    ("e\u0301", "one that differs by its Unicode form only, second"),
    ("{stem}.%s", "like a template"),
    (" ", "a space"),
    ("CON", "a device's name"),
)


def write_odd_names(found: Path, listed: Path) -> Iterator[HostileCase]:
    """Names are in folders, each in one of its own; ids are in a manifest."""
    clip = encode(listed / "plain.mp4", moving(5))
    content = clip.path.read_bytes()
    for number, (name, what) in enumerate(_NAMES):
        path = found / "names" / str(number) / name
        (found / "names" / str(number) / "deep").mkdir(parents=True)
        by_list = ".." in path.parts
        if by_list:
            path = listed / name
            (listed / "deep").mkdir()
        path.write_bytes(content)
        given = name if by_list else f"names/{number}/{name}"
        yield sound_case(given, f"a name: {what}", clip, listed=by_list)
    hidden = listed / "...mp4.."
    hidden.write_bytes(content)
    yield sound_case(hidden.name, "a name: dots around the suffix", clip, listed=True)
    for number, (video_id, what) in enumerate(_IDS):
        name = f"id-{number}.mp4"
        (listed / name).write_bytes(content)
        yield sound_case(name, f"an id in a manifest: {what}", clip, listed=True, video_id=video_id)
