"""Every page of the site in a browser: in both languages, wide and narrow, light and dark."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import SETTLED

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for language in ("en", "zh")
    for path in (SITE / language).rglob("*.html")
    if not {"_static", "_downloads", "slides"} & set(path.parts)
)
SLIDES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("*/slides/*.html"))
NOTEBOOKS = [page for page in PAGES if re.search(r"/\d\d\w?_", page)]
each_page = pytest.mark.parametrize("page", PAGES)
each_language = pytest.mark.parametrize("language", ["en", "zh"])
WORDS = {"en": ("Batch normalization", "Residual"), "zh": ("批量归一化", "残差")}


class Reader(HTMLParser):
    """The links, ids, pictures and headings of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.attributes = [], set(), {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes.get("id"), attributes.get("name")}
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.attributes.setdefault(tag, []).append(attributes)


def read(page):
    return Reader((SITE / page).read_text(encoding="utf-8"))


def test_the_site_was_built():
    solutions = sorted((SITE.parents[1] / "notebooks" / "solutions").glob("*.ipynb"))
    exercises = sum(len(re.findall(r'"## \d+\.\d+ ', path.read_text())) for path in solutions)
    assert exercises > 70
    lessons = list((SITE.parents[1] / "notebooks").glob("*.ipynb"))
    assert len(NOTEBOOKS) == 2 * (len(lessons) + len(solutions) + exercises)
    assert {page[3:] for page in PAGES if page[:2] == "en"} == {
        page[3:] for page in PAGES if page[:2] == "zh" and page != "zh/GLOSSARY.html"
    }


# --- without a browser ---


@pytest.fixture(scope="module")
def ids():
    return {page: read(page).ids for page in PAGES}


@each_page
def test_each_link_leads_somewhere(page, ids):
    broken = []
    for link in read(page).links:
        parts = urlsplit(urljoin(f"http://site/{page}", link))
        if parts.netloc != "site" or parts.scheme not in {"http", "https"}:
            continue
        path = unquote(parts.path).lstrip("/")
        if (
            not (SITE / path).is_file()
            or parts.fragment
            and path in ids
            and unquote(parts.fragment) not in ids[path]
        ):
            broken.append(link)
    assert broken == []


@each_page
def test_what_search_engines_and_readers_are_told(page):
    html = read(page).attributes
    language, _, rest = page.partition("/")
    assert html["html"][0]["lang"] == {"en": "en", "zh": "zh-CN"}[language]
    alternates = {a["hreflang"]: a["href"] for a in html["link"] if a.get("rel") == "alternate"}
    if (SITE / "en" / rest).exists():
        assert {code: urlsplit(url).path for code, url in alternates.items()} == {
            "en": f"/en/{rest}",
            "zh-CN": f"/zh/{rest}",
        }
    assert any(a.get("rel") in {"icon", "shortcut icon"} for a in html["link"])
    (card,) = (a["content"] for a in html["meta"] if a.get("property") == "og:image")
    assert (SITE / urlsplit(card).path.lstrip("/")).is_file() and card.startswith("http")
    (description,) = (a["content"] for a in html["meta"] if a.get("name") == "description")
    assert len(description) > 20 or "search" in page
    assert not description.startswith(("From", "选自")), "the line that tells where a page belongs"


@pytest.mark.parametrize("page", [page for page in PAGES if page[:2] == "zh"])
def test_the_chinese_site_speaks_chinese(page):
    text = (SITE / page).read_text(encoding="utf-8")
    names = re.findall(r' (?:title|aria-label|placeholder)="([^"]+)"', text)
    buttons = re.findall(r"<(?:button|summary)\b.*?</(?:button|summary)>", text, flags=re.DOTALL)
    names += [re.sub(r"<[^>]+>", "", button).strip() for button in buttons]
    english = {name for name in names if re.fullmatch(r"[ -~\s]*[a-z]{3}[ -~\s]*", name)}
    assert {name for name in english if not re.match(r"[\d.]+b? ", name)} == set()


@pytest.mark.parametrize("page", [*NOTEBOOKS, "en/index.html", "zh/index.html"])
def test_folds_are_closed_and_pictures_wait_and_keep_their_place(page):
    html = read(page).attributes
    folds = [fold for fold in html.get("details", []) if "class" in fold]  # the menu's have none
    assert folds or "exercises/" in page or "index" in page
    assert all("open" not in fold for fold in folds)
    for picture in html.get("img", []):
        assert picture.get("alt", "").strip()
        assert picture.get("loading") == "lazy"
        assert {"width", "height"} <= picture.keys()


def test_a_page_is_small():
    sizes = {page: (SITE / page).stat().st_size for page in PAGES}
    assert {page: size for page, size in sizes.items() if size > 350_000} == {}, (
        "its pictures apart"
    )


