"""Exercises and solutions: one source, every exercise in its place, every verdict as it should be."""

import re
import shutil
import subprocess
from pathlib import Path

from d2lutils import checks as check

import blanks
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
LESSONS = sorted(p for p in (ROOT / "notebooks").glob("*_*.ipynb") if "01" <= p.name[:2] <= "11")
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])


def notebook(lesson, kind):
    return nbformat.read(lesson.parent / kind / lesson.name, as_version=4)


def code(lesson, kind):
    return [cell for cell in notebook(lesson, kind).cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


# --- one source ---


def test_every_lesson_has_exercises_and_solutions():
    names = {path.name for path in LESSONS}
    for kind in ("exercises", "solutions"):
        assert {path.name for path in (ROOT / "notebooks" / kind).glob("*.ipynb")} == names
    assert set(check.LESSONS) == {path.stem[:2] for path in LESSONS}


@each_lesson
def test_the_blanks_are_the_solutions_without_their_solutions(lesson):
    expected = blanks.blank(notebook(lesson, "solutions"))
    assert blanks.contents(notebook(lesson, "exercises")) == blanks.contents(expected), (
        "Change the solutions, never the blanks, and run `make notebooks`."
    )


@each_lesson
def test_nothing_of_the_solutions_is_in_the_blanks(lesson):
    solved, asked = [], set()  # a solution may run a cell of the question once more
    for cell in notebook(lesson, "solutions").cells:
        if "solution" in cell.metadata.get("tags", []):
            solved.append(cell.source)
        else:
            asked.add(cell.source)
    assert len(solved) > 10
    given = {cell.source for cell in notebook(lesson, "exercises").cells}
    assert [source for source in solved if source in given - asked] == []


# --- what they ask ---


@each_lesson
@pytest.mark.parametrize("kind", ["exercises", "solutions"])
def test_every_check_is_called_once_in_order(lesson, kind):
    source = "\n".join(cell.source for cell in code(lesson, kind))
    called = re.findall(r"\bcheck\.(\w+)\(", source)
    assert called == list(check.exercises(lesson.stem[:2]))
    assert source.splitlines()[-1] == f'summary("{lesson.stem[:2]}")'


@each_lesson
def test_there_are_five_to_eight_exercises_with_their_times(lesson):
    text = "\n".join(
        cell.source for cell in notebook(lesson, "exercises").cells if cell.cell_type == "markdown"
    )
    titles = re.findall(r"^## (\d+\.\d) .*\n\n\*(.*?)\*", text, re.MULTILINE)
    number = int(lesson.stem[:2])
    assert [title for title, _ in titles] == [f"{number}.{i + 1}" for i in range(len(titles))]
    assert 5 <= len(titles) <= 8
    assert all(re.search("minutes|hour", time) for _, time in titles), titles
    assert re.match("[25] minutes", titles[0][1]) and any("hour" in time for _, time in titles)
    numbers = [re.match(r"[\d.]+", e.number)[0] for e in check.exercises(lesson.stem[:2]).values()]
    assert sorted(set(numbers)) == [title for title, _ in titles]


def test_the_zoo_has_ten_specimens_or_more():
    everything = [e for lesson in check.LESSONS for e in check.exercises(lesson).values()]
    zoo = [e for e in everything if e.number[-1].isalpha()]
    assert len(zoo) >= 10
    assert all(len(e.options) == 4 and e.title.startswith("Zoo: ") for e in zoo)


@each_lesson
def test_one_option_is_right_and_the_text_lists_them_all(lesson):
    text = "\n".join(cell.source for cell in notebook(lesson, "exercises").cells)
    listed = re.findall(r"^- \*\*([a-d])\)\*\* ", text, re.MULTILINE)
    asked = [e.options for e in check.exercises(lesson.stem[:2]).values() if e.options]
    assert listed == [letter for options in asked for letter in options]
    assert all(sum(right for right, _ in options.values()) == 1 for options in asked)


@each_lesson
def test_titles_of_checks_and_notebook_agree(lesson):
    text = "\n".join(cell.source for cell in notebook(lesson, "exercises").cells)
    for exercise in check.exercises(lesson.stem[:2]).values():
        title = exercise.title.removeprefix("Zoo: ")
        assert f"# {exercise.number} {title[0].upper()}{title[1:]}\n" in text


# --- what came out ---


@each_lesson
@pytest.mark.parametrize(
    "kind, verdict", [("exercises", "not answered yet"), ("solutions", "right")]
)
def test_every_verdict_is_as_it_should_be(lesson, kind, verdict):
    exercises = check.exercises(lesson.stem[:2])
    for cell in code(lesson, kind):
        for name in re.findall(r"\bcheck\.(\w+)\(", cell.source):
            start = f"{exercises[name].number} {exercises[name].title}: {verdict}."
            assert printed(cell).startswith(start)
            assert "nbval-ignore-output" not in cell.metadata.get("tags", [])
    summary = printed(code(lesson, kind)[-1])
    done = len(exercises) if verdict == "right" else 0
    assert f": {done} of {len(exercises)} done" in summary
    assert sum(line.endswith(verdict) for line in summary.splitlines()) == len(exercises)


# --- links ---


@each_lesson
def test_lessons_and_exercises_link_to_each_other(lesson):
    *_, last, sources = nbformat.read(lesson, as_version=4).cells
    assert f"(exercises/{lesson.name})" in last.source and sources.source.startswith("## Sources")
    for kind in ("exercises", "solutions"):
        first = notebook(lesson, kind).cells[0].source
        assert f"(../{lesson.name})" in first and f"(../solutions/{lesson.name})" in first


# --- writing the blanks ---


@pytest.fixture
def folder(tmp_path):
    """A repository with one solution."""
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("answer = ...", execution_count=1, outputs=[]),
        nbformat.v4.new_code_cell("answer = 42", metadata={"tags": ["solution"]}),
        nbformat.v4.new_code_cell("print(answer)", execution_count=3),
    ]
    cells[-1].outputs = [nbformat.v4.new_output("stream", text="42\n")]
    notebooks = tmp_path / "notebooks"
    (notebooks / "solutions").mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebooks / "solutions/01_a.ipynb")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "solutions")
    return notebooks


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_blank_has_neither_solutions_nor_outputs(folder):
    assert blanks.write(folder)
    written = nbformat.read(folder / "exercises/01_a.ipynb", as_version=4)
    assert [cell.source for cell in written.cells] == ["# Title", "answer = ...", "print(answer)"]
    assert all(not cell.get("outputs") for cell in written.cells)
    solutions = nbformat.read(folder / "solutions/01_a.ipynb", as_version=4)
    assert solutions.cells[-1].outputs, "the source keeps what it has"


