"""One set of versions behind three doors, and the set-up that installs it."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = ["pyproject.toml", "requirements.txt", "environment.yml"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCK = (ROOT / "requirements.txt").read_text()
PINS = [Requirement(line) for line in re.findall(r"^(\w.*?)(?: \\)?$", LOCK, re.MULTILINE)]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def locked():
    """The version of each package that the lock gives to the machine that runs this test."""
    mine = (pin for pin in PINS if pin.marker is None or pin.marker.evaluate())
    return {pin.name: next(iter(pin.specifier)).version for pin in mine}


def test_every_pin_is_exact_and_hashed():
    entries = re.findall(r"^\w.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", LOCK, re.MULTILINE)
    assert len(entries) == len(PINS) > 0
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in PINS)


def test_the_lock_answers_what_pyproject_asks():
    extras = PROJECT["optional-dependencies"].values()
    asked = [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]
    pins = locked()
    assert [r for r in asked if r.name not in pins or pins[r.name] not in r.specifier] == []


def test_what_builds_the_project_is_in_the_lock():
    assert PYPROJECT["build-system"]["requires"] == [f"setuptools=={locked()['setuptools']}"]


def test_conda_gets_the_same_versions_and_the_project():
    python, pip, section = CONDA["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert PROJECT["requires-python"] == "==3.11.*"
    *pins, project = section["pip"]
    assert [Requirement(pin) for pin in pins] == PINS
    assert project == "-e ."
    assert CONDA["channels"] == ["conda-forge"]


def test_installed_is_what_the_lock_says():
    assert {name: version(name) for name in locked()} == locked()
    assert version("d2lutils") == PROJECT["version"]


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_an_index(name):
    assert re.findall(r"\w+://\S*|--?\S*index\S*|--find-links\S*", (ROOT / name).read_text()) == []


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


# --- the lock is closed: nobody asks for what it does not hold ---


def platform(system, machine, python):
    """What a marker sees on a machine of that kind. Nothing of this machine is in it."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "1",
        "platform_system": system,
        "platform_version": "1",
        "python_full_version": python,
        "python_version": "3.11",
        "sys_platform": system.lower(),
    }


PLATFORMS = [
    platform(system, machine, python)
    for system, machine in [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64")]
    for python in ("3.11.0", "3.11.15")
]


def label(there):
    return "-".join(
        there[key] for key in ("platform_system", "platform_machine", "python_full_version")
    )


def asked_by(installed):
    """What each distribution asks for, by its name and version."""
    return {(canonicalize_name(d.name), d.version): d.requires or [] for d in installed}


def name_and_version(pin):
    return pin.name, next(iter(pin.specifier)).version


def holds(pin, requirement):
    """Is the pinned version one that is asked for, and does the line name every extra?"""
    extras = {canonicalize_name(extra) for extra in requirement.extras}
    _, pinned = name_and_version(pin)
    return extras <= pin.extras and requirement.specifier.contains(pinned, prereleases=True)


def gaps(pins, asked, there):
    """What is asked for on a platform that the lock does not hold, and by whom.

    A package asks for more when its line names an extra. Every extra that anybody asks for must
    be named, so the extras of extras are followed from line to line. Packages that are not among
    `asked` are returned apart: nobody knows what they ask for.
    """
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(there)]
    lock = {pin.name: pin for pin in here}
    open_ends = [f"{pin.name} is pinned twice" for pin in here if lock[pin.name] is not pin]
    unknown = {name_and_version(pin) for pin in here} - set(asked)
    for pin in here:
        for requirement in map(Requirement, asked.get(name_and_version(pin), [])):
            marker, held = requirement.marker, lock.get(canonicalize_name(requirement.name))
            applies = marker is None or any(
                marker.evaluate({**there, "extra": extra}) for extra in ("", *pin.extras)
            )
            if applies and (held is None or not holds(held, requirement)):
                open_ends.append(
                    f"{pin.name} asks for {requirement}, the lock has {held or 'nothing'}"
                )
    return open_ends, unknown


def everything(pins):
    """The lines of the lock, and one for the project with all its extras."""
    extras = ",".join(PROJECT["optional-dependencies"])
    return [*pins, Requirement(f"d2lutils[{extras}]=={PROJECT['version']}")]


@pytest.mark.parametrize("there", PLATFORMS, ids=label)
def test_the_lock_holds_all_that_its_packages_ask_for(there):
    """A package for other platforms only is not installed here, so what it asks for is not seen:

    `pytest -m registry` fetches the wheels of each platform and looks at them too.
    """
    open_ends, unknown = gaps(everything(PINS), asked_by(distributions()), there)
    assert open_ends == []
    elsewhere = [pin for pin in PINS if pin.marker and not pin.marker.evaluate()]
    assert unknown <= set(map(name_and_version, elsewhere))


