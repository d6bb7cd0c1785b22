"""One PDF of all pages in each language: build/site/en/course.pdf and /zh/course.pdf."""

import io
import re
from pathlib import Path

import chromium
from course import URL
from pypdf import PdfReader, PdfWriter

SITE = Path(__file__).resolve().parent.parent / "build" / "site"
DRAWN = """async () => {
  document.querySelectorAll("img").forEach((image) => { image.loading = "eager"; });
  await Promise.all([...document.images].map((image) => image.decode()));
}"""


def serve(route):
    """Answer from build/site, so that the links in the PDF are those of the published site."""
    path = SITE / route.request.url.removeprefix(f"{URL}/").partition("?")[0]
    if path.is_file():
        route.fulfill(path=path)
    else:
        route.abort()


def write(browser, language):
    page = browser.new_page()
    page.route("**/*", serve)
    course = PdfWriter()
    address = f"{URL}/{language}/index.html"
    while address:
        page.goto(address)
        page.evaluate(chromium.SETTLED)
        page.evaluate(DRAWN)
        part = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
        course.append(part, outline_item=re.sub(r" — .*", "", page.title()))
        following = page.locator("a.right-next")
        address = following.evaluate("link => link.href") if following.count() else None
    course.compress_identical_objects()
    course.write(SITE / language / "course.pdf")
    page.close()


if __name__ == "__main__":
    with chromium.started() as browser:
        for language in ("en", "zh"):
            write(browser, language)
