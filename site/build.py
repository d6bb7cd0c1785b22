"""Build the site: build/source/en and /zh, the notebooks as they are with the pages around them, and
from these build/site.

Exercises appear once, from the notebooks with solutions: each on a page of its own, its solution folded
behind the question.
"""

import csv
import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import slides
from course import REPOSITORY, URL, address, chinese_texts, size

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "build" / "source", ROOT / "build" / "site"
NOTEBOOKS = {"en": ROOT / "notebooks", "zh": ROOT / "notebooks" / "zh"}
README = {"en": "README.md", "zh": "README.zh.md"}
PARTS = {  # captions of the table of contents, and the pages under each
    "en": [
        "The three ideas",
        "Understanding",
        "Further",
        "Exercises",
        "About the numbers",
        "Teaching",
    ],
    "zh": ["三个想法", "理解", "进阶", "练习", "数字从哪里来", "教学与术语"],
}
LESSONS = [slice(0, 6), slice(6, 8), slice(8, None)]
EXERCISES = {  # the heading of their list, what stands below it, the first line of a page, "solutions"
    "en": (
        "The exercises",
        "Each has a page here. To answer them, download the notebook, or open it in Jupyter.",
        "*From [exercises {number}]({page}.ipynb), to [lesson {number}](../{page}.ipynb). "
        "In the notebook, run the first cell first.*",
        "The solutions are folded below the questions.",
    ),
    "zh": (
        "练习",
        "每道练习一页，可以在这里读题。做题时请下载笔记本，或者在 Jupyter 中打开。",
        "*选自[练习 {number}]({page}.ipynb)，对应[第 {number} 课](../{page}.ipynb)。在笔记本中做题时，先运行开头的单元格。*",
        "解答折叠在题目下面。",
    ),
}
RESULTS = {
    "en": (
        "# Recorded experiments",
        "Each table has one row for each setting: mean ± standard deviation over five seeds, in the last "
        "recorded epoch. Where runs diverged, “(3/5)” says that three of five are left, “–” that none is; the "
        "mean is over those that are left (in the lessons a diverged run counts as guessing, 0.1). The "
        "lessons say what each column is. Click on a heading to sort by it. The complete table, with every seed and epoch, is in the file.",
    ),
    "zh": (
        "# 实验记录",
        "每张表中，一行是一种设置：五个随机种子在最后一个记录的迭代周期中的均值 ± 标准差。有的运行发散了："
        "“(3/5)”表示五次运行剩下三次，“–”表示一次也没有剩下；均值不包括发散的运行（课文中则按随机猜测的 0.1 计入）。各列的含义见课文。点击表头可以排序。"
        "包含每个种子、每个迭代周期的完整表格在文件里。",
    ),
}


def pages(language):
    """The names of the lessons, and of the exercises."""
    folder = NOTEBOOKS[language]
    lessons = sorted(path.stem for path in folder.glob("*.ipynb"))
    return lessons, [f"exercises/{p.stem}" for p in sorted((folder / "solutions").glob("*.ipynb"))]


def copy_notebooks(language):
    folder, target = NOTEBOOKS[language], SOURCE / language
    target.mkdir(parents=True)
    for path in folder.glob("*.ipynb"):
        shutil.copy(path, target)
    (target / "exercises").mkdir()
    for path in (folder / "solutions").glob("*.ipynb"):
        write_exercises(path, target / "exercises", *EXERCISES[language])
    shutil.copytree(ROOT / "notebooks" / "figures", target / "figures")
    if language == "zh":
        shutil.copytree(folder / "figures", target / "figures", dirs_exist_ok=True)
        shutil.copy(folder / "GLOSSARY.md", target)
        shutil.copytree(ROOT / "site" / "zh" / "locales", target / "locales")
    for path in (ROOT / "site" / language).glob("*.md"):
        shutil.copy(path, target)


