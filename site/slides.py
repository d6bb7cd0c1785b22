"""Slides from the lessons: for each section one title, one idea, and one thing to look at.

The idea is the caption of a figure, or else the first sentences of the section. With it comes a
figure, or the formula, list or table that it announces, or what the section prints. Everything is
taken from the notebook, so the slides say what the course says.
"""

import base64
import html
import re
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

README = Path(__file__).resolve().parent.parent / "README.md"
LONGEST = 240  # the width of an idea in letters; a Chinese character is as wide as two
ROWS = 7  # of a table or a list
WIDE = 1.6  # pictures at least this wide for their height stand below the text, others beside it
# The sections without a number that get a slide: what one will learn, and what one has learned.
FRAME = "You will be able to|What you can do now|学完本课，你将能够|现在你能做到"
SECTION = re.compile(rf"\d|(?:{FRAME})$")
DRAWING = re.compile(r"!\[([^]]+)\]\((figures/\w+\.svg)\)")
CAPTION = re.compile(r"\*(?:The figure: |图：)(.+)\*$", re.DOTALL)
NO_IDEA = re.compile(r"!\[|\*(?:The figure|图|Symptom|症状)")
GUESS = re.compile(r"\*\*(?:Predict|预测)")
FOLD = re.compile(r"<details>.*?</details>", re.DOTALL)
SENTENCE = re.compile(r".+?(?:(?<!et al)[.?!][)*”]*(?=\s|$)|[。？！][）”]*|$)\s*", re.DOTALL)
ENDED = re.compile(r"[.?!。？！][)）”*]*$")
KINDS = {
    "paragraph_open": "text",
    "heading_open": "heading",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "math_block": "formula",
    "fence": "code",
}


class Slide(NamedTuple):
    above: str
    title: str
    idea: str
    kind: str = "text"
    shown: Any = ""  # Markdown, printed text, or a picture and its alternative text


def tex(source, options):
    """A formula as MathJax expects it; Markdown leaves it alone."""
    sign = "$$" if options["display_mode"] else "$"
    return sign + html.escape(source) + sign


MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
MARKDOWN.use(dollarmath_plugin, renderer=tex)


# --- reading ---


def blocks(cell):
    """The kind and the content of each paragraph, list, table, ... or of each result of a cell."""
    if cell.cell_type == "code":
        yield from results(cell.outputs)
        return
    text = FOLD.sub("", cell.source)
    lines = text.splitlines()
    for token in MARKDOWN.parse(text):
        if token.level == 0 and token.type in KINDS:
            yield KINDS[token.type], "\n".join(lines[slice(*token.map)]).strip()


def results(outputs):
    printed = ""
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield "picture", (data["image/png"], data.get("text/plain", ""))
        else:
            printed += output.get("text") or data.get("text/plain", "") + "\n"
    yield "output", printed.strip("\n")


def sections(cells):
    """The line above the title, the title and the blocks of each section that gets a slide."""
    chapter, found = None, []
    for kind, content in (block for cell in cells for block in blocks(cell)):
        if kind == "heading":
            level, title = content.split(" ", 1)
            if level == "##":
                chapter = SECTION.match(title) and title
            if chapter:
                found.append(("" if level == "##" else chapter, title, []))
        elif chapter:
            found[-1][2].append((kind, content))
    return found


def width(text):
    """How many letters wide a text is, without what is not seen."""
    text = re.sub(r"\]\([^)]*\)|\\[a-zA-Z]+|[*`$[]", "", text)
    return sum(2 if letter > "\u2e80" else 1 for letter in text)


def sentences(text):
    """The sentences of a text; brackets and emphasis stay whole."""
    part = ""
    for piece in SENTENCE.findall(text):
        part += piece
        pairs = [part.count("(") - part.count(")"), part.count("（") - part.count("）")]
        if not any(pairs) and part.count("**") % 2 == 0:
            yield part
            part = ""
    if part:
        yield part


def beginning(text, before=""):
    """As many sentences as fit, up to one that asks for a guess or announces something."""
    kept = []
    for sentence in sentences(text):
        longer = before + "".join(kept) + sentence
        if GUESS.search(sentence) or (before or kept) and width(longer) > LONGEST:
            break
        kept.append(sentence)
    if kept and not ENDED.search(kept[-1].strip()):
        kept.pop()
    return "".join(kept).strip()


def fits(kind, content):
    """Whether a slide has room for it."""
    lines = content.splitlines()
    if kind == "list":
        return len(re.findall(r"^(?:[-*]|\d+\.) ", content, re.MULTILINE)) <= ROWS
    if kind == "table":
        return len(lines) - 2 <= ROWS
    if kind == "output":
        says = re.match(r"\W*[A-Za-z]{2}", content)
        return says and 2 <= len(lines) <= 12 and max(map(width, lines)) <= 90
    return kind == "formula" or kind == "code" and len(lines) <= 12


def statement(parts):
    """The first idea of a section, and the kind and the content of what belongs to it."""
    idea, kind, shown = "", "text", ""
    for (part, content), (after, following) in pairwise([*parts, ("", "")]):
        if part in {"list", "table"} and not idea and fits(part, content):
            return "", part, content
        if part != "text" or NO_IDEA.match(content):
            continue
        if not idea and after in {"formula", "list", "table", "code"} and fits(after, following):
            if after == "formula" or not ENDED.search(content):
                return content, after, following
            kind, shown = after, following
        idea = f"{idea}\n\n{beginning(content, idea)}".strip()
        if kind != "text" or width(idea) > LONGEST / 2:
            break
    return idea, kind, shown


