"""What the site adds to MyST-NB: folds, links, the language switch, downloads, and the map of the site."""

import csv
import functools
import os
import re
import shutil
import struct
from html import escape
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
URL = os.environ["SITE_URL"].rstrip("/")
REPOSITORY = os.environ.get("SITE_REPOSITORY", "").rstrip("/")
WORDS = {
    "en": {
        "solution": "Solution",
        "contents": "All pages",
        "part": "Pages of this part",
        "notebook": "This notebook",
        "download": "Download",
        "blank": "Download the exercises",
        "solved": "Download the solutions",
        "edit": "Edit this page",
        "open": "Open in Jupyter:",
        "licence": "Text and pictures: CC BY 4.0. Code: MIT License.",
        "search": "Search the course",
        "found": "Pages found: {}",
        "nothing": "Nothing found. Try fewer words, or other ones.",
    },
    "zh": {
        "solution": "解答",
        "contents": "全部页面",
        "part": "这一部分的页面",
        "notebook": "本页笔记本",
        "download": "下载",
        "blank": "下载练习",
        "solved": "下载解答",
        "edit": "编辑本页",
        "open": "在 Jupyter 中打开：",
        "licence": "文字与图片：CC BY 4.0；代码：MIT 许可证。",
        "search": "搜索本课程",
        "found": "找到 {} 个页面",
        "nothing": "没有找到。请减少词语，或者换一种说法。",
    },
}
# Files of the repository that are pages of the site.
PAGES = {
    "README.md": "index",
    "README.zh.md": "index",
    "data/results/README.md": "results",
    "benchmarks/RESULTS.md": "benchmarks",
}


# --- a notebook as the site shows it ---


