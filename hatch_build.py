"""Builds the wheel: the folders of this repository, as one package named `facetracks`.

In the repository `pipeline`, `transforms`, `models` and `schemas` are top-level packages. A
wheel that installed these names would break every project that has a folder `models`. So the
wheel holds them below `facetracks`, with `facetracks.py` as its `__init__`, and the absolute
imports in them are rewritten, as pip does with what it vendors:

    from models.crops import fit_affine    ->    from facetracks.models.crops import fit_affine

Lines keep their numbers. What cannot be rewritten safely ends the build: `import models.crops`
without `as`, and a string that names a module (it can be computed from `__name__`).
"""

from __future__ import annotations

import ast
import io
import re
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE: Final = "facetracks"


class OnePackageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Replaces each Python file of a wheel by its rewritten form; editable installs stay as is.

    `folders` in `[tool.hatch.build.hooks.custom]` names the top-level packages.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the rewritten files, and says where in the wheel each belongs."""
        if self.target_name != "wheel" or version != "standard":
            return
        folders: list[str] = self.config["folders"]
        self._rewritten = tempfile.TemporaryDirectory()
        included: dict[str, str] = build_data["force_include"]
        root, staging = Path(self.root), Path(self._rewritten.name)
        sources = [root / f"{_PACKAGE}.py"]
        sources += [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
        for source in sources:
            name = source.relative_to(root)
            text = inside_package(source.read_text(encoding="utf-8"), folders, str(name))
            staged = staging / name
            staged.parent.mkdir(parents=True, exist_ok=True)
            staged.write_text(text, encoding="utf-8")
            target = "__init__.py" if source is sources[0] else name.as_posix()
            included[str(staged)] = f"{_PACKAGE}/{target}"
        marker = staging / "py.typed"
        marker.touch()
        included[str(marker)] = f"{_PACKAGE}/py.typed"
        scripts = self.metadata.core.scripts
        scripts |= {name: f"{_PACKAGE}.{target}" for name, target in scripts.items()}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the rewritten files."""
        if self.target_name == "wheel" and version == "standard":
            self._rewritten.cleanup()


def inside_package(source: str, folders: Sequence[str], path: str) -> str:
    """A module's source with every absolute import of `folders` below the package.

    Raises ValueError, which names `path`, for an import or a string that cannot be rewritten
    safely.
    """
    lines = list(io.StringIO(source))
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    places: list[tuple[int, int]] = []
    for node in ast.walk(ast.parse(source, path)):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and _is_below(node.module, folders):
                places.append(_name_after_from(tokens, _characters(lines, node)))
        elif isinstance(node, ast.Import):
            for name in node.names:
                if not _is_below(name.name, folders):
                    continue
                if name.asname is None:
                    raise ValueError(f"{where}: got `import {name.name}`, expected one with `as`")
                places.append(_characters(lines, name))
        elif isinstance(node, ast.Constant) and _names_module(node.value, folders):
            raise ValueError(
                f"{where}: got {node.value!r}, a module's name as text, "
                "expected one that is computed from __name__"
            )
    for line, column in sorted(places, reverse=True):
        text = lines[line - 1]
        lines[line - 1] = f"{text[:column]}{_PACKAGE}.{text[column:]}"
    return "".join(lines)


def _is_below(module: str | None, folders: Sequence[str]) -> bool:
    return module is not None and module.partition(".")[0] in folders


def _names_module(value: object, folders: Sequence[str]) -> bool:
    pattern = rf"({'|'.join(folders)})\.[\w.]*(:\w+)?"
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _characters(lines: Sequence[str], node: ast.stmt | ast.alias) -> tuple[int, int]:
    """Where a node begins: (line, column), the column in characters and not in bytes."""
    text = lines[node.lineno - 1].encode()[: node.col_offset]
    return node.lineno, len(text.decode())


def _name_after_from(
    tokens: Sequence[tokenize.TokenInfo], start: tuple[int, int]
) -> tuple[int, int]:
    """Where the module's name begins in the `from` statement at `start`."""
    rest: Iterator[tokenize.TokenInfo] = iter(tokens)
    next(token for token in rest if token.start == start)
    return next(token.start for token in rest if token.type == tokenize.NAME)
