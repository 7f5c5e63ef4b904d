"""Generates docs/api.md from the docstrings of the public API.

python docs/make_api.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import facetracks

_PAGE: Final = Path(__file__).with_name("api.md")
_HEAD: Final = """# The Python API

The public names of `import facetracks`. Times are in seconds, lengths in pixels of the upright
frame; pictures are RGB. All errors are subclasses of `facetracks.FacetracksError`.
[notebook.py](notebook.py) is a complete example. `python docs/make_api.py` generates this page
from the docstrings.
"""
_SECTIONS: Final = ("Args", "Attributes", "Raises", "Returns")
_ITEM: Final = re.compile(r"([\w, ]+): (.+)", re.DOTALL)


def api_page() -> str:
    """The page as Markdown."""
    names = [name for name in facetracks.__all__ if name != "__version__"]
    return "\n".join([_HEAD, *(_entry(name) for name in names)])


def _entry(name: str) -> str:
    value = getattr(facetracks, name)
    lines = [f"## {name}", ""]
    if callable(value) and not (inspect.isclass(value) and issubclass(value, Exception)):
        lines += ["```python", _signature(name, value), "```", ""]
    return "\n".join([*lines, *_markdown(inspect.getdoc(value) or "")])


def _signature(name: str, value: object) -> str:
    """The call; with one parameter per line if it is long."""
    signature = inspect.signature(value)  # type: ignore[arg-type]
    parameters = [str(parameter) for parameter in signature.parameters.values()]
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    # A default factory prints as an object.
    shown = [re.sub(": '([^']*)'", r": \1", text) for text in parameters]
    shown = [text.replace(" = <factory>", " = ...") for text in shown]
    result = "" if signature.return_annotation in (None, "None") or inspect.isclass(value) else (
        f" -> {signature.return_annotation}"
    )  # fmt: skip
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {text}," for text in shown), f"){result}"])


def _markdown(docstring: str) -> Iterator[str]:
    """Text unchanged, examples as code, sections as lists."""
    for block in docstring.split("\n\n"):
        head, _, body = block.partition("\n")
        section, colon, rest = head.partition(":")
        if colon and section in _SECTIONS:
            yield f"**{section}**\n"
            yield from _items(inspect.cleandoc(f"{rest.strip()}\n{body}"))
        elif block.startswith("    "):
            yield f"```python\n{inspect.cleandoc(block)}\n```"
        else:
            yield block
        yield ""


def _items(text: str) -> Iterator[str]:
    """One item per line without indentation; an item without a name stays a sentence."""
    for item in re.split(r"\n(?!\s)", text):
        joined = " ".join(line.strip() for line in item.splitlines())
        match = _ITEM.fullmatch(joined)
        yield f"- `{match[1]}`: {match[2]}" if match else joined


if __name__ == "__main__":
    _PAGE.write_text(api_page())
