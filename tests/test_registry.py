"""The lock and the package index: `pytest -m registry` runs these, plain `pytest` leaves them out.

A lock is tried on the day it is made, when the newest releases are the locked ones. What it is
good for shows later. So these tests simulate a later day: beside the true index, pip and uv are
shown a newer release (9999.0) of every locked package, as a folder of wheels that break whatever
imports them or builds with them. Installers do not care where a release comes from: they take
the newest that they may take. Real are the index, the packages, the installers and the set-up;
what the newer releases would ask for is not simulated, they ask for nothing.

"A Python that brings pip 22.3" is this one with another pip to put into new environments.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest
from test_environment import (
    CONDA,
    PINS,
    PLATFORMS,
    PROJECT,
    REAL_PYTHON,
    ROOT,
    asked_by,
    gaps,
    label,
    locked,
    make_wheel,
)

pytestmark = [pytest.mark.registry, pytest.mark.timeout(900)]


def run(*command, cwd=None, **environment):
    """Run a command; when it fails, the test fails with what the command said."""
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


def uv():
    return shutil.which("uv") or pytest.skip("uv is not installed")


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the set-up reads, taken away afterwards: an environment is large."""
    folder = tmp_path / "a cloné"
    shutil.copytree(
        ROOT,
        folder,
        ignore=shutil.ignore_patterns(".*", "*.egg-info", "notebooks", "data", "build"),
    )
    yield folder
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """Settings for pip and uv that show them a newer release of every locked package."""
    folder = tmp_path_factory.mktemp("later")
    for name in {pin.name for pin in PINS}:
        module = name.replace("-", "_")
        make_wheel(folder, name, "9999.0", {f"{module}.py": f"raise RuntimeError('{name} 9999.0')"})
    places = (
        os.environ.get("PIP_FIND_LINKS", "").split(),
        os.environ.get("UV_FIND_LINKS", "").split(","),
    )
    pip, uv = ([*filter(None, more), folder.as_uri()] for more in places)
    return {"PIP_FIND_LINKS": " ".join(pip), "UV_FIND_LINKS": ",".join(uv)}


