"""The Java side of a cluster: released jars from Maven, which verifies their checksums."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from schemas.errors import UsageError

__all__ = ["cache_folder", "gather_jars", "java_command", "missing_tools"]

_HERE: Final = Path(__file__).parent
#: Packages that Flink and Spark access by reflection; Java 17 does not open them by default.
_OPENED: Final = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio",
    "java.text", "java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic",
    "java.util.concurrent.locks", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
    "sun.util.calendar",
)  # fmt: skip
#: A local cluster does little work in Java: fast start, small memory.
_JAVA_OPTIONS: Final = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # else a file in /tmp, wherever the temporary folder is
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)


def missing_tools() -> list[str]:
    """The tools among java and mvn that are not installed."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


def cache_folder() -> Path:
    """The folder of downloads: $XDG_CACHE_HOME/facetracks, by default ~/.cache/facetracks."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facetracks"


def java_command(jars: Path, heap_mb: int, temporary: Path, main_class: str) -> list[str]:
    """The command of a class in these jars; Java does not follow $TMPDIR."""
    options = (f"-Xmx{heap_mb}m", f"-Djava.io.tmpdir={temporary}", *_JAVA_OPTIONS)
    return ["java", *options, "-cp", f"{jars}/*", main_class]


def gather_jars(pom: str) -> Path:
    """The folder of all jars that a POM beside this module names; downloaded once.

    Raises UsageError if Java or Maven is missing or a download fails.
    """
    missing = missing_tools()
    if missing:
        raise UsageError(f"got no {' and no '.join(missing)}, expected Java 17 and Maven")
    digest = sha256((_HERE / pom).read_bytes()).hexdigest()[:12]
    folder = cache_folder() / f"{pom.partition('.')[0]}-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        gathered = Path(work) / "jars"
        done = subprocess.run(
            ["mvn", "--quiet", "--batch-mode", "--strict-checksums", "--file", _HERE / pom,
             "dependency:copy-dependencies", f"-DoutputDirectory={gathered}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise UsageError(f"Maven could not gather the jars of {pom}:\n{done.stdout[-2000:]}")
        if not folder.exists():  # otherwise another process was faster
            gathered.rename(folder)
    return folder
