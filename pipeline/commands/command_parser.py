"""Parsers of the command line: help with examples, one-line errors with a suggestion."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

_Settings = TypeVar("_Settings")
_EXIT_USAGE = 2
#: How alike a mistyped word and its suggestion are, from 0 to 1.
_ALIKE = 0.7


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, with the nearest known word.

    Options are not abbreviated: a new option would change what an abbreviation means.
    Indented lines of descriptions are kept as they are, others are filled.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        ours: dict[str, Any] = {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(*args, **ours | settings)
        # What the innermost parser says holds: `parser`, the module of `pipeline.commands` (for
        # `facetracks train detector` train_detector), whether unknown options are Beam's, and
        # what raises UsageError for options that do not go together.
        module = "_".join(self.prog.split()[1:])
        self.set_defaults(parser=self, module=module, takes_beam_options=False, check=None)

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2 and one line on stderr."""
        line = " ".join(message.removeprefix("argument ").split())
        self.exit(_EXIT_USAGE, f"{self.prog}: {line}; see {self.prog} --help\n")

    def refuse_options(self, unknown: Sequence[str]) -> NoReturn:
        """Exits with an error that names the first unknown option or surplus argument."""
        first = unknown[0]
        option = first.partition("=")[0]
        if not first.startswith("-"):
            self.error(f"got {first!r}, which is one argument too many")
        self.error(f"got the unknown option {option}{_suggestion(option, self.options())}")

    def options(self) -> list[str]:
        """The names of the options of this command, with their dashes."""
        return [name for action in self._actions for name in action.option_strings]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        help_for_it = _suggestion(str(value), choices) or f", expected one of {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"got {value!r}{help_for_it}")


def settings_of(kind: type[_Settings], args: argparse.Namespace) -> _Settings:
    """The options as a `kind`: a dataclass each of whose fields is named like an option."""
    fields: Any = dataclasses.fields(kind)  # type: ignore[arg-type]
    return kind(**{field.name: getattr(args, field.name) for field in fields})


def add_setting(
    kind: type[Any],
    group: argparse._ActionsContainer,
    field: str,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    **more: Any,
) -> None:
    """Adds the option of a field of `kind`, a dataclass of settings; that of a bool is a flag.

    Its help is what the docstring of `kind` says of the field, unless `more`, which is for
    `add_argument`, has one.
    """
    if kind.__dataclass_fields__[field].type == "bool":
        more["action"] = "store_true"
    else:
        more |= {"type": parse, "metavar": metavar}
    text = re.search(rf"^    {field}: (.+(\n {{8}}.+)*)", inspect.getdoc(kind) or "", re.MULTILINE)
    if text:
        more.setdefault("help", " ".join(text[1].split()).removesuffix(".").replace("%", "%%"))
    group.add_argument(f"--{field.replace('_', '-')}", **more)


def nearest(word: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """The known word most similar to `word`, or None where none is similar enough."""
    by_letters = {name.lstrip("-"): name for name in known}
    close = difflib.get_close_matches(word.lstrip("-"), list(by_letters), n=1, cutoff=alike)
    return by_letters[close[0]] if close else None


def _suggestion(word: str, known: Iterable[str]) -> str:
    meant = nearest(word, known)
    return f"; did you mean {meant}?" if meant else ""


class _HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs, keeps indented lines; adds the default where the help does not name it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        is_value = isinstance(default, (str, int, float, Path)) and not isinstance(default, bool)
        if text and "default:" not in text and is_value and default != argparse.SUPPRESS:
            return f"{text} (default: %(default)s)"
        return text

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for line in text.splitlines():
            kept = not line.strip() or line.startswith(" ")
            lines += [line] if kept else textwrap.wrap(line, width)
        return "\n".join(f"{indent}{line}".rstrip() for line in lines)
