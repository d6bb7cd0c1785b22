"""What each notebook keeps to, read from its file; nbval is what executes them."""

import ast
import re
from pathlib import Path
from urllib.parse import unquote

from d2lutils import checks

import nbconvert
import nbformat
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parent.parent
COURSE = sorted((ROOT / "notebooks").glob("*.ipynb"))
PRACTICE = [
    *sorted((ROOT / "notebooks/exercises").glob("*.ipynb")),
    *sorted((ROOT / "notebooks/solutions").glob("*.ipynb")),
]
NOTEBOOKS = COURSE + PRACTICE
ELSEWHERE = {"build", "site"}  # their links are those of the site
FOLDERS = [p for p in ROOT.iterdir() if p.is_dir() and p.name[0] != "." and p.name not in ELSEWHERE]
TEXTS = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in sorted(folder.rglob("*.md")))]

# What a notebook builds and d2lutils ships.
BUILT = {
    "00_start_here": set(),
    "00b_the_tools": {"lenet"},
    "01_batch_norm_from_scratch": {"batch_norm", "batch_norm_backward", "BatchNorm"},
    "02_batch_norm_with_gluon": set(),
    "03_resnet": {"Residual", "resnet18"},
    "04_densenet": {"DenseBlock", "densenet"},
    "05_why_it_works": {"Noise", "normalize_once"},
    "06_test_accuracy": {"renew_statistics"},
    "07_fast_on_a_cpu": {"seconds", "median_ratio", "milliseconds_by_operator"},
    "08_the_families": {"branch", "BlockV1", "BlockV2", "ZeroPadding", "residual_net", "dense_net"},
    "09_beyond_batches": {"normalize", "start_at_zero", "clip_adaptively"},
    "10_from_training_to_use": {"to_graph", "to_net", "fold_batch_norm"},
    "11_scaling_out": set(),
}
SECTIONS = ["You will be able to", "You need", "What you can do now", "Sources"]


def named(paths):
    return {"argvalues": paths, "ids": [str(path.relative_to(ROOT)) for path in paths]}


each_notebook = pytest.mark.parametrize("path", **named(NOTEBOOKS))
each_of_the_course = pytest.mark.parametrize("path", **named(COURSE))
each_with_text = pytest.mark.parametrize("path", **named(NOTEBOOKS + TEXTS))


def cells(path, kind=None):
    """The cells of a kind, or all of them."""
    found = nbformat.read(path, as_version=4).cells
    return [cell for cell in found if kind in (None, cell.cell_type)]


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell.outputs]


def strings(value):
    """Every text in an output, wherever it lies; images that are not text are left out."""
    if isinstance(value, str):
        return [re.sub(r"\x1b\[[\d;]*m", "", value)]  # without the colours of a traceback
    if isinstance(value, dict):
        value = [v for k, v in value.items() if not k.startswith("image/") or k.endswith("svg+xml")]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


def prose(path):
    """The Markdown of a file without its code, where what looks like a link or a title is none."""
    if path.suffix == ".ipynb":
        text = "\n\n".join(cell.source for cell in cells(path, "markdown"))
    else:
        text = path.read_text()
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[][<]", "", code[0]), text)


def headings(path, level="#+"):
    return re.findall(rf"^{level} +(.+?) *#*$", prose(path), re.MULTILINE)


# --- executed ---


def test_no_notebook_is_missing():
    listed = "BUILT lists each notebook, with what it builds that d2lutils ships too"
    assert {path.stem for path in COURSE} == set(BUILT), listed


@each_notebook
def test_it_was_executed_once_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1)), (
        f"run make notebooks NB={path.relative_to(ROOT)}"
    )


@each_notebook
def test_no_cell_failed(path):
    failed = [
        cell.source
        for cell in cells(path, "code")
        if "raises-exception" not in cell.metadata.get("tags", [])
        and any(output.output_type == "error" for output in cell.outputs)
    ]
    assert failed == []


@each_notebook
def test_its_code_does_not_hang_on_its_folder(path):
    """The same code runs one folder deeper, in notebooks/zh."""
    assert [
        c.source for c in cells(path, "code") if re.search(r"""["']\.\.["'/]""", c.source)
    ] == []


@each_notebook
def test_nothing_went_to_stderr(path):
    assert [out.text for out in outputs(path) if out.get("name") == "stderr"] == []