def test_a_blank_that_is_up_to_date_keeps_its_outputs(folder):
    blanks.write(folder)
    target = folder / "exercises/01_a.ipynb"
    target.write_text(target.read_text().replace('"execution_count": null', '"execution_count": 7'))
    before = target.read_bytes()
    assert blanks.write(folder) and target.read_bytes() == before


@pytest.mark.parametrize(
    "new, old", [("# Title", "# Old title"), ('"metadata": {}', '"metadata": {"tags": ["old"]}')]
)
def test_a_committed_blank_that_is_out_of_date_is_replaced(folder, new, old):
    blanks.write(folder)
    target = folder / "exercises/01_a.ipynb"
    fresh = target.read_bytes()
    target.write_text(target.read_text().replace(new, old, 1))
    git(folder, "add", ".")
    git(folder, "commit", "-m", "old")
    assert blanks.write(folder) and target.read_bytes() == fresh


@pytest.mark.parametrize("git_knows", ["it", "nothing of it", "nothing at all"])
def test_answers_that_nobody_saved_are_not_overwritten(folder, capsys, git_knows):
    blanks.write(folder)
    target = folder / "exercises/01_a.ipynb"
    if git_knows == "it":
        git(folder, "add", ".")
        git(folder, "commit", "-m", "blank")
    elif git_knows == "nothing at all":
        shutil.rmtree(folder.parent / ".git")
    target.write_text(target.read_text().replace("answer = ...", "answer = 41"))
    before = target.read_bytes()
    assert not blanks.write(folder)
    assert target.read_bytes() == before
    assert "notebooks/exercises/01_a.ipynb was changed" in capsys.readouterr().err
