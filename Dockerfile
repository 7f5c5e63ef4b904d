# The image of workers on a cluster: Beam's boot program, our wheel, its pinned dependencies.
#
#   docker build --tag REGISTRY/facetracks:0.1.0 .
#
# Python and Beam are the versions that submit the job (tests/pipeline/test_dockerfile.py).
# CUDA comes with torch's wheels, pinned in constraints.txt like the rest; a CUDA base image
# would hold it a second time. From the host come only the driver's libraries.
ARG PYTHON_VERSION=3.11
ARG BEAM_VERSION=2.77.0

FROM apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION} AS beam

FROM python:${PYTHON_VERSION}-slim-bookworm AS wheel
WORKDIR /source
COPY LICENSE README.md facetracks.py hatch_build.py pyproject.toml ./
COPY models models
COPY pipeline pipeline
COPY schemas schemas
COPY transforms transforms
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --constraint /constraints.txt \
    "facetracks[azure,gcs,hf,s3,torch,yaml] @ file://$(echo /wheels/*.whl)"
COPY --from=beam /opt/apache/beam /opt/apache/beam
# Where clusters put the driver, and what of it they are asked for.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    OMP_NUM_THREADS=1 \
    PYTHONSAFEPATH=1
ENTRYPOINT ["/opt/apache/beam/boot"]
