"""Slides from the lessons: for each section one title, one idea, and one thing to look at.

The idea is the caption of a figure, or else the first sentences of the section. With it comes the
figure, or the formula, list or table that it announces, or a table or what the section prints.
Everything is taken from the notebook, so the slides say what the course says.
"""

import base64
import html
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from course import size, translate_pictures
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

README = Path(__file__).resolve().parent.parent / "README.md"
ROOM, MOST = 240, 300  # the width of an idea in letters; a wider one is set small
WIDE = 1.6  # a picture at least this wide for its height stands below the text, others beside it
SECTION = re.compile(r"\d|You will be able to|What you can do now|学完本课，你将能够|现在你能做到")
DRAWING = re.compile(r"!\[([^]]+)\]\((figures/\w+\.svg)\)")
CAPTION = re.compile(r"\*(?:The figure: |图：)(.+)\*$", re.DOTALL)
GUESS = re.compile(r"\*\*(?:Predict|预测)")
NO_IDEA = re.compile(r"!\[|\*(?:The figure|图|Symptom|症状)|" + GUESS.pattern)
FOLD = re.compile(r"<details>.*?</details>", re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^]]+)\]\((?!http)([^)]+)\)")
SENTENCE = re.compile(r".+?(?:(?<!et al)[.?!][)*”]*(?=\s|$)|[。？！][）”]*|$)\s*", re.DOTALL)
ENDED = re.compile(r"[.?!。？！][)）”*]*$")
KINDS = dict(paragraph="text", bullet="list", ordered="list", math="formula", fence="code")


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


def blocks(text):
    """The kind and the Markdown of each paragraph, list, table, ... outside of folds."""
    text = LINK.sub(link, FOLD.sub("", text))
    lines = text.splitlines()
    for token in MARKDOWN.parse(text):
        if token.level == 0 and token.map:
            name = token.type.partition("_")[0]
            yield KINDS.get(name, name), "\n".join(lines[slice(*token.map)]).strip()


def link(found):
    """A link to a notebook leads to its page; what has no page loses its link."""
    page = re.match(r"(?:exercises/)?\w+(?=\.ipynb)", found[2])
    return f"[{found[1]}](../{page[0]}.html)" if page else found[1]


def results(outputs):
    """The pictures and the tables that a cell shows, then all that it prints."""
    printed = ""
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield "picture", (data["image/png"], data.get("text/plain", ""))
        elif "text/markdown" in data:
            yield from (block for block in blocks(data["text/markdown"]) if block[0] == "table")
        else:
            printed += output.get("text") or data.get("text/plain", "") + "\n"
    yield "output", printed.strip("\n")


def sections(cells):
    """The line above the title, the title and the blocks of each section that gets a slide."""
    chapter, found = None, []
    for cell in cells:
        code = cell.cell_type == "code"
        for kind, content in results(cell.outputs) if code else blocks(cell.source):
            if kind == "heading":
                level, title = content.split(" ", 1)
                if level == "##":
                    chapter = SECTION.match(title) and title
                if chapter:
                    parts = []
                    found.append(("" if level == "##" else chapter, title, parts))
            elif chapter:
                last, before = parts[-1] if parts else ("", "")
                if kind == "formula" and last == "list" and not ENDED.search(before):
                    kind, content = "list", f"{parts.pop()[1]}\n\n{content}"
                parts.append((kind, content))
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
        plain = Counter(re.sub(r"`[^`]*`|\$[^$]*\$", "", part))
        if plain["("] == plain[")"] and plain["（"] == plain["）"] and plain["*"] % 2 == 0:
            yield part
            part = ""
    if part:
        yield part


def beginning(text, before=""):
    """As many sentences as fit, up to one that asks for a guess or announces something."""
    kept = ""
    for sentence in sentences(text):
        room = ROOM if width(before + kept) > ROOM / 2 else MOST
        full = before + kept and width(before + kept + sentence) > room
        if full or GUESS.search(sentence) or not ENDED.search(sentence.strip()):
            break
        kept += sentence
    return kept.strip()


def fits(kind, content):
    """Whether it can be shown on a slide."""
    lines = content.splitlines()
    if kind == "list":
        return len(re.findall(r"^(?:[-*]|\d+\.) ", content, re.MULTILINE)) <= 7
    if kind == "table":
        return 2 <= len(lines) - 2 <= 7
    if kind == "output":
        words = re.search("[A-Za-z]{3}", content)
        return words and 2 <= len(lines) <= 12 and max(map(width, lines)) <= 90
    return kind == "formula" or kind == "code" and len(lines) <= 12


