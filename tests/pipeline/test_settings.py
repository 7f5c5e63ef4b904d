"""The settings are the options of the command, by name and by default."""

import dataclasses

import pytest

from pipeline.commands.command_line import parse_command
from pipeline.commands.command_parser import settings_of
from pipeline.settings import AnnotateSettings
from transforms.decoding.child import ChildSettings


def parsed(*options: str) -> AnnotateSettings:
    return settings_of(
        AnnotateSettings, parse_command(["annotate", "in.mp4", "--output", "out", *options])
    )


def test_the_options_have_the_defaults_of_the_settings():
    assert parsed() == AnnotateSettings()


def test_the_limits_of_the_child_are_those_of_the_settings():
    """Two defaults, so that the settings need not import the decoder."""
    ours, child = AnnotateSettings(), {f.name: f.default for f in dataclasses.fields(ChildSettings)}
    for name in ("segment_seconds", "stall_seconds", "max_slowness", "max_pixels"):
        assert getattr(ours, name) == child[name]
    assert ours.max_memory_mb == child["memory_mb"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--workers", "3", "--limit", "7"], {"workers": 3, "limit": 7}),
        (["--segment-seconds", "2.5"], {"segment_seconds": 2.5}),
        (["--retry", "no_face, bad_boxes"], {"retry": {"no_face", "bad_boxes"}}),
        (["--allow-protocols", "file,chain"], {"allow_protocols": ("file", "chain")}),
        (["--compile", "--overwrite"], {"compile": True, "overwrite": True}),
        (["--align-ram", "16GB"], {"align_ram": "16GB"}),
    ],
)
def test_options_become_settings(options, expected):
    assert parsed(*options) == AnnotateSettings(**expected)