# --- slides ---


def slides_of(above, title, parts):
    """The slides of a section: one for each figure, or else one."""
    idea, kind, shown = statement(parts)
    drawn, found = None, []
    for part, content in parts:
        if part == "picture":
            drawn = content
        elif part == "text" and (drawing := DRAWING.match(content)):
            found.append(Slide(above, title, idea, "picture", (drawing[2], drawing[1])))
        elif part == "text" and drawn and (caption := CAPTION.match(content)):
            text = caption[1][0].upper() + caption[1][1:]
            found.append(Slide(above, title, text, "picture", drawn))
            drawn = None
    if found:
        return found
    if kind == "text":
        tables = [part for part in parts if part[0] == "table" and fits(*part)]
        outputs = [part for part in parts if part[0] == "output" and fits(*part)]
        kind, shown = [*tables[:1], *outputs[-1:], ("text", "")][0]
    return [Slide(above, title, idea, kind, shown)] if idea or shown else []


def slides(notebook):
    """The slides of a lesson, the title first."""
    first, *cells = notebook.cells
    title, promise, *_ = first.source.split("\n\n")
    found = [slide for section in sections(cells) for slide in slides_of(*section)]
    total, seen = Counter(slide[:2] for slide in found), Counter()
    yield Slide("", title.removeprefix("# "), promise)
    for slide in found:
        seen[slide[:2]] += 1
        of = f" ({seen[slide[:2]]}/{total[slide[:2]]})" if total[slide[:2]] > 1 else ""
        yield slide._replace(above=slide.above or title[2:], title=slide.title + of)


# --- writing ---

PAGE = """<!doctype html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="../_static/favicon.svg">
<link rel="stylesheet" href="../_static/slides.css">
<script>MathJax = {{ tex: {{ inlineMath: [["$", "$"]] }}, options: {{ enableMenu: false }},
  chtml: {{ matchFontHeight: false }} }}</script>
<script defer src="../_static/mathjax/tex-chtml.js"></script>
<script defer src="../_static/slides.js"></script>
<main>
{slides}
</main>
</html>
"""
SLIDE = """<section class="{kind}" tabindex="-1">
<p class="above">{above}</p>
<{level}>{title}</{level}>
<div class="body">
<div class="idea">{idea}</div>
{shown}
</div>
<p class="number"><a href="../{page}.html">{number}</a></p>
</section>"""


def write(path, target, lang):
    """Write the slides of a lesson."""
    found = list(slides(nbformat.read(path, as_version=4)))
    lesson = found[0].title
    number = path.stem.partition("_")[0]
    found[0] = found[0]._replace(
        above=f"{course(lang)} · {number}", title=lesson.removeprefix(f"{number} ")
    )
    parts = []
    for i, slide in enumerate(found):
        kind, shown = slide.kind, show(slide, path.parent, target / f"{path.stem}-{i}.png")
        if 'class="beside"' in shown:
            kind += " beside"
        if width(slide.idea) > 1.25 * LONGEST:
            kind += " long"
        if crowded(slide):
            kind += " crowded"
        parts.append(
            SLIDE.format(
                kind=kind,
                above=MARKDOWN.renderInline(slide.above),
                level="h2" if i else "h1",
                title=MARKDOWN.renderInline(slide.title),
                idea=render(slide.idea),
                shown=shown,
                page=path.stem,
                number=f"{i + 1} / {len(found)}",
            )
        )
    text = PAGE.format(lang=lang, title=html.escape(lesson), slides="\n".join(parts))
    (target / f"{path.stem}.html").write_text(text, encoding="utf-8")


def course(lang):
    """The name of the course, the first title of the README."""
    readme = README.with_suffix(".md" if lang == "en" else ".zh.md")
    return re.search("^# (.+)", readme.read_text(encoding="utf-8"), re.MULTILINE)[1]


def render(text):
    """HTML of Markdown whose links lead to pages of the site."""
    return MARKDOWN.render(re.sub(r"\[([^]]+)\]\(([^)]+)\)", link, text))


def link(found):
    """A link to a notebook leads to its page; what has no page loses its link."""
    if found[2].startswith("http"):
        return found[0]
    page = re.match(r"(?:exercises/)?\w+(?=\.ipynb)", found[2])
    return f"[{found[1]}](../{page[0]}.html)" if page else found[1]


def crowded(slide):
    """Whether what is shown needs small letters."""
    if slide.kind in {"output", "code"}:
        lines = slide.shown.splitlines()
        return len(lines) > 7 or max(map(width, lines)) > 70
    return slide.kind != "picture" and width(slide.shown) > 600


def show(slide, folder, file):
    """HTML of what a slide shows beside its idea; a picture from code goes into the file."""
    if slide.kind == "output":
        return f"<pre>{html.escape(slide.shown)}</pre>"
    if slide.kind != "picture":
        return render(slide.shown)
    name, alt = slide.shown
    if name.endswith(".svg"):
        box = re.search(r'viewBox="0 0 (\d+) (\d+)"', (folder / name).read_text(encoding="utf-8"))
        size, name = box.groups(), f"../{name}"
    else:
        file.write_bytes(base64.b64decode(name))
        size, name = struct.unpack(">II", file.read_bytes()[16:24]), file.name
    wide, high = map(int, size)
    place = "below" if wide >= WIDE * high else "beside"
    return f'<img class="{place}" loading="lazy" src="{name}" alt="{html.escape(alt)}">'
