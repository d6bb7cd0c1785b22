"""The Chinese notebooks: complete, up to date, and saying what the English ones say."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import zh

ROOT = Path(__file__).parent.parent
PLACES = [
    path.relative_to(zh.NOTEBOOKS)
    for folder in zh.FOLDERS
    for path in sorted((zh.NOTEBOOKS / folder).glob("*.ipynb"))
]
HAN = r"[\u4e00-\u9fff]"
each_notebook = pytest.mark.parametrize("place", PLACES, ids=str)


def english(place):
    return nbformat.read(zh.NOTEBOOKS / place, as_version=4)


def chinese(place):
    return nbformat.read(zh.NOTEBOOKS / "zh" / place, as_version=4)


def pairs(place):
    """The Markdown cells of a notebook, English and Chinese."""
    both = zip(english(place).cells, chinese(place).cells, strict=True)
    return [pair for pair in both if pair[0].cell_type == "markdown"]


def table(name):
    """The two columns of a table that the site reads."""
    with (ROOT / "site/zh" / name).open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return dict(rows)


def test_the_chinese_texts_name_each_notebook_and_each_experiment():
    readme = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    lessons = [place.name for place in PLACES if len(place.parts) == 1]
    assert [name for name in lessons if f"](notebooks/zh/{name})" not in readme] == []
    recorded = {path.stem for path in (ROOT / "data/results").glob("*.csv")}
    assert table("results.csv").keys() == {name for name in recorded if not name.endswith("_full")}


# --- what a cell holds ---

FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
TAG = re.compile(r"<[^<>]+>")


def parted(text):
    """The cell's fences, code spans, formulas and links, and the prose that is left."""
    found = {}
    for name, pattern in [
        ("fence", FENCE),
        ("code", CODE),
        ("formula", FORMULA),
        ("link", zh.LINK),
    ]:
        found[name] = Counter(pattern.findall(text))
        text = pattern.sub(" ", text)
    found["tag"] = Counter(TAG.findall(text))
    return found, TAG.sub(" ", text)


def numbers(prose):
    """The numbers of a text by value: 1.28 million is 128 万."""
    scales = {"million": 1e6, "billion": 1e9, "万": 1e4, "亿": 1e8}
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?)(?: ?-?(million|billion|万|亿))?", prose)
    return Counter(round(float(n.replace(",", "")) * scales.get(s, 1), 6) for n, s in found)


def structure(text):
    """What must be as often in the translation: headings, rows of tables, answers, predictions."""
    return {
        "headings": re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE),
        "numbered headings": re.findall(r"^#+ (\d[\d.]*) ", text, re.MULTILINE),
        "rows": len(re.findall(r"^\|", text, re.MULTILINE)),
        "images": len(re.findall(r"!\[[^]]+\]\(", text)),
        "bold": len(re.findall(r"\*\*", FENCE.sub("", text))),
        "quotes": len(re.findall(r"^>", text, re.MULTILINE)) > 0,
        "items": len(re.findall(r"^ *(?:-|\d+\.) ", text, re.MULTILINE)),
        "predictions": len(re.findall(r"\*\*(?:Predict|预测(?!模式))", text)),
    }


def differences(cell, translation, place):
    """What a translation has that the English cell lacks, or the other way round."""
    (parts, prose), (twins, text) = parted(cell), parted(translation)
    parts["link"] = Counter(zh.twin(link, place) for link in parts["link"].elements())
    parts["number"], twins["number"] = numbers(prose), numbers(text)
    for name in parts:
        missing, surplus = parts[name] - twins[name], twins[name] - parts[name]
        if name == "number":  # "0.8 against 7.0 million"
            shared = [n for n in missing.elements() for scale in (1e6, 1e9) if n * scale in surplus]
            surplus -= Counter(n * scale for n in shared for scale in (1e6, 1e9))
            missing -= Counter(shared)
        if missing or surplus:
            yield f"{name}: missing {sorted(missing)}, surplus {sorted(surplus)}"
    expected, found = structure(cell), structure(translation)
    for name in expected:
        if expected[name] != found[name]:
            yield f"{name}: {expected[name]} in English, {found[name]} in Chinese"


