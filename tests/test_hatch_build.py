import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hatch_build import inside_package

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipeline", "transforms", "models", "schemas")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from models.crops import a", "from facetracks.models.crops import a"),
        ("from models import crops", "from facetracks.models import crops"),
        ("import models.crops as c", "import facetracks.models.crops as c"),
        ("import os, models.crops as c, re", "import os, facetracks.models.crops as c, re"),
        ("é = 1; from models import a", "é = 1; from facetracks.models import a"),
        ("from \\\n  models.x import (\n a,\n)", "from \\\n  facetracks.models.x import (\n a,\n)"),
        ("def f():\n    from schemas import a", "def f():\n    from facetracks.schemas import a"),
        ("def f():\n    yield from models\n", "def f():\n    yield from models\n"),
        ("from .models import a", ".models"),
        ("from models_of_mine import a", "from models_of_mine import a"),
        ("import torch.models", "import torch.models"),
        ("x = 'from models import a'", "x = 'from models import a'"),
        ("# from models import a\n\x0c\nimport models.a as a", "\nimport facetracks.models.a as a"),
        ("m = f'{__package__}.server'", "m = f'{__package__}.server'"),
    ],
)  # fmt: skip
def test_imports_go_below_the_package(before, after):
    rewritten = inside_package(before, FOLDERS, "a.py")
    assert after in rewritten
    assert rewritten.count("facetracks.") == after.count("facetracks.")
    assert rewritten.count("\n") == before.count("\n")


@pytest.mark.parametrize(
    "source",
    [
        "import models.crops",
        "x = 'transforms.server'",
        "x = f'models.{name}'",
        "x = 'models.a:main'",
    ],
)
def test_what_cannot_be_rewritten_ends_the_build(source):
    with pytest.raises(ValueError, match=r"^a\.py:2: got .*, expected "):
        inside_package(f"\n{source}\n", FOLDERS, "a.py")


def build(source: Path, target: str, folder: Path) -> Path:
    """The wheel or sdist of `source`, built with the installed packages."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", folder],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The scripts folder of an environment with the wheel and the dependencies installed here."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    shared = [p for p in sys.path if "site-packages" in p]
    (own / "shared.pth").write_text("\n".join(shared))
    programs = environment / "bin"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps",
         "--no-index", "--quiet", "--disable-pip-version-check", wheel],
        check=True, cwd=environment,
    )  # fmt: skip
    return programs


@pytest.fixture()
def traps(tmp_path) -> Path:
    """A working folder with modules named like ours and Python's; all raise."""
    for name in (*FOLDERS, "facetracks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the trap {name}')\n")
    for name in ("types", "calendar", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the trap {name}')\n")
    return tmp_path


Run = Callable[..., str]


@pytest.fixture()
def run(installed, traps) -> Run:
    """Runs a program of the environment in the folder of traps; returns its output."""

    def run(program: str, *arguments: object, cwd: Path = traps) -> str:
        environment: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        ended = subprocess.run(
            [installed / program, *map(str, arguments)],
            cwd=cwd, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


def test_the_wheel_owns_one_name_and_the_weights_are_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "facetracks",
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info",
    }
    assert "facetracks/py.typed" in names
    assert "facetracks/models/weights/landmarks_fast.safetensors" in names
    for folder in FOLDERS:
        sources = (ROOT / folder).rglob("*.py")
        assert {f"facetracks/{path.relative_to(ROOT)}" for path in sources} <= set(names)


def test_the_sdist_builds_the_same_wheel(wheel, tmp_path):
    archive = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = build(source, "wheel", tmp_path / "wheel")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_an_editable_install_points_at_this_repository(tmp_path):
    code = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    archive = zipfile.ZipFile(built)
    (points,) = [name for name in archive.namelist() if name.endswith(".pth")]
    assert archive.read(points).decode().split() == [str(ROOT)]
    (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "facetracks = pipeline." in archive.read(entry).decode()


def test_the_package_is_imported_from_where_it_is_installed(run, installed, traps, tmp_path):
    code = "import facetracks; print(facetracks.__file__)"
    assert run("python", "-P", "-c", code).startswith(str(installed.parent))
    # As most people start Python: the working folder first. What shadows Python or numpy breaks
    # those, and a folder `facetracks` is what was asked for; the rest must not matter.
    for trap in ("types", "calendar", "numpy"):
        (traps / f"{trap}.py").unlink()
    (traps / "facetracks" / "__init__.py").unlink()
    (traps / "facetracks").rmdir()
    code = "import facetracks\nfor name in facetracks.__all__: getattr(facetracks, name)"
    run("python", "-c", code)


def test_commands_run_amid_modules_of_the_same_names(run, traps, talking_clip):
    assert "68-point" in run("facetracks", "--help")
    run("facetracks", "annotate", talking_clip, "--output", "out", "--workers", 2)
    tracks = pq.read_table(traps / "out" / "tracks" / "talking.mp4.parquet")
    assert tracks.num_rows > 150
    run("facetracks", "render", talking_clip, "--tracks", "out", "--to", "sheet.png")
    assert (traps / "sheet.png").stat().st_size > 0
