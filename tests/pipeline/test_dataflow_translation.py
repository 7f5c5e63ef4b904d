"""The job for Dataflow: translated here, never submitted."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)
from apache_beam.transforms import environments
from apache_beam.transforms.userstate import is_stateful_dofn

from pipeline.commands.command_line import parse_command
from pipeline.commands.command_parser import settings_of
from pipeline.graph import AnnotateGraph, GraphSettings
from pipeline.runner_options import runner_options
from pipeline.settings import AnnotateSettings
from schemas.records import Video
from transforms.align_faces import AlignSettings
from transforms.decoding.child import ChildSettings
from transforms.decoding.piece_builder import CropSpec
from transforms.storage.run_output import RunOutput

IMAGE = "europe-docker.pkg.dev/project/facetracks:0.1.0"
ACCELERATOR = "type:nvidia-l4;count:1;install-nvidia-driver"
OURS = [
    "gs://bucket/videos", "--output", "gs://bucket/tracks", "--separate-decode",
    "--align-accelerator", ACCELERATOR, "--align-ram", "16GB",
]  # fmt: skip
BEAMS = [
    "--runner=DataflowRunner", "--project=project", "--region=europe-west4",
    "--temp_location=gs://bucket/tmp", f"--sdk_container_image={IMAGE}",
    "--sdk_location=container", "--number_of_worker_harness_threads=4",
    "--experiments=no_use_multiple_sdk_containers",
]  # fmt: skip
GROUP_BY_KEY = "beam:transform:group_by_key:v1"


class _Stateful(beam.pipeline.PipelineVisitor):
    """Finds the inputs of stateful steps."""

    def __init__(self):
        self.inputs = []

    def visit_transform(self, node):
        dofn = getattr(node.transform, "dofn", None)
        if dofn is not None and is_stateful_dofn(dofn):
            self.inputs += node.inputs


@pytest.fixture(scope="module")
def args():
    return parse_command(["annotate", *OURS, *BEAMS])


@pytest.fixture(scope="module")
def options(args) -> PipelineOptions:
    options, runner = runner_options(args.beam_options, args.workers)
    assert runner == "DataflowRunner"
    return options


@pytest.fixture(scope="module")
def pipeline(args):
    # Without the runner's name: the runner would access the bucket at once.
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(BEAMS[1:]))
    settings = GraphSettings(
        RunOutput(args.output, {"weights": "1"}),
        ChildSettings(CropSpec(64, 1.2, 3)),
        AlignSettings(),
        settings_of(AnnotateSettings, args),
    )
    video = Video("a.mp4", "gs://bucket/videos/a.mp4")
    videos, failures = pipeline | "A" >> beam.Create([video]), pipeline | "B" >> beam.Create([])
    _ = (videos, failures) | "Annotate" >> AnnotateGraph(settings)
    return pipeline


@pytest.fixture(scope="module")
def translated(pipeline, options):
    """(the job, the objects of its ids), with DataflowRunner's environment."""
    environment = environments.DockerEnvironment.from_container_image(
        options.view_as(WorkerOptions).sdk_container_image,
        artifacts=environments.python_sdk_dependencies(options),
        resource_hints=environments.resource_hints_from_options(options),
    )
    return pipeline.to_runner_api(return_context=True, default_environment=environment)


def test_every_step_runs_in_our_image_as_it_is(translated):
    for environment in translated[0].components.environments.values():
        assert environment.urn == "beam:env:docker:v1"
        assert IMAGE.encode() in environment.payload
        # No main session, nothing to install: only Beam's record of the submission environment.
        (note,) = environment.dependencies or [None]
        assert note is None or b"submission_environment_dependencies" in note.type_payload


def test_no_main_session_is_pickled(options):
    assert not options.view_as(SetupOptions).save_main_session


def test_only_the_steps_of_align_faces_ask_for_an_accelerator(translated):
    components = translated[0].components
    asking = set()
    for transform in components.transforms.values():
        environment = components.environments.get(transform.environment_id)
        hints = dict(environment.resource_hints) if environment is not None else {}
        if transform.unique_name.startswith("Annotate/AlignFaces"):
            if transform.environment_id:
                assert hints == {
                    "beam:resources:accelerator:v1": ACCELERATOR.encode(),
                    "beam:resources:min_ram_bytes:v1": b"16000000000",
                }
                asking.add(transform.unique_name)
        else:
            assert hints == {}, transform.unique_name
    assert any("AlignFaces" in name for name in asking)


def test_decoding_and_aligning_have_a_shuffle_between_them(translated):
    names = {t.unique_name: t for t in translated[0].components.transforms.values()}
    shuffle = next(
        n for n in names if n.startswith("Annotate/SeparateDecode") and n.endswith("GroupByKey")
    )
    assert names[shuffle].spec.urn == GROUP_BY_KEY


def test_inputs_are_accounted_for_by_the_job_itself(translated):
    """Workers join the inputs, selected videos and results, and read the rows back."""
    names = {t.unique_name: t for t in translated[0].components.transforms.values()}
    (join,) = (n for n in names if n.startswith("Annotate/AccountVideos") and "GroupByKey" in n
               and names[n].spec.urn == GROUP_BY_KEY)  # fmt: skip
    assert join.startswith("Annotate/AccountVideos/Join")
    assert names["Annotate/AccountVideos/ReadRows"].environment_id


def test_every_key_has_a_deterministic_coder(pipeline, translated):
    proto, context = translated
    stateful = _Stateful()
    pipeline.visit(stateful)
    keyed = [context.pcollections.get_id(pcoll) for pcoll in stateful.inputs]
    assert len(keyed) == 1  # StabilizeTracks
    for transform in proto.components.transforms.values():
        if transform.spec.urn == GROUP_BY_KEY:
            keyed += transform.inputs.values()
    assert len(keyed) > 3
    for pcoll in keyed:
        coder = context.coders.get_by_id(proto.components.pcollections[pcoll].coder_id)
        assert coder.key_coder().is_deterministic(), pcoll
    walked = context.coders.get_by_id(proto.components.pcollections[keyed[0]].coder_id)
    assert walked.key_coder() == beam.coders.StrUtf8Coder()


def test_the_harness_is_told_what_the_command_says(options):
    workers, debug = options.view_as(WorkerOptions), options.view_as(DebugOptions)
    assert workers.sdk_container_image == IMAGE
    assert debug.number_of_worker_harness_threads == 4
    # One process per machine: the network is in the GPU's memory once.
    assert debug.lookup_experiment("no_use_multiple_sdk_containers")
    assert options.view_as(SetupOptions).sdk_location == "container"