@each_language
def test_an_exercise_has_its_solution_folded_behind_the_question(language):
    text = (SITE / language / "exercises/03_4.html").read_text(encoding="utf-8")
    question, solution, check = (
        text.index(part) for part in ("20", '<details class="solution">', "check</span>")
    )
    assert question < solution < check
    assert text.index("Conv2D</span>", solution) < text.index("</details>", solution) < check


def test_what_a_cell_shows_keeps_its_order_and_its_tables():
    text = (SITE / "en/07_fast_on_a_cpu.html").read_text(encoding="utf-8")
    assert text.count("<table") >= 8 and "|---|" not in text
    text = (SITE / "en/03_resnet.html").read_text(encoding="utf-8")
    plain, residual = (text.index(f"{name}, 20 layers\n") for name in ("plain", "residual"))
    assert plain < text.index("epoch  1", plain) < residual


# --- in a browser ---

OVERFLOW = """() => {
  const wide = [...document.querySelectorAll("body *")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1);
  return document.documentElement.scrollWidth > innerWidth
    ? ["the page", ...wide.slice(-3).map((element) => element.outerHTML.slice(0, 120))] : [];
}"""
WIDE_FORMULAS = """() => [...window.MathJax?.startup.document.math ?? []]
  .filter((item) => item.display && item.typesetRoot.scrollWidth > item.typesetRoot.clientWidth + 1)
  .map((item) => item.math)"""