@each_notebook
def test_no_widget_is_stored(path):
    assert "widgets" not in nbformat.read(path, as_version=4).metadata
    assert [kind for out in outputs(path) for kind in out.get("data", {}) if "widget" in kind] == []


@each_notebook
def test_what_hangs_on_the_machine_is_asserted_soon(path):
    code = cells(path, "code")
    for i, cell in enumerate(code):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            following = [ast.walk(ast.parse(after.source)) for after in code[i + 1 : i + 4]]
            asserted = any(isinstance(node, ast.Assert) for tree in following for node in tree)
            assert asserted, f"no assert follows:\n{cell.source}"


# --- built for a reader ---


@each_notebook
def test_it_has_one_title_and_it_comes_first(path):
    first, *_ = cells(path)
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert len(headings(path, "#")) == 1


@pytest.mark.parametrize("folder", ["", "exercises", "solutions"])
def test_a_notebook_leads_to_the_one_before_and_the_one_after(folder):
    paths = sorted((ROOT / "notebooks" / folder).glob("*.ipynb"))
    for before, after in zip(paths[:-1], paths[1:], strict=True):
        assert re.search(rf"Next: .*\]\({after.name}\)", cells(before)[0].source), before
        assert f"]({before.name})" in cells(after)[0].source, after


@each_of_the_course
def test_the_first_cell_tells_the_time_and_names_the_neighbours(path):
    first, *_ = cells(path)
    assert re.search(r"\bminutes?\b", first.source), "the first cell tells how long it takes"
    place = COURSE.index(path)
    neighbours = COURSE[max(place - 1, 0) : place] + COURSE[place + 1 : place + 2]
    missing = [near.name for near in neighbours if f"({near.name})" not in first.source]
    assert missing == [], "the first cell links to the notebook before and the one after"


@each_of_the_course
def test_its_sections_are_there_in_order(path):
    found = [title for title in headings(path, "##") if title in SECTIONS]
    assert found == SECTIONS, "a notebook has these sections, in this order"


@each_notebook
def test_no_cell_is_long_or_empty(path):
    lengths = {cell.source: len(cell.source.splitlines()) for cell in cells(path)}
    assert [source for source, length in lengths.items() if not 1 <= length <= 30] == []


@each_notebook
def test_an_assertion_says_what_was_expected(path):
    trees = [ast.parse(cell.source) for cell in cells(path, "code")]
    asserted = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert [ast.unparse(node) for node in asserted if node.msg is None] == []


@each_notebook
def test_a_sentence_stands_under_every_figure(path):
    everything = cells(path)
    for cell, after in zip(everything, [*everything[1:], None]):
        kinds = [kind for output in cell.get("outputs", []) for kind in output.get("data", {})]
        if any(kind.startswith("image/") for kind in kinds):
            told = (
                after and after.cell_type == "markdown" and after.source.startswith("*The figure")
            )
            assert told, f"the next cell must begin with *The figure: under\n{cell.source}"


# --- images and links ---

IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)[^)]*\)")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)[^)]*\)")


def html(path, tag, name):
    """The values of an attribute of all tags of a kind, None where it is not there."""
    found = [
        re.search(rf'\b{name}="([^"]*)"', t) for t in re.findall(rf"<{tag}\b[^>]*>", prose(path))
    ]
    return [value and value[1] for value in found]


@each_with_text
def test_every_image_says_what_it_shows(path):
    texts = [image["alt"] for image in IMAGE.finditer(prose(path))] + html(path, "img", "alt")
    assert all(text and text.strip() for text in texts), texts


@each_notebook
def test_a_page_made_of_it_has_no_image_without_a_text(path):
    page, _ = nbconvert.HTMLExporter().from_filename(path)
    images = BeautifulSoup(page, "html.parser").find_all("img")
    texts = [image["alt"].strip() for image in images]  # the exporter fills in what is missing
    cure = "end a cell that draws with show(...) of d2lutils.plotting"
    assert all(text and not text.startswith("No description") for text in texts), cure


@each_with_text
def test_links_and_images_lead_to_a_file(path):
    """Never to a folder, nor to a hidden file: JupyterLab opens neither."""
    targets = [link["target"] for link in LINK.finditer(prose(path))]
    targets += html(path, "img", "src") + html(path, "a", "href")
    assert [target for target in targets if not leads_to_a_file(path, target)] == []