def statement(parts):
    """The first idea of a section, and the kind and the content of what belongs to it."""
    idea, asked = "", False
    for (kind, content), (after, following) in pairwise([*parts, ("", "")]):
        if kind in {"list", "table"} and not idea and not asked and fits(kind, content):
            return "", kind, content
        asked = kind == "text" and GUESS.search(content)
        if kind != "text" or NO_IDEA.match(content):
            continue
        shows = after in {"formula", "list", "table", "code"}
        follows = shows and not idea and fits(after, following)
        if follows and (after == "formula" or not ENDED.search(content)):
            return content, after, following
        idea = f"{idea}\n\n{beginning(content, idea)}".strip()
        if follows and idea:
            return idea, after, following
        if width(idea) > ROOM / 2:
            break
    return idea, "text", ""


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
        tables = [i for i, part in enumerate(parts) if part[0] == "table" and fits(*part)]
        outputs = [part for part in parts if part[0] == "output" and fits(*part)]
        if tables:
            near, kind, shown = statement(parts[max(tables[0] - 1, 0) : tables[0] + 1])
            idea = near or idea
        elif outputs:
            kind, shown = outputs[-1]
    return [Slide(above, title, idea, kind, shown)] if idea or shown else []


def slides(notebook):
    """The slides of a lesson, the title first."""
    first, *cells = notebook.cells
    (_, lesson), (_, promise), *_ = blocks(first.source)
    lesson = lesson.removeprefix("# ")
    yield Slide("", lesson, promise)
    found = [slide for section in sections(cells) for slide in slides_of(*section)]
    total, seen = Counter(slide[:2] for slide in found), Counter()
    for slide in found:
        name = slide[:2]
        seen[name] += 1
        part = f" ({seen[name]}/{total[name]})" if total[name] > 1 else ""
        yield slide._replace(above=slide.above or lesson, title=slide.title + part)


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
    notebook = nbformat.read(path, as_version=4)
    translate_pictures(notebook)
    first, *others = slides(notebook)
    readme = README.with_suffix(".md" if lang == "en" else ".zh.md").read_text(encoding="utf-8")
    course, number = re.search("^# (.+)", readme, re.MULTILINE)[1], path.stem.partition("_")[0]
    title = first.title.removeprefix(f"{number} ")
    parts = []
    for i, slide in enumerate([first._replace(above=f"{course} · {number}", title=title), *others]):
        shown = show(slide, path.parent, target / f"{path.stem}-{i}.png")
        small = slide.kind != "text" and width(slide.idea) > MOST
        crowded = slide.kind in {"list", "table"} and width(slide.shown) > 2 * MOST
        classes = [slide.kind, "small" * small, "crowded" * crowded]
        parts.append(
            SLIDE.format(
                kind=" ".join(filter(None, classes)),
                above=MARKDOWN.renderInline(slide.above),
                level="h2" if i else "h1",
                title=MARKDOWN.renderInline(slide.title),
                idea=MARKDOWN.render(slide.idea),
                shown=shown,
                page=path.stem,
                number=f"{i + 1} / {len(others) + 1}",
            )
        )
    text = PAGE.format(lang=lang, title=html.escape(first.title), slides="\n".join(parts))
    (target / f"{path.stem}.html").write_text(text, encoding="utf-8")


def show(slide, folder, file):
    """HTML of what a slide shows with its idea; a picture from code goes into the file."""
    if slide.kind == "output":
        columns = max(map(width, slide.shown.splitlines()))
        return f'<pre style="--columns: {columns}">{html.escape(slide.shown)}</pre>'
    if slide.kind != "picture":
        return MARKDOWN.render(slide.shown)
    name, alt = slide.shown
    if name.endswith(".svg"):
        (wide, high), name = size(folder / name), f"../{name}"
    else:
        file.write_bytes(base64.b64decode(name))
        (wide, high), name = size(file), file.name
    place = "below" if wide >= WIDE * high else "beside"
    place = f'class="{place}" width="{wide}" height="{high}"'
    return f'<img {place} loading="lazy" src="{name}" alt="{html.escape(alt)}">'
