import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CONSTRAINTS = (ROOT / "constraints.txt").read_text()


def test_the_boot_program_is_that_of_the_pinned_beam():
    (pinned,) = re.findall(r"^apache-beam==(\S+)$", CONSTRAINTS, re.MULTILINE)
    assert f"ARG BEAM_VERSION={pinned}\n" in DOCKERFILE
    assert "COPY --from=beam /opt/apache/beam /opt/apache/beam\n" in DOCKERFILE


def test_python_is_one_that_the_package_allows():
    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\d+\.\d+)$", DOCKERFILE, re.MULTILINE)
    assert f'requires-python = ">={version}"' in (ROOT / "pyproject.toml").read_text()


def test_all_that_the_wheel_is_built_from_is_copied_and_nothing_else():
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    folders = settings["tool"]["hatch"]["build"]["hooks"]["custom"]["folders"]
    assert re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE) == sorted(folders)
    project = settings["project"]
    files = {"facetracks.py", "hatch_build.py", "pyproject.toml"}
    files |= {project["readme"], *project["license-files"]}
    (copied,) = re.findall(r"^COPY (.*) \./$", DOCKERFILE, re.MULTILINE)
    assert copied.split() == sorted(files)
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert let_in == sorted([*folders, *files, "constraints.txt"])
