import argparse

import pytest
from apache_beam.options.pipeline_options import DebugOptions

from pipeline.commands.annotate_options import beam_options


def experiments(*flags: str) -> list[str]:
    args = argparse.Namespace(beam_options=list(flags), workers=1)
    return list(beam_options(args)[0].view_as(DebugOptions).experiments or [])


@pytest.mark.parametrize("runner", ["PrismRunner", "DirectRunner"])
def test_prism_splits_no_bundle(runner):
    given = experiments(f"--runner={runner}", "--experiments=other")
    assert sorted(given) == ["other", "prism_disable_sdf_split"]


@pytest.mark.parametrize("flags", [(), ("--runner=FlinkRunner",)])
def test_other_runners_are_left_alone(flags):
    assert "prism_disable_sdf_split" not in experiments(*flags)