def write_exercises(path, target, listed, how, first_line, solutions):
    """A page with the beginning, the list of the exercises and the end; then a page for each exercise."""
    notebook = nbformat.read(path, as_version=4)
    frame, exercises = [], {}
    around = frame
    for cell in notebook.cells:
        heading = re.match(r"## (?:(\d+)\.(\d+) )?", cell.source)
        if heading:
            number = heading[1] and f"{int(heading[1]):02}_{heading[2]}"
            around = exercises.setdefault(number, []) if number else frame
        if cell.cell_type == "code" and around is frame:
            cell.metadata.pop("tags", None)  # what several solutions use
            if "summary(" in cell.source:
                cell.metadata["tags"] = ["hide-output"]
        around.append(cell)
    link = r"(Worked |参考)\[[^]]+\]\(\.\./solutions/[^)]+\)[.。]"
    frame[0].source = re.sub(link, solutions, frame[0].source)
    first = next(i for i, cell in enumerate(frame) if cell.cell_type == "code")
    entries = "\n".join(exercises)
    contents = f"## {listed}\n\n{how}\n\n```{{toctree}}\n{entries}\n```"
    frame.insert(first + 1, nbformat.v4.new_markdown_cell(contents))
    notebook.cells = frame
    nbformat.write(notebook, target / path.name)
    for number, cells in exercises.items():
        for cell in cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"^#(#+ )", r"\1", cell.source, flags=re.MULTILINE)
        heading, _, text = cells[0].source.partition("\n")
        about = first_line.format(number=path.stem[:2], page=path.stem)
        cells[0].source = f"{heading}\n\n{about}\n{text}"
        notebook.cells = cells
        nbformat.write(notebook, target / f"{number}.ipynb")


def slug(anchor):
    """An anchor of Jupyter, such as 8.-The-course, as the site has it."""
    return re.sub(r"[^\w-]", "", anchor).lower()


def thumbnail(found):
    """A picture of the map, with its height, and what it leads to."""
    width, height = size(ROOT / "notebooks" / "figures" / f"{found[2]}.png")
    height = round(300 * height / width)
    return f'<a href="{found[2]}.html"><img loading="lazy" height="{height}" {found[1]}></a>'


def front_page(language):
    """The README as the first page, and the table of contents."""
    text = (ROOT / README[language]).read_text(encoding="utf-8")
    text = re.sub(r"^.*\]\(README[.\w]*\).*\n", "", text, count=1)  # the switch leads there
    text = re.sub(r"\]\(notebooks/(zh/)?", "](./", text).replace('src="notebooks/', 'src="')
    text = text.replace("](./solutions/", "](./exercises/")
    text = re.sub(r"\[<img (\w[^>]+)>\]\(./(\w+)\.ipynb\)", thumbnail, text)
    if REPOSITORY:  # who reads the site need not have it
        name = REPOSITORY.rpartition("/")[2]
        text = text.replace(
            "```\nmake lab", f"```\ngit clone {REPOSITORY} && cd {name}\nmake lab", 1
        )
    text = re.sub(r"(?<=\.ipynb#)[^)]+", lambda match: slug(match[0]), text)
    text = re.sub(r"(?<=\]\()(?!\w+:|\./|#)([^)]+)", lambda match: address(match[1]), text)
    lessons, exercises = pages(language)
    contents = [lessons[part] for part in LESSONS]
    contents += [exercises, ["results", "architectures", "benchmarks"], ["instructors"]]
    if language == "zh":
        contents[-1] = [*contents[-1], "GLOSSARY"]
    for caption, names in zip(PARTS[language], contents, strict=True):
        entries = "\n".join(names)
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"
    (SOURCE / language / "index.md").write_text(text, encoding="utf-8")


def line(cells):
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def summary(path):
    """The rows of an experiment: its settings, then each measure in the last epoch over all seeds, the
    accuracies first.
    """
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    settings = columns[: columns.index("seed")]
    measures = sorted(
        columns[columns.index("epoch") + 1 :], key=lambda name: "accuracy" not in name
    )
    last = max(int(row["epoch"]) for row in rows)
    groups = {}
    for row in rows:
        if int(row["epoch"]) == last:
            groups.setdefault(tuple(row[name] for name in settings), []).append(row)
    assert {len(group) for group in groups.values()} == {5}, f"{path}: five seeds each"
    yield [*settings, *measures]
    for key, group in groups.items():
        cells = []
        for name in measures:
            values = [float(row[name]) for row in group if row[name] not in {"", "nan"}]
            mean = f"{statistics.fmean(values):.3f}" if values else "–"
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            missing = f" ({len(values)}/{len(group)})" if 0 < len(values) < len(group) else ""
            cells.append(mean + spread + missing)
        yield [*key, *cells]