def typography(text):
    """Marks that a Chinese reader stumbles over, or that Markdown does not understand."""
    bare = FORMULA.sub("$", CODE.sub("`", FENCE.sub("", zh.LINK.sub("", text))))
    patterns = {
        "an English mark after a Chinese character": HAN + r"[,;?!]|" + HAN + r":(?=\s|$)",
        "no space between Chinese and Latin letters or digits": (
            HAN + r"[A-Za-z0-9]|[A-Za-z0-9]" + HAN
        ),
        "emphasis by underscores": rf"_{HAN}[^_\n]*_",
    }
    for what, pattern in patterns.items():
        found = re.search(pattern, bare)
        if found:
            around = bare[max(found.start() - 10, 0) : found.end() + 10]
            yield f"{what}: {around!r}"
    for bold in re.finditer(r"\*\*(.+?)\*\*", bare):
        before, after = bare[: bold.start()][-1:], bare[bold.end() :][:1]
        inside_ends = re.match(r"\W", bold[1][-1]) and re.match(r"\w", after)
        if inside_ends or (re.match(r"\W", bold[1][0]) and re.match(r"\w", before)):
            yield f"bold that Markdown does not understand: {bold[0]!r}"


def told(place, problems):
    """One line a problem, with the id of its cell."""
    lines = [f"{cell.id}: {problem}" for cell, problem in problems]
    return f"notebooks/zh/{place}\n" + "\n".join(lines)


# --- complete, and the same ---


def test_each_english_notebook_has_its_twin_and_no_other_exists():
    found = {
        path.relative_to(zh.NOTEBOOKS / "zh") for path in zh.NOTEBOOKS.glob("zh/**/[!.]*.ipynb")
    }
    found = {place for place in found if ".ipynb_checkpoints" not in place.parts}
    assert found == set(PLACES), "run make zh"


@each_notebook
def test_code_and_outputs_are_those_of_the_english_notebook(place):
    first, second = english(place), chinese(place)
    assert [cell.id for cell in second.cells] == [cell.id for cell in first.cells], "run make zh"
    assert second.metadata == first.metadata, "run make zh"
    for cell, twin in zip(first.cells, second.cells, strict=True):
        if cell.cell_type == "code":
            assert twin == cell, "run make zh"


@each_notebook
def test_no_translation_is_missing_or_stale(place):
    stale = [
        (twin, cell.source.splitlines()[0])
        for cell, twin in pairs(place)
        if "stale" in twin.metadata.get("tags", [])
        or twin.metadata.get("english") != zh.checksum(cell.source)
        or not re.search(HAN, parted(twin.source)[1])
    ]
    todo = "\nrun make zh; then translate these cells and remove their tag `stale`"
    assert stale == [], told(place, stale) + todo


@each_notebook
def test_a_translation_keeps_formulas_links_numbers_and_code(place):
    problems = [
        (twin, problem)
        for cell, twin in pairs(place)
        for problem in differences(cell.source, twin.source, place)
    ]
    assert problems == [], told(place, problems)


@each_notebook
def test_a_translation_is_set_as_chinese_is_set(place):
    problems = [(twin, problem) for _, twin in pairs(place) for problem in typography(twin.source)]
    assert problems == [], told(place, problems)


# --- the glossary ---


def glossary():
    """(pattern of the English term, its Chinese forms, forms that are not used) of each row."""
    text = (zh.NOTEBOOKS / "zh" / "GLOSSARY.md").read_text(encoding="utf-8")
    table = text.split("\n## ")[1]
    for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", table, re.MULTILINE):
        first, second, third = (part.strip() for part in row)
        if first in {"English", "---"}:
            continue
        terms = "|".join(re.escape(term) for term in first.split(", "))
        yield re.compile(rf"\b(?:{terms})\b", re.IGNORECASE), second.split("、"), third.split("、")