def leads_to_a_file(path, target):
    if re.match(r"(https?|mailto):", target):
        return True
    place, _, anchor = unquote(target).partition("#")
    there = path.parent / place if place else path
    hidden = any(re.match(r"\.[^.]", part) for part in Path(place).parts)
    if Path(place).is_absolute() or not there.is_file() or hidden:
        return False
    return not anchor or anchor in anchors(there)


def anchors(path):
    """What JupyterLab and GitHub make of the headings of a file."""
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in headings(path)]
    jupyter = [title.replace(" ", "-") for title in plain]
    github = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain]
    return {*jupyter, *github}


# --- what its code does not do ---


@each_notebook
def test_nothing_is_installed_or_fetched(path):
    code = "\n".join(cell.source for cell in cells(path, "code"))
    tools = r"https?\b|urllib|requests|socket|download|load_data_\w+|pip|conda|apt|wget|curl|git"
    assert re.findall(rf"\b(?:{tools})\b|pretrained *= *True", code) == []


@each_notebook
def test_its_code_is_plain_python(path):
    for cell in cells(path, "code"):
        ast.parse(cell.source)  # a magic is a SyntaxError
        assert "get_ipython" not in cell.source


@each_notebook
def test_no_path_of_this_machine_is_in_it(path):
    texts = [cell.source for cell in cells(path)] + strings(outputs(path))
    root = re.escape(str(ROOT))
    places = rf"(?<![\w.~])/(?:home|root|tmp|Users|var/folders)\b|\b[A-Z]:\\Users|\bC:\\|{root}"
    assert [text for text in texts if re.search(places, text)] == []


@each_notebook
def test_d2lutils_is_imported_before_mxnet(path):
    imported = []
    for cell in cells(path, "code"):
        for node in sorted(ast.walk(ast.parse(cell.source)), key=lambda n: getattr(n, "lineno", 0)):
            if isinstance(node, ast.Import):
                imported += [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported.append(node.module.split(".")[0])
    touching = [name for name in imported if name in ("d2lutils", "d2l", "mxnet")]
    assert touching[:1] == ["d2lutils"]


# --- code taught is code shipped ---


def definitions(source):
    """The functions and classes at the top of a source by name, as text, docstrings aside."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner):
                    inner.body = inner.body[1:]
            found[node.name] = ast.unparse(node)
    return found


def shipped():
    """The public definitions of all modules of d2lutils: a name, and the sources under this name."""
    found = {}
    for path in [
        *sorted((ROOT / "d2lutils").glob("*.py")),
        ROOT / "d2lutils/experiments/runs.py",
    ]:
        for name, source in definitions(path.read_text()).items():
            if not name.startswith("_"):
                found.setdefault(name, []).append(source)
    return found


def taught(path):
    """Definition by definition, so that a second one of the same name is seen as well."""
    return [pair for cell in cells(path, "code") for pair in definitions(cell.source).items()]


@each_notebook
def test_code_taught_is_code_shipped(path):
    """In exercises, what has a check of its name is for the learner to write."""
    ours = shipped()
    written = vars(checks) if path.parent.name in ("exercises", "solutions") else ()
    for name, source in taught(path):
        if name in ours and name not in written:
            assert source in ours[name], f"{name} differs from the one in d2lutils"


@each_of_the_course
def test_what_a_notebook_builds_is_compared(path):
    compared = {name for name, _ in taught(path)} & set(shipped())
    assert BUILT.get(path.stem, set()) <= compared


def test_notebook_07_teaches_the_steps_that_are_measured():
    steps = dict(taught(ROOT / "notebooks/07_fast_on_a_cpu.ipynb"))
    measured = definitions((ROOT / "benchmarks/layers.py").read_text())
    for step in ("with_power", "on_rows", "sums_as_products", "outer_products"):
        without = measured[step].replace("    from mxnet import np\n", "")
        assert steps[step] == without, f"{step} differs between notebook 07 and layers.py"


def test_notebook_10_was_executed_where_onnx_is():
    texts = strings(outputs(ROOT / "notebooks/10_from_training_to_use.ipynb"))
    cure = "`make onnx` before you execute it, so that its output shows the export"
    assert any(text.startswith("onnx 1.") for text in texts), cure


def test_something_is_built():
    assert len(set.union(*BUILT.values()) & set(shipped())) >= 8
