import pytest
from apache_beam.options.pipeline_options import DebugOptions

from pipeline.runner_options import runner_options


def experiments(*flags: str) -> list[str]:
    return list(runner_options(flags, 1)[0].view_as(DebugOptions).experiments or [])


@pytest.mark.parametrize("runner", ["PrismRunner", "DirectRunner"])
def test_prism_splits_no_bundle(runner):
    given = experiments(f"--runner={runner}", "--experiments=other")
    assert sorted(given) == ["other", "prism_disable_sdf_split"]


@pytest.mark.parametrize("flags", [(), ("--runner=FlinkRunner",)])
def test_other_runners_are_left_alone(flags):
    assert "prism_disable_sdf_split" not in experiments(*flags)