GLOSSARY = list(glossary())


def misnamed(cell, translation):
    """The terms of a cell whose Chinese form is not in its translation, and the wrong forms."""
    cell = cell.split("## Sources")[0]  # titles of papers stay English
    prose, text = parted(cell)[1], parted(translation)[1]
    for term, forms, wrong in GLOSSARY:
        found = term.search(prose)
        if found and not any(form in text for form in forms):
            yield f"{found[0]} is {' or '.join(forms)}"
        for form in filter(None, wrong):
            if form in text:
                yield f"not {form} but {' or '.join(forms)}"


@each_notebook
def test_the_terms_are_those_of_the_glossary(place):
    problems = [
        (twin, problem)
        for cell, twin in pairs(place)
        for problem in misnamed(cell.source, twin.source)
    ]
    assert problems == [], told(place, problems)


def test_each_picture_of_the_notebooks_has_a_chinese_text_that_says_the_same():
    texts = table("pictures.csv")
    outputs = (
        o for place in PLACES for cell in english(place).cells for o in cell.get("outputs", [])
    )
    data = [output.get("data", {}) for output in outputs]
    assert texts.keys() == {found["text/plain"] for found in data if "image/png" in found}
    place = Path("pictures.csv")
    for text, twin in texts.items():
        problems = [*differences(text, twin, place), *typography(twin), *misnamed(text, twin)]
        assert problems == [], f"{text} {twin}"


def test_the_glossary_has_the_terms_of_the_chinese_book():
    forms = {form for _, forms, _ in GLOSSARY for form in forms}
    expected = {
        "批量归一化",
        "稠密连接",
        "过渡层",
        "残差块",
        "移动平均",
        "学习率",
        "梯度",
        "一次循环",
    }
    assert expected <= forms


def test_the_glossary_explains_words_that_the_checks_say():
    text = (zh.NOTEBOOKS / "zh" / "GLOSSARY.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| `([^`]+)` \|", text.split("\n## ")[2], re.MULTILINE)
    said = "".join(path.read_text() for path in (ROOT / "d2lutils/checks").glob("*.py"))
    assert len(words) > 10 and [word for word in words if word not in said] == []


# --- these tests can fail ---

CELL = "## 2. Steps\n\n**Predict.** With `lr=0.1` and $n = 3$, is 1.28 million [here](02_batch_norm_with_gluon.ipynb)?"
GOOD = "## 2. 步\n\n**预测**：取 `lr=0.1`、$n = 3$，128 万 [在这里](02_batch_norm_with_gluon.ipynb)吗？"


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("lr=0.1", "lr=0.2", "code"),
        ("n = 3", "n = 4", "formula"),
        ("128 万", "12.8 万", "number"),
        ("02_batch", "../02_batch", "link"),
        ("**预测**", "**猜猜**", "predictions"),
        ("**预测**", "预测", "bold"),
        ("## 2. ", "### 2. ", "headings"),
        ("## 2. ", "## ", "number"),
    ],
)
def test_a_change_is_found(old, new, word):
    place = Path("01_batch_norm_from_scratch.ipynb")
    assert list(differences(CELL, GOOD, place)) == []
    assert any(word in found for found in differences(CELL, GOOD.replace(old, new), place))


@pytest.mark.parametrize("text", ["好,的", "共3 个", "**预测。**再看", "这是_重点_ 。"])
def test_a_mark_out_of_place_is_found(text):
    assert list(typography(GOOD)) == []
    assert list(typography(text))


def test_a_wrong_term_is_found():
    assert list(misnamed("Batch normalization helps.", "批标准化有帮助。"))
    assert list(misnamed("The learning rate.", "速率。"))
    assert not list(misnamed("The learning rate.", "学习率。"))