def make_python(folder, pip=None):
    """A Python as this one, in `folder`, that brings the given release of pip, or no ensurepip."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    library = folder / stdlib.parent.name / stdlib.name
    library.mkdir(parents=True)
    for path in stdlib.iterdir():
        if path.name not in ("ensurepip", "site-packages"):
            (library / path.name).symlink_to(path)
    for path in stdlib.parent.glob("libpython*"):
        (library.parent / path.name).symlink_to(path)
    (folder / "bin").mkdir()
    shutil.copy(REAL_PYTHON, folder / "bin/python3.11")  # a link would lead back to where it points

    if pip:
        pytest.importorskip("pip", reason="this environment has no pip to fetch others with")
        wanted = [
            "pip" if pip == "newest" else f"pip=={pip}",
            "setuptools==65.5.0",
        ]  # as Python 3.11
        wheels = folder / "wheels"
        run(sys.executable, "-m", "pip", "download", "--no-deps", "--dest", wheels, *wanted)
        (wheel,) = wheels.glob("pip-*.whl")
        (library / "ensurepip").mkdir()
        (library / "ensurepip/__init__.py").touch()
        (library / "ensurepip/__main__.py").write_text(
            "import runpy, sys\n"
            f"sys.path.insert(0, {str(wheel)!r})\n"
            f"sys.argv = ['pip', 'install', '--no-index', '--find-links', {str(wheels)!r}, 'pip', 'setuptools']\n"
            "runpy.run_module('pip', run_name='__main__')\n"
        )
    return folder / "bin/python3.11"


def installed(environment):
    """The versions in an environment, pip's and the project's own apart."""
    (folder,) = environment.glob("lib/*/site-packages")
    found = {d.name.lower().replace("_", "-"): d.version for d in distributions(path=[str(folder)])}
    assert found.pop("d2lutils") == PROJECT["version"]
    return found.pop("pip", None), found


@pytest.mark.parametrize("installer", ["22.3", "23.0.1", "24.0", "newest", "uv"])
def test_the_set_up_gives_the_locked_versions(checkout, tmp_path, later, installer):
    pip = None if installer == "uv" else installer
    python = make_python(tmp_path / "python", pip)
    path = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    if not pip:
        uv()
    run("sh", "tools/venv.sh", cwd=checkout, **path, **later)

    environment = checkout / ".venv"
    assert f"home = {python.parent}\n" in (environment / "pyvenv.cfg").read_text()
    brought, found = installed(environment)
    assert found == locked()
    assert brought == pip or pip == "newest" and brought

    if installer in ("23.0.1", "uv"):  # what notebook 10 exports, another program must read
        run("make", "-o", ".venv/.ready", "onnx", cwd=checkout)
        tests = [ROOT / "tests/test_use.py", "-k", "exported", "-n0", "-p", "no:cacheprovider"]
        said = run(environment / "bin/python", "-m", "pytest", *tests, cwd=ROOT)
        assert "passed" in said and "skipped" not in said, said

    # Left to itself, the same installer takes the newer release: the test would have seen it.
    command = [environment / "bin/python", "-m", "pip"] if pip else [uv(), "pip"]
    options = [] if pip else ["--python", environment]
    run(*command, "install", *options, "--no-deps", "--upgrade", "iniconfig", **later)
    assert installed(environment)[1]["iniconfig"] == "9999.0"


def test_conda_gives_the_locked_versions(checkout, tmp_path, later):
    """conda and Binder hand the pip section to pip, without hashes, the project in the same run.

    pip then builds the project in an environment of its own, for which it takes what
    `[build-system]` asks for.
    """
    environment = tmp_path / "environment"
    run(make_python(tmp_path / "python", "newest"), "-m", "venv", environment)
    (checkout / "condaenv.txt").write_text("\n".join(CONDA["dependencies"][-1]["pip"]))
    command = ["-m", "pip", "install", "-U", "-r", "condaenv.txt", "--exists-action=b"]
    run(environment / "bin/python", *command, cwd=checkout, **later)
    assert installed(environment)[1] == locked()


@pytest.mark.parametrize("there", PLATFORMS, ids=label)
def test_each_platform_gets_a_locked_wheel_of_everything(tmp_path, there):
    """uv fetches the wheels that such a machine would get, compares their hashes and unpacks them.

    What these wheels ask for is in the lock: also what those ask for that no other platform has.
    """
    kind = "apple-darwin" if there["sys_platform"] == "darwin" else "manylinux_2_28"
    run(
        *(uv(), "pip", "install", "--require-hashes", "--requirement", ROOT / "requirements.txt"),
        *("--only-binary", ":all:", "--python", sys.executable, "--target", tmp_path / "packages"),
        *("--python-version", there["python_full_version"]),
        *("--python-platform", f"{there['platform_machine']}-{kind}"),
    )
    asked = asked_by(distributions(path=[str(tmp_path / "packages")]))
    shutil.rmtree(tmp_path / "packages")
    assert gaps(PINS, asked, there) == ([], set())


def test_compiling_the_lock_again_changes_no_pin(checkout):
    """Hashes may be added when a project publishes further files of a locked release."""
    uv()
    run("make", "lock", cwd=checkout)
    before, after = ((folder / "requirements.txt").read_text() for folder in (ROOT, checkout))
    pins, hashes = r"^\w.*?(?= \\$)", r"--hash=\S*"
    assert re.findall(pins, after, re.MULTILINE) == re.findall(pins, before, re.MULTILINE) != []
    assert set(re.findall(hashes, before)) <= set(re.findall(hashes, after))
    environment = "environment.yml"
    assert (checkout / environment).read_text() == (ROOT / environment).read_text()