ASKED = {
    ("course", "1"): ["pytest-cov>=5", "appnope; sys_platform == 'darwin'", "gui; extra == 'lab'"],
    ("pytest-cov", "7"): ["Coverage[TOML]>=7.10", "pluggy"],
    ("coverage", "7.17"): ["tomli; extra == 'toml'", "sphinx; extra == 'docs'"],
    ("pluggy", "1"): ["typing; python_full_version < '3.11.4'"],
    ("tomli", "2"): [],
}
CLOSED = "course==1 pytest-cov==7 coverage[toml]==7.17 pluggy==1 tomli==2"
LINUX, MAC = platform("Linux", "x86_64", "3.11.15"), platform("Darwin", "x86_64", "3.11.15")


def gaps_of(lines, there=LINUX):
    return gaps([Requirement(line) for line in lines.split()], ASKED, there)


def test_a_closed_lock_has_no_gap():
    assert gaps_of(CLOSED) == ([], set())


@pytest.mark.parametrize(
    "pin, instead, sentence",
    [
        ("pluggy==1", "", "pytest-cov asks for pluggy, the lock has nothing"),
        ("tomli==2", "", 'coverage asks for tomli; extra == "toml", the lock has nothing'),
        ("[toml]", "", "pytest-cov asks for Coverage[TOML]>=7.10, the lock has coverage==7.17"),
        ("cov==7", "cov==4", "course asks for pytest-cov>=5, the lock has pytest-cov==4"),
        ("course", "course[lab]", 'course asks for gui; extra == "lab", the lock has nothing'),
        ("tomli==2", "tomli==2 tomli==2", "tomli is pinned twice"),
    ],
)
def test_a_gap_is_named_with_who_asks(pin, instead, sentence):
    assert pin in CLOSED
    assert sentence in gaps_of(CLOSED.replace(pin, instead))[0]


def test_gaps_are_those_of_the_platform():
    assert gaps_of(CLOSED, MAC)[0] == [
        'course asks for appnope; sys_platform == "darwin", the lock has nothing'
    ]
    assert gaps_of(CLOSED, platform("Linux", "aarch64", "3.11.0"))[0] == [
        'pluggy asks for typing; python_full_version < "3.11.4", the lock has nothing'
    ]
    assert gaps_of(CLOSED + " appnope==1", MAC) == ([], {("appnope", "1")})


# --- tools/venv.sh, on a machine that has the Pythons a test puts there ---

REAL_PYTHON = sys._base_executable


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs of this machine, without a Python and without what could bring one."""
    folder = tmp_path_factory.mktemp("programs")
    for directory in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in directory.glob("*"):
            link = folder / program.name
            if not program.name.startswith(("py", "pip", "uv", "conda")) and not link.is_symlink():
                link.symlink_to(program)
    return folder


@pytest.fixture
def clone(tmp_path, programs):
    """A clone that holds the set-up alone, in a folder with a name of the awkward kind."""
    shutil.copytree(ROOT / "tools", tmp_path / "a cloné/tools")
    (tmp_path / "bin").mkdir()
    (tmp_path / "programs").symlink_to(programs)
    return tmp_path


def add_program(clone, path, script):
    program = clone / path
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def add_python(clone, path, version=(3, 11), lacks="nothing", makes_environments=False):
    """A Python that notes when it is asked for an environment. It gives one only if told so."""
    script = f"""case "$*" in
    *"{lacks}"*) exit 1;;
    *"-m venv"*) echo "{path}" >> "{clone}/log"; {"" if makes_environments else "exit 1"};;
esac
if [ "$1" = -c ]; then
    code=$2
    shift 2
    exec "{REAL_PYTHON}" -c "import sys; sys.version_info = {version}; $code" "$@"
fi
exec "{REAL_PYTHON}" "$@"
"""
    add_program(clone, path, script)


def add_uv(clone):
    """A uv that knows no Python, and notes what else it is asked for without giving it."""
    script = f"""case "$*" in
    --version) exit;;
    "python find"*) exit 1;;
esac
echo "uv $*" >> "{clone}/log"
exit 1
"""
    add_program(clone, "bin/uv", script)


def set_up(clone, **settings):
    """Run the script; return its exit status, its standard error and the log's lines."""
    result = subprocess.run(
        [shutil.which("sh"), "tools/venv.sh"],
        cwd=clone / "a cloné",
        env={"PATH": f"{clone}/bin:{clone}/programs", "HOME": f"{clone}/home", **settings},
        capture_output=True,
        text=True,
    )
    log = clone / "log"
    ready = (clone / "a cloné/.venv/.ready").exists()
    assert ready == (result.returncode == 0), result.stderr
    return result.returncode, result.stderr, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize(
    "path", ["bin/python3.11", "bin/python3", "home/.pyenv/versions/3.11.9/bin/python3"]
)
def test_a_python_is_found(clone, path):
    add_python(clone, path)
    assert set_up(clone)[2] == [path]


@pytest.mark.parametrize("version", [(3, 10), (3, 12)])
def test_a_python_of_another_version_is_passed_over(clone, version):
    add_python(clone, "bin/python3.11", version)
    add_python(clone, "bin/python3")
    assert set_up(clone)[2] == ["bin/python3"]