# --- make zh ---


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one notebook with a translated cell, a code cell, and a link to the README."""
    monkeypatch.setattr(zh, "ROOT", tmp_path)
    monkeypatch.setattr(zh, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(zh, "is_unsaved", lambda path: False)
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# One\n\nSee [the README](../README.md).", id="a"),
            nbformat.v4.new_code_cell("1 + 1", id="b"),
        ]
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01.ipynb")
    return Path("01.ipynb")


def edit(place, i, source, folder="zh/"):
    path = zh.NOTEBOOKS / folder / place
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[i].source = source
    notebook.cells[i].metadata.pop("tags", None)
    nbformat.write(notebook, path)


def tags(place):
    return [cell.metadata.get("tags", []) for cell in chinese(place).cells]


def test_an_untranslated_cell_is_stale_until_its_tag_is_removed(course):
    assert zh.write(course)
    assert tags(course) == [["stale"], []]
    edit(course, 0, "# 一\n\n见[说明](../README.md)。")
    assert zh.write(course)
    assert tags(course) == [[], []]
    assert chinese(course).cells[0].source == "# 一\n\n见[说明](../../README.zh.md)。"
    before = (zh.NOTEBOOKS / "zh" / course).read_bytes()
    assert zh.write(course) and (zh.NOTEBOOKS / "zh" / course).read_bytes() == before


def test_a_cell_whose_english_changes_is_stale_and_keeps_its_text(course):
    zh.write(course)
    edit(course, 0, "# 一")
    edit(course, 0, "# One, again", folder="")
    edit(course, 1, "2 + 2", folder="")
    zh.write(course)
    assert tags(course) == [["stale"], []]
    assert [cell.source for cell in chinese(course).cells] == ["# 一", "2 + 2"]
    zh.write(course)
    assert tags(course) == [["stale"], []], "it stays stale until somebody removes the tag"


def test_a_translation_that_nobody_saved_is_not_lost(course, monkeypatch, capsys):
    zh.write(course)
    edit(course, 0, "# 一")
    notebook = chinese(course)
    notebook.cells.append(nbformat.v4.new_markdown_cell("又一段"))
    nbformat.write(notebook, zh.NOTEBOOKS / "zh" / course)
    monkeypatch.setattr(zh, "is_unsaved", lambda path: True)
    assert not zh.write(course)
    assert "又一段" in capsys.readouterr().err
    assert len(chinese(course).cells) == 3
    monkeypatch.setattr(zh, "is_unsaved", lambda path: False)
    assert zh.write(course) and len(chinese(course).cells) == 2


def test_code_that_changed_in_english_does_not_stop_an_unsaved_translation(course, monkeypatch):
    zh.write(course)
    for command in (
        ["init", "-q"],
        ["add", "notebooks"],
        ["-c", "user.name=a", "-c", "user.email=a", "commit", "-qm", "."],
    ):
        subprocess.run(["git", *command], cwd=zh.ROOT, check=True)
    edit(course, 0, "# 一")
    edit(course, 1, "2 + 2", folder="")
    monkeypatch.setattr(zh, "is_unsaved", lambda path: True)
    assert zh.write(course)
    assert [cell.source for cell in chinese(course).cells] == ["# 一", "2 + 2"]


def test_nothing_is_left_to_do():
    result = subprocess.run(
        [sys.executable, "tools/zh.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", ""), "run make zh"


# --- drawings ---


@pytest.mark.parametrize(
    "path", sorted((zh.NOTEBOOKS / "figures").glob("*.svg")), ids=lambda p: p.name
)
def test_a_drawing_has_a_twin_with_its_words_translated(path):
    words = json.loads((zh.NOTEBOOKS / "zh/figures/words.json").read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    twin = (zh.NOTEBOOKS / "zh/figures" / path.name).read_text(encoding="utf-8")
    assert twin == zh.drawing(text, words), "run make zh"
    left = [word for word in re.findall(r">([^<>]*)</text>", text) if re.search("[a-z]{2}", word)]
    assert [word for word in left if word not in words and word != "ReLU"] == []
