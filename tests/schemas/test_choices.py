"""The choices of the command line equal the existing implementations."""

import pytest

from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.sets import _SHARES
from models.landmarks.model import NAMED_WEIGHTS
from models.landmarks.networks.unet import UNET_CHANNELS
from models.stabilization.stabilizers import _FITTED
from pipeline.commands.command_line import parse_command
from pipeline.data.labelled_sets import _KINDS
from schemas import choices


def test_names_are_those_of_what_they_choose():
    assert set(choices.LANDMARK_WEIGHTS) == set(NAMED_WEIGHTS)
    assert set(choices.STABILIZERS) == {"none", *_FITTED}
    assert set(choices.SET_KINDS) == set(_KINDS)
    assert set(choices.TRAINING_SETS) == set(_SHARES)


def test_defaults_of_training_are_those_of_a_card():
    args = parse_command(["train", "landmarks", "--data", "d", "--output", "o"])
    assert (args.codec, args.crop_scale) == (LandmarkCard().codec, LandmarkCard().crop_scale)


def test_help_names_the_widths_of_the_unet(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse_command(["train", "landmarks", "--help"])
    assert f"(default: {' '.join(map(str, UNET_CHANNELS))})" in capsys.readouterr().out