def descriptions(language):
    """What each experiment compares."""
    if language == "zh":
        return chinese_texts("results.csv")
    text = (ROOT / "data" / "results" / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[`(\w+)`\]\(\w+\.csv\) \| ([^|]+) \|", text, re.M))


def results(language):
    title, text = RESULTS[language]
    folder = ROOT / "data" / "results"
    lines = [title, "", text, ""]
    described = descriptions(language)
    for path in sorted(folder.glob("*.csv")):
        if path.stem.endswith("_full"):
            continue
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        lines += [f"## {path.stem}", "", described[path.stem], ""]
        lines += [
            f"[{path.name}]({address(f'data/results/{path.name}')}), `{about['command']}`",
            "",
        ]
        head, *rows = summary(path)
        lines += [*map(line, [head, ["---"] * len(head), *rows]), ""]
    (SOURCE / language / "results.md").write_text("\n".join(lines), encoding="utf-8")


def architectures(language):
    """The page's text with the head of its table, and the rows of data/architectures.csv."""
    path = SOURCE / language / "architectures.md"
    with (ROOT / "data" / "architectures.csv").open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    lines = [line([name, *others, f"`{call}`"]) for name, call, *others in rows]
    text = path.read_text(encoding="utf-8").replace("{rows}", "\n".join(lines))
    path.write_text(text, encoding="utf-8")


def benchmarks(language):
    """The recorded measurements; in Chinese, with an introduction that tells how to read them."""
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    path = SOURCE / language / "benchmarks.md"
    if path.exists():
        tables = text[text.index("\n## ") :]
        text = path.read_text(encoding="utf-8").replace("{tables}", tables)
    path.write_text(text, encoding="utf-8")


def copy_code(language):
    """Without a repository to link to, the site serves the files that its pages link to."""
    patterns = [
        "d2lutils/**/*.py",
        "data/results/*.csv",
        "data/**/*.md",
        "benchmarks/*.md",
        "*.cff",
    ]
    for path in (
        ROOT / "LICENSE",
        ROOT / "CONTRIBUTING.md",
        *(p for q in patterns for p in ROOT.glob(q)),
    ):
        target = SOURCE / language / "code" / f"{path.relative_to(ROOT)}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def write_sources():
    shutil.rmtree(SOURCE, ignore_errors=True)
    for language in NOTEBOOKS:
        copy_notebooks(language)
        front_page(language)
        results(language)
        architectures(language)
        benchmarks(language)
        if not REPOSITORY:
            copy_code(language)


def index():
    """The index of the search, of both languages, without formulas and outputs."""
    options = [
        *("--site", SITE, "--glob", "{en,zh}/**/*.html", "--keep-index-url", "--silent"),
        *(
            "--root-selector",
            "article",
            "--exclude-selectors",
            ".headerlink, .math, .cell_output, summary",
        ),
    ]
    subprocess.run([sys.executable, "-m", "pagefind", *options], check=True)


def build():
    """Build both languages at the same time; returns whether both succeeded, without a warning."""
    shutil.rmtree(SITE, ignore_errors=True)
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", ROOT / "site"]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sphinx",
                *options,
                *("-d", ROOT / "build" / "doctrees" / language, "-t", language),
                SOURCE / language,
                SITE / language,
            ]
        )
        for language in NOTEBOOKS
    ]
    SITE.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "site" / "root").glob("*.html"):
        text = path.read_text(encoding="utf-8").replace("{base}", urlsplit(URL).path)
        (SITE / path.name).write_text(text.replace("{url}", URL), encoding="utf-8")
    if not all([process.wait() == 0 for process in running]):
        return False
    for language, folder in NOTEBOOKS.items():
        target = SITE / language / "slides"
        target.mkdir()
        # For the slides and the front page.
        shutil.copytree(SOURCE / language / "figures", target.parent / "figures")
        for path in sorted(folder.glob("*.ipynb")):
            slides.write(path, target, {"en": "en", "zh": "zh-CN"}[language])
    index()
    # Where MyST-NB keeps pictures meanwhile.
    shutil.rmtree(SITE / "jupyter_execute", ignore_errors=True)
    return True


if __name__ == "__main__":
    write_sources()
    sys.exit(not build())