def read(text):
    """A notebook with folds, image texts and the site's links; the file itself stays as it is."""
    notebook = nbformat.reads(text, as_version=4)
    chinese = is_chinese(notebook)
    translate_pictures(notebook)
    fold_predicted(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
        else:
            describe(cell)
    notebook.cells = list(fold_solutions(notebook.cells, WORDS["zh" if chinese else "en"]))
    return notebook


def is_chinese(notebook):
    return any("english" in cell.metadata for cell in notebook.cells)


@functools.cache
def chinese_texts(name):
    """A table of two columns in site/zh: the Chinese texts by what they stand for."""
    with (ROOT / "site" / "zh" / name).open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return dict(rows)


def translate_pictures(notebook):
    """Give each picture of a Chinese notebook its Chinese text: outputs are the same in both."""
    if not is_chinese(notebook):
        return
    texts = chinese_texts("pictures.csv")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                text = output.data["text/plain"]
                if text not in texts:
                    raise ValueError(f"site/zh/pictures.csv has no Chinese for: {text}")
                output.data["text/plain"] = texts[text]


def fold_predicted(cells):
    """Fold what comes out of the code after a **Predict**, until the answer or the next heading.

    The text of a figure is put into an element of its own: the style sheet hides it while the figure
    is folded.
    """
    predicting = False
    for cell in cells:
        if cell.cell_type == "markdown":
            asked = re.search(r"\*\*(Predict|预测)\b", cell.source)
            ended = re.search(r"^(#|<details>)", cell.source, flags=re.MULTILINE)
            ended = ended or "solution" in cell.metadata.get("tags", [])
            predicting = bool(asked) or (predicting and not ended)
            if re.match(r"\*(The figure:|图：)", cell.source):
                text, _, after = cell.source.partition("\n\n")
                cell.source = f"::::{{container}} figure-text\n{text}\n::::\n\n{after}"
        elif cell.outputs:
            cell.outputs = merged(cell.outputs)
            if predicting:
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-output"]


def merged(outputs):
    """The pieces of text that follow one another, as one."""
    result = []
    for output in outputs:
        if result and output.get("name") == result[-1].get("name") == "stdout":
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def fold_solutions(cells, words):
    """Fold each run of cells tagged "solution" behind its question, and what comes out afterwards."""
    inside = solved = False
    for cell in cells:
        is_solution = "solution" in cell.metadata.get("tags", [])
        if is_solution and cell.source.startswith("> **"):  # "These are the worked solutions"
            continue
        if cell.source.startswith("#") and cell.cell_type == "markdown":  # the next question
            solved = False
        solved = solved or is_solution
        if solved and not is_solution and cell.get("outputs"):  # of the right answer
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-output"]
        if is_solution and not inside:
            yield html(f'<details class="solution"><summary>{words["solution"]}</summary>')
            cell.source = re.sub(r"^\*\*(Solution\.|解答)\*\*：?\s*", "", cell.source)
        if inside and not is_solution:
            yield html("</details>")
        inside = is_solution
        yield cell
    if inside:
        yield html("</details>")


def html(text):
    return nbformat.v4.new_markdown_cell(f"```{{raw}} html\n{text}\n```")


def describe(cell):
    """The text of a picture, which the notebook keeps beside it, becomes its alternative text."""
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    for output in pictures:
        output.data.pop("text/html", None)  # the same picture inside of the page
    texts = [output.data["text/plain"] for output in pictures]
    if texts:
        cell.metadata["mystnb"] = {"image": {"alt": " ".join(texts)}}


def linked(source):
    """The links of a notebook to what is elsewhere on the site, or in the repository."""
    named = r"((?:[Ee]xercise|练习) ?(\d+)\.(\d+)[a-d]?)"

    def exercise(found):
        return f"[{found[1]}](/exercises/{int(found[2]):02}_{found[3]}.ipynb)"

    source = re.sub(rf"\[{named}\]\([^)]+\)", exercise, source)
    source = re.sub(rf"(?<!\[){named}", exercise, source)
    outward = r"(?<=\]\()(?:\.\./)+((?:d2lutils|data|benchmarks|tests|tools)/[^)#]+|README[\w.]*)"
    return re.sub(outward, lambda match: address(match[1]), source)


def address(path):
    """Where the site links to for a file of the repository."""
    if path in PAGES:
        return f"/{PAGES[path]}.md"
    return f"{REPOSITORY}/blob/main/{path}" if REPOSITORY else f"/code/{path}.txt"


# --- the page around it ---


def language_of(app):
    return "zh" if app.config.language == "zh_CN" else "en"


def twin(app, page):
    """The same page in the other language, or its first page."""
    other = Path(app.srcdir).parent / ("en" if language_of(app) == "zh" else "zh")
    written = any((other / f"{page}{suffix}").exists() for suffix in (".ipynb", ".md"))
    return page if written or page == "search" else "index"


def files(app, page):
    """The notebooks of a page: label and place in the repository."""
    words = WORDS[language_of(app)]
    folder = "notebooks/zh" if language_of(app) == "zh" else "notebooks"
    if not (Path(app.srcdir) / f"{page}.ipynb").exists():
        return {}
    if page.startswith("exercises/"):
        lesson = re.sub(r"\D*(\d\d\w?)_.*", r"\1_*.ipynb", page)
        (blank,) = (ROOT / folder / "exercises").glob(lesson)
        return {
            words["blank"]: f"{folder}/exercises/{blank.name}",
            words["solved"]: f"{folder}/solutions/{blank.name}",
        }
    return {words["download"]: f"{folder}/{page}.ipynb"}


def around(app, page, template, context, doctree):
    """What the templates need; and pictures that load when they come into view."""
    notebooks = files(app, page)
    language = language_of(app)
    same = twin(app, page)
    context.update(
        words=WORDS[language],
        other="en" if language == "zh" else "zh",
        twin=f"{same}.html",
        notebook=next(iter(notebooks.values()), None),
        downloads=list(notebooks.items()),
        edit=f"{REPOSITORY}/edit/main/{list(notebooks.values())[-1]}"
        if REPOSITORY and notebooks
        else None,
        card=card(app, page),
        description=escape(first_sentence(doctree)),
        alternates=[("en", f"{URL}/en/{page}.html"), ("zh-CN", f"{URL}/zh/{page}.html")]
        if same == page
        else [],
    )
    if "body" in context:
        context["body"] = typeset(context["body"])
        paths = {name: Path(app.srcdir, path) for path, name in app.builder.images.items()}
        picture = r'<img (?=[^>]*src="[^"]*_images/([^"]+)")'
        context["body"] = re.sub(
            picture, lambda match: f"<img {attributes(paths[match[1]])}", context["body"]
        )
        if page in {"results", "architectures", "benchmarks"}:
            context["body"] = f'<div class="sortable">{context["body"]}</div>'
        if (
            page == "GLOSSARY"
        ):  # it has all words; in a search, the pages that explain them come first
            context["body"] = f'<div data-pagefind-weight="0.2">{context["body"]}</div>'


def typeset(body):
    """Keep a formula and its punctuation on one line; mark emphasis without Chinese characters, the
    time that an exercise takes, and paragraphs that are emphasized as a whole; give the headings the
    anchors, where the search looks for them; let folds be called what they show.
    """
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    anchor = r'<section( id="[^"]+")>\s*((?:<span id="[^"]+"></span>\s*)*)<h([1-4])>'
    body = re.sub(anchor, r"<section>\2<h\3\1>", body)
    formula = r'<span class="math notranslate nohighlight">\\\([^<]{,60}\\\)</span>'
    body = re.sub(
        rf"[(（]?{formula}[,.;:)，。；：、？！）]+|[(（]{formula}",
        r'<span class="together">\g<0></span>',
        body,
    )
    body = re.sub(r"<p><em>(?=[^<]*(分钟|小时)[^<]*</em>)", '<p><em class="time">', body)
    body = re.sub(r"<em>(?=[^<\u4e00-\u9fff]*</em>)", '<em class="latin">', body)
    return re.sub(r"<p>(?=<em[^>]*>(?:(?!</?em|</p>).)*</em></p>)", '<p class="aside">', body)


def size(path):
    """Width and height of a picture, PNG or SVG, in pixels."""
    if path.suffix == ".png":
        return struct.unpack(">II", path.read_bytes()[16:24])
    box = re.search(r'viewBox="([^"]+)"', path.read_text(encoding="utf-8"))[1].split()
    return round(float(box[2])), round(float(box[3]))


def attributes(path):
    """Of a picture: it loads when it comes into view, its place is kept until then, and a phone does
    not make small what is wide.
    """
    width, height = size(path)
    wide = "data-wide " if width > 750 else ""
    return f'loading="lazy" {wide}width="{width}" height="{height}" '


def card(app, page):
    """The address of the picture that stands for a page where somebody links to it."""
    found = re.match(r"(?:exercises/)?(\d\d\w?)_", page)
    pattern = f"{found[1] if found else '03'}_*.png"
    (picture,) = (ROOT / "notebooks" / "figures").glob(pattern)
    return f"{URL}/{language_of(app)}/_static/figures/{picture.name}"


def first_sentence(doctree):
    """The first text of a page; a line that is emphasized as a whole tells where the page belongs."""
    if doctree is None:
        return ""
    paragraphs = [
        node.astext().replace("\n", " ")
        for node in doctree.findall(lambda node: node.tagname == "paragraph")
        if [child.tagname for child in node.children] != ["emphasis"]
    ]
    return next((text[:200] for text in paragraphs if len(text) > 20), "")


def finish(app, error):
    """Beside the pages: the notebooks, the pictures for links, MathJax, a map of the site."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    pages = sorted(app.env.found_docs)
    for path in {path for page in pages for path in files(app, page).values()}:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, out / path)
    (out / "_static" / "figures").mkdir(exist_ok=True)
    for path in (ROOT / "notebooks" / "figures").glob("*.png"):
        shutil.copy(path, out / "_static" / "figures")
    lines = "\n".join(
        f"<url><loc>{app.config.html_baseurl}{page}.html</loc></url>" for page in pages
    )
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{lines}\n</urlset>\n'
    (out / "sitemap.xml").write_text(text, encoding="utf-8")
    copy_mathjax(out / "_static" / "mathjax")


def copy_mathjax(target):
    """MathJax and its fonts, from the package that carries them."""
    from importlib.util import find_spec

    source = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0])
    source = source / "static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    (target / "ui").mkdir(parents=True, exist_ok=True)
    for name in ("tex-chtml.js", "ui/lazy.js"):
        shutil.copy(source / name, target / name)
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)


def setup(app):
    app.connect("builder-inited", lambda app: setattr(app.builder, "search", False))  # Pagefind's
    app.connect("html-page-context", around)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
