"""Slides from the lessons: for each section one title, one idea, and its figure if it has one.

The idea is the caption of the figure, or else the first sentences of the section. Everything is
taken from the notebook, so the slides say what the course says.
"""

import base64
import html
import re
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt

HERE = Path(__file__).resolve().parent
LONGEST = 330  # characters of an idea
DRAWING = re.compile(r"!\[([^]]+)\]\((figures/\w+\.svg)\)")
FIGURE = re.compile(r"^\*(?:The figure: |图：)(.+?)\*$", re.DOTALL)


def sentences(text, longest=LONGEST):
    """The first sentences, as many as fit."""
    found = re.findall(r".+?(?:[.?!](?=\s|$)|[。？！]|$)\s*", text, re.DOTALL)
    result = ""
    for sentence in found:
        if result and len(result) + len(sentence) > longest:
            break
        result += sentence
    return result.strip()


def first_paragraph(text):
    """The first paragraph that is a statement, and the formula that it announces.

    Headings, lists, tables, folds, quotations and questions are left out.
    """
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    for block, after in zip(blocks, [*blocks[1:], ""]):
        if not re.match(r"#|[-*|>(!]|\d+\.|<|\$\$|```|\*\*(?:Predict|预测)", block):
            idea = sentences(block)
            announced = idea == block and re.search("[:：]$", idea) and after.startswith("$$")
            return f"{idea}\n\n{after}" if announced else idea
    return ""


def picture(cell):
    """The last picture of a cell and its alternative text."""
    for output in reversed(cell.get("outputs", [])):
        data = output.get("data", {})
        if "image/png" in data:
            return data["image/png"], data.get("text/plain", "")
    return None


def slides(notebook):
    """(title, idea, picture) of each slide of a lesson."""
    first, *cells = notebook.cells
    title, *rest = first.source.split("\n\n")
    yield title.lstrip("# "), rest[0], None
    heading, idea, waiting, shown = None, "", None, True
    for cell in cells:
        if cell.cell_type == "code":
            waiting = picture(cell) or waiting
            continue
        caption = FIGURE.match(cell.source.split("\n\n")[0].strip())
        if caption and waiting and heading:
            yield heading, sentences(caption[1][0].upper() + caption[1][1:]), waiting
            waiting, shown = None, True
        for part in re.split(r"^(?=##+ )", cell.source, flags=re.MULTILINE):
            found = re.match(r"##+ (\d[\d.]*[a-z]? .+)", part)
            if found:
                if heading and not shown and idea:
                    yield heading, idea, None
                heading, idea, shown, waiting = found[1], first_paragraph(part), False, None
                drawn = DRAWING.search(part)
                if drawn:
                    yield heading, idea, (f"../{drawn[2]}", drawn[1])
                    shown = True
            elif re.match(r"##+ ", part):
                if heading and not shown and idea:
                    yield heading, idea, None
                heading, shown = None, True


PAGE = """<!doctype html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/slides.css">
<script>MathJax = {{ tex: {{ inlineMath: [["$", "$"]] }}, options: {{ enableMenu: false }} }}</script>
<script defer src="../_static/mathjax/tex-chtml.js"></script>
<script defer src="../_static/slides.js"></script>
<main>
{slides}
</main>
</html>
"""
SLIDE = """<section tabindex="-1">
<{level}>{title}</{level}>
<div class="idea">{idea}</div>
{picture}<p class="number"><a href="../{page}.html">{number}</a></p>
</section>"""


def write(path, target, lang):
    """Write the slides of a lesson."""
    markdown = MarkdownIt("commonmark", {"html": False})
    # Formulas pass through Markdown as they are.
    markdown.inline.ruler.before("escape", "formula", formula)
    found = list(slides(nbformat.read(path, as_version=4)))
    parts = []
    for i, (title, idea, figure) in enumerate(found):
        image = ""
        if figure:
            name, alt = figure
            if not name.endswith(".svg"):
                png, name = base64.b64decode(name), f"{path.stem}-{i}.png"
                (target / name).write_bytes(png)
            image = f'<img loading="lazy" src="{name}" alt="{html.escape(alt)}">\n'
        parts.append(
            SLIDE.format(
                level="h2" if i else "h1",
                title=markdown.renderInline(title),
                idea=markdown.render(re.sub(r"(?<=\]\()(\w+)\.ipynb", r"../\1.html", idea)),
                picture=image,
                page=path.stem,
                number=f"{i + 1} / {len(found)}",
            )
        )
    text = PAGE.format(lang=lang, title=html.escape(found[0][0]), slides="\n".join(parts))
    (target / f"{path.stem}.html").write_text(text, encoding="utf-8")


def formula(state, silent):
    """`$...$` in Markdown."""
    found = re.compile(r"\$[^$\n]+\$").match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        state.push("text", "", 0).content = found[0]
    state.pos = found.end()
    return True