def test_uv_is_asked_for_a_python_where_there_is_none(clone):
    add_uv(clone)
    log = set_up(clone)[2]
    assert len(log) == 1 and log[0].startswith("uv ") and "3.11" in log[0]


def test_uv_is_asked_for_the_environment_where_python_has_no_venv(clone):
    add_python(clone, "bin/python3.11", lacks="ensurepip")
    add_uv(clone)
    log = set_up(clone)[2]
    assert len(log) == 1 and log[0].startswith("uv venv ") and "python3.11" in log[0]


def test_no_python_is_one_sentence(clone):
    status, error, log = set_up(clone)
    assert (status, log, error.count("\n")) == (1, [], 1)
    assert "No Python 3.11 here" in error and "install" in error


def test_no_venv_is_one_sentence(clone):
    add_python(clone, "bin/python3.11", lacks="ensurepip")
    status, error, log = set_up(clone)
    assert (status, log, error.count("\n")) == (1, [], 1)
    assert "python3.11 has no venv" in error and "install" in error


# --- the same with real installers, an index on the disk and a course of two packages ---


def make_wheel(folder, name, version, files, metadata=""):
    """A wheel of these files, as pip and uv take it. Return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture(params=["pip", "uv"])
def small(clone, request):
    """A clone whose lock has one package, `jupyter`: the set-up may call its command.

    The index has a newer one as well, and another package that `jupyter` asks for.
    """
    if request.param == "pip":
        pytest.importorskip("ensurepip", reason="this Python has no venv")
        add_python(clone, "bin/python3.11", makes_environments=True)
    else:
        add_python(clone, "bin/python3.11", lacks="ensurepip")
        (clone / "bin/uv").symlink_to(shutil.which("uv") or pytest.skip("uv is not installed"))

    for number in ("1.0", "2.0"):
        command = {
            "jupyter.py": "def main(): pass\n",
            f"jupyter-{number}.dist-info/entry_points.txt": "[console_scripts]\njupyter=jupyter:main\n",
        }
        make_wheel(clone / "index", "jupyter", number, command, "Requires-Dist: more\n")
    make_wheel(clone / "index", "more", "1.0", {"more.py": ""})
    lock(clone, hashlib.sha256((clone / "index/jupyter-1.0-py3-none-any.whl").read_bytes()))

    project = make_wheel(clone / "built", "course", "1.0", {"course.py": ""})
    (clone / "a cloné/backend.py").write_text(
        f"import shutil\n"
        f"def build_editable(folder, *_):\n"
        f"    return shutil.copy({str(project)!r}, folder).rpartition('/')[2]\n"
    )
    (clone / "a cloné/pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "course"\nversion = "1.0"\n'
    )
    return clone


def lock(clone, digest):
    line = f"jupyter==1.0 --hash=sha256:{digest.hexdigest()}\n"
    (clone / "a cloné/requirements.txt").write_text(line)


def set_up_offline(clone):
    """Run the script with an index on the disk; return its exit status and error, and the versions."""
    index = (clone / "index").as_uri()
    status, error, _ = set_up(
        clone, PIP_NO_INDEX="1", PIP_FIND_LINKS=index, UV_OFFLINE="1", UV_FIND_LINKS=index
    )
    installed = distributions(path=map(str, (clone / "a cloné/.venv").glob("lib/*/site-packages")))
    ours = {d.name: d.version for d in installed if d.name in ("course", "jupyter", "more")}
    return status, error, ours


def test_what_the_lock_says_is_installed_and_nothing_else(small):
    status, error, installed = set_up_offline(small)
    assert (status, installed) == (0, {"course": "1.0", "jupyter": "1.0"}), error


def test_a_wrong_hash_is_refused(small):
    lock(small, hashlib.sha256(b"something else"))
    status, error, installed = set_up_offline(small)
    assert status != 0 and "sha256" in error
    assert installed == {}


# --- the Makefile: when the environment is laid anew ---


@pytest.fixture
def project(tmp_path):
    """A copy of the Makefile whose set-up only says that it ran."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "tools/venv.sh").write_text(
        f"mkdir -p .venv/bin && ln -sf {shlex.quote(sys.executable)} .venv/bin/python\n"
        "pwd -P > .venv/.ready\n"
    )
    assert laid_anew(tmp_path)
    return tmp_path


def laid_anew(folder):
    command = ["make", "--no-print-directory", ".venv/.ready"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    result = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=True
    )
    return "venv.sh" in result.stdout


def test_a_second_run_installs_nothing(project):
    assert not laid_anew(project)


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_stale_environment_is_laid_anew(project, name):
    later = (project / ".venv/.ready").stat().st_mtime + 10
    os.utime(project / name, (later, later))
    assert laid_anew(project)


def test_an_environment_without_its_python_is_laid_anew(project):
    (project / ".venv/bin/python").unlink()
    assert laid_anew(project)
    assert not laid_anew(project)


def test_a_moved_environment_is_laid_anew(project):
    moved = project.rename(project.with_name("moved"))
    assert laid_anew(moved)
    assert not laid_anew(moved)