UNREACHED = """() => [...document.querySelectorAll("a[href], button, summary, input, select")]
  .filter((element) => element.tabIndex < 0 && element.checkVisibility())
  .map((element) => element.outerHTML.slice(0, 120))"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def violations(page, rules=None):
    options = {
        "runOnly": {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    }
    options["preload"] = False  # axe would ask for style sheets at wrong addresses
    options["resultTypes"] = ["violations"]
    skipped = ["mjx-container"]  # thousands of elements of MathJax's own
    if "/03_resnet" not in page.url:  # menus, code and rows look the same on all pages
        skipped += ["div.highlight", "tbody tr:nth-child(n+4)", ".bd-sidebar-primary", ".bd-header"]
    context = {"exclude": [[selector] for selector in skipped]}
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [(v["id"], [node["html"][:150] for node in v["nodes"][:3]]) for v in found]


@each_page
def test_a_page_can_be_read_wide_and_narrow_in_light_and_dark(page, visit):
    view = visit(page)
    view.evaluate(SETTLED)
    assert view.evaluate(OVERFLOW) == []
    view.evaluate(
        "() => document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"
    )
    assert violations(view) == []
    assert view.evaluate(UNREACHED) == [], "the keyboard reaches all that can be clicked"
    view.set_viewport_size({"width": 390, "height": 844})
    assert view.evaluate(OVERFLOW) == []
    assert view.evaluate(WIDE_FORMULAS) == [], "no line of a formula is wider than a phone"
    assert view.evaluate(UNREACHED) == [], "the keyboard reaches all that can be clicked"
    view.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    view.wait_for_timeout(300)  # colours fade
    assert violations(view, ["color-contrast"]) == []
    assert view.evaluate(OVERFLOW) == []


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith("search.html")])
def test_search_finds_each_page(page, visit):
    language, _, rest = page.partition("/")
    text = (SITE / page).read_text(encoding="utf-8")
    titles = re.findall(r"<h[12][^>]*>(.*?)<a class=\"headerlink\"", text)
    title = unescape(re.sub(r"<[^>]+>", "", titles[0]))
    view = visit(f"{language}/search.html?q={quote(title)}")
    view.wait_for_selector("#search-results ul.search li")
    links = view.eval_on_selector_all("#search-results li > a", "all => all.map((a) => a.href)")
    assert any(f"/{language}/{rest}" in link for link in links), links


@each_language
def test_a_search_for_a_word_and_for_nonsense(language, visit):
    for word in WORDS[language]:
        view = visit(f"{language}/search.html?q={word}")
        view.wait_for_function(
            "() => document.querySelectorAll('#search-results ul.search li').length > 10"
        )
    view = visit(f"{language}/search.html?q=龘龘")
    view.wait_for_function("() => document.querySelector('.search-summary').textContent.trim()")
    assert view.locator("#search-results ul.search li").count() == 0


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("en/DenseNet-121 parameters", "en/architectures.html"),
        ("en/bottleneck exercise", "en/exercises/03_4.html"),
        # no page has all these words
        ("en/validation accuracy jumps running statistics stale", "en/06_test_accuracy.html"),
        ("zh/反向传播公式", "zh/exercises/01_4.html"),
        ("zh/组归一化", "zh/09_beyond_batches.html"),
    ],
)
def test_a_search_ranks_what_explains_it_first(query, page, visit):
    language, _, words = query.partition("/")
    view = visit(f"{language}/search.html?q={words}")
    first = view.locator("#search-results li > a").first
    assert first.evaluate("link => new URL(link.href).pathname") == f"/{page}"


@each_language
@pytest.mark.parametrize("width", [1280, 390])
def test_the_switch_stays_on_the_page(language, width, visit):
    other = {"en": "zh", "zh": "en"}[language]
    view = visit(f"{language}/exercises/03_4.html", width)
    view.locator("a.language:visible").first.click()
    view.wait_for_url(f"**/{other}/exercises/03_4.html")


def test_the_switch_keeps_the_place_and_the_search(visit):
    view = visit("en/03_resnet.html", 390)
    view.evaluate(SETTLED)
    view.evaluate("() => document.querySelectorAll('article h2')[6].scrollIntoView()")
    view.locator("a.language:visible").first.click()
    view.wait_for_url("**/zh/03_resnet.html")
    view.wait_for_function("() => scrollY > 3000")
    view = visit("en/search.html?q=hybridize")
    view.locator("a.language:visible").first.click()
    view.wait_for_url("**/zh/search.html?q=hybridize")


@each_language
def test_the_table_of_contents_and_the_next_page_on_a_phone(language, visit):
    view = visit(f"{language}/index.html", 390)
    view.locator("button.primary-toggle").click()
    view.locator("dialog a[href='03_resnet.html']").click()
    view.wait_for_url(f"**/{language}/03_resnet.html")
    view.locator("a.right-next").click()
    view.wait_for_url(f"**/{language}/04_densenet.html")
    view.locator("button.secondary-toggle").click()
    view.locator("dialog .page-toc a").nth(4).click()
    assert "#" in view.url
    assert view.locator("dialog[open]").count() == 0


def test_the_keyboard_reaches_the_menu_the_search_and_the_text(visit):
    view = visit("en/03_resnet.html", 390)
    reached = []
    for _ in range(25):
        view.keyboard.press("Tab")
        reached.append(view.evaluate("() => document.activeElement.outerHTML.slice(0, 300)"))
    for what in (
        "main-content",
        "primary-toggle",
        "hreflang",
        "search-button",
        "secondary-toggle",
        "02_batch",
    ):
        assert any(what in element for element in reached), (what, reached)
    view.locator("button.primary-toggle").focus()
    view.keyboard.press("Enter")
    assert view.locator("dialog[open]").count() == 1
    view.keyboard.press("Escape")
    assert view.locator("dialog[open]").count() == 0
    fold = view.locator("article details > summary").first
    fold.focus()
    view.keyboard.press("Enter")
    assert view.locator("article details[open]").count() == 1


each_slides = pytest.mark.parametrize("page", SLIDES)
SPILLED = """all => all.flatMap((slide) => {
  const frame = slide.getBoundingClientRect();
  const parts = ".above, h1, h2, .idea > *, .body > :not(.idea), mjx-math";
  return [...slide.querySelectorAll(parts)].filter((part) => {
    const box = part.getBoundingClientRect();
    return box.right > frame.right - 20 || box.bottom > frame.bottom - 30 ||
      part.tagName === "IMG" && box.height < 200;
  }).map((part) => slide.querySelector("h1, h2").textContent + ": " + part.outerHTML.slice(0, 80));
})"""
TITLES = """all => all.map((slide) =>
  Math.round(slide.querySelector("h1, h2").getBoundingClientRect().top -
    slide.getBoundingClientRect().top))"""
SOURCE = """all => all.flatMap((slide) => {
  const seen = slide.cloneNode(true);
  seen.querySelectorAll("mjx-container, code, pre").forEach((part) => part.remove());
  const wrong = [...slide.querySelectorAll("[data-mjx-error]")].map((part) => part.textContent);
  return wrong.concat(seen.textContent.match(/.{0,20}(\\*\\*|\\$|\\\\).{0,20}/g) || []);
})"""


@each_slides
def test_slides_fit_and_can_be_read(page, visit):
    view = visit(page)
    view.set_viewport_size({"width": 1280, "height": 720})
    view.evaluate(SETTLED)
    assert len(set(view.eval_on_selector_all("section", TITLES))) == 1
    assert view.eval_on_selector_all("section", SPILLED) == []
    assert view.eval_on_selector_all("section", SOURCE) == []
    assert violations(view) == []
    view.keyboard.press("ArrowRight")
    assert (
        view.evaluate("() => document.activeElement.querySelector('.number').textContent")[:1]
        == "2"
    )


@each_slides
def test_slides_lead_somewhere(page):
    assert [
        link
        for link in read(page).links
        if not link.startswith("http") and not (SITE / page).parent.joinpath(link).exists()
    ] == []


@each_slides
def test_slides_have_the_formulas_of_the_notebook(page):
    path = SITE.parents[1] / "notebooks" / page.removeprefix("en/").replace("slides/", "")
    source = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in source)
    body = unescape((SITE / page).read_text(encoding="utf-8").partition("<main>")[2])
    formulas = re.findall(r"\$\$.+?\$\$|\$[^$]+\$", body, re.DOTALL)
    assert [formula for formula in formulas if formula not in text] == []


@pytest.mark.parametrize("page", [page for page in SLIDES if page.startswith("en/")])
def test_slides_are_of_the_same_kinds_in_both_languages(page):
    english, chinese = (
        re.findall(r'<section class="(\w+)', (SITE / name).read_text(encoding="utf-8"))
        for name in (page, page.replace("en/", "zh/", 1))
    )
    assert english == chinese
    assert len(english) >= 10 and english[:2] == ["text", "list"] and english[-1] == "list"


@each_slides
def test_an_idea_ends_with_a_sentence_unless_something_follows(page):
    text = (SITE / page).read_text(encoding="utf-8")
    slide = r'<section class="([^"]+)".*?<div class="idea">(.*?)</div>\n(.*?)\n?</div>'
    slides = re.findall(slide, text, re.DOTALL)
    assert len(slides) == text.count("<section")
    for kind, idea, shown in slides:
        words = re.sub(r"<[^>]+>", "", idea).strip()
        assert shown if kind.split()[0] != "text" else re.search(r"[.?!。？！][)）]?$", words), idea


def test_a_table_can_be_sorted(visit):
    view = visit("en/results.html")
    table = view.locator("section:has(> #depth) table")
    column = "rows => rows.map((row) => parseFloat(row.cells[3].textContent))"
    table.locator("th button").nth(3).click()
    values = table.locator("tbody tr").evaluate_all(column)
    assert values == sorted(values) and values[0] < values[-1]
    table.locator("th button").nth(3).click()
    assert table.locator("tbody tr").evaluate_all(column) == values[::-1]


def test_a_wide_plot_scrolls_on_a_phone(visit):
    view = visit("en/05_why_it_works.html", width=390)
    plot = view.locator("img[data-wide]").first
    plot.evaluate("plot => { plot.closest('details').open = true; }")
    assert plot.evaluate("plot => plot.offsetWidth") > 600
    assert plot.evaluate("plot => plot.parentElement.clientWidth") < 390
    assert plot.evaluate("plot => getComputedStyle(plot.parentElement).overflowX") == "auto"


def test_the_text_of_a_figure_is_hidden_while_the_figure_is_folded(visit):
    view = visit("en/01_batch_norm_from_scratch.html")
    fold = view.locator(".cell:has(+ .figure-text) > details.hide").first
    text = view.locator(".cell:has(> details.hide) + .figure-text").first
    assert text.is_hidden()
    fold.locator("summary").click()
    assert text.is_visible()


def test_code_can_be_copied(visit):
    view = visit("en/03_resnet.html")
    assert view.locator("button.copybtn").count() >= view.locator("div.cell_input").count() > 20


def test_a_notebook_can_be_downloaded(visit):
    view = visit("zh/exercises/03_4.html")
    with view.expect_download() as download:
        view.locator(".tools a[download]:visible").first.click()
    original = SITE.parents[1] / "notebooks/zh/exercises/03_resnet.ipynb"
    assert Path(download.value.path()).read_bytes() == original.read_bytes()


def test_an_address_without_a_page(browser, address):
    view = browser.new_page()
    assert view.goto(f"{address}/en/nothing.html").status == 404
    assert "没有这个页面" in view.text_content("body")
    view.locator("a[href='/en/index.html']").click()
    assert view.title().startswith("Normalize")


def test_the_first_page_chooses_the_language(browser, address):
    for locale, language in {"zh-CN": "zh", "en-GB": "en", "fr-FR": "en"}.items():
        context = browser.new_context(locale=locale)
        page = context.new_page()
        page.goto(f"{address}/index.html")
        page.wait_for_url(f"**/{language}/index.html")
        context.close()


def test_a_printed_page_shows_what_is_folded(visit):
    view = visit("en/exercises/03_4.html")
    assert view.locator("article details:not([open])").count() == 2  # the solution, the check
    view.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert view.locator("article details:not([open])").count() == 0
    view.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert view.locator("article details[open]").count() == 0
    view.emulate_media(media="print")
    assert not view.locator(".bd-sidebar-primary").is_visible()


def test_what_is_printed_is_whole(visit):
    view = visit("en/exercises/05_1.html")
    view.emulate_media(media="print")
    view.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    fades = "part => getComputedStyle(part).animationName"
    assert view.locator("details.hide > div").first.evaluate(fades) == "none"
    view = visit("zh/results.html", width=673)  # A4 without its margins
    view.emulate_media(media="print")
    wide = "tables => tables.filter((table) => table.offsetWidth > innerWidth).length"
    assert view.locator("table").evaluate_all(wide) == 0
