"""A browser, and a server for the built site."""

import functools
import http.server
import threading
from pathlib import Path

import chromium
import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"


@pytest.fixture(scope="session")
def browser():
    with chromium.started() as browser:
        yield browser


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def send_error(self, code, *arguments, **named):
        if code != 404:
            return super().send_error(code, *arguments, **named)
        body = (SITE / "404.html").read_bytes()  # as static hosts do
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def address():
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=SITE)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def visit(browser, address):
    """A function that opens a page; what went wrong while the test ran is asserted at its end."""
    contexts, problems = [], []

    def open_page(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda said: said.type == "error" and problems.append(f"console: {said.text}"),
        )
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: ours(request.url) or problems.append(f"outside: {request.url}"),
        )
        page.on(
            "response",
            lambda response: (
                response.status < 400 or problems.append(f"{response.status}: {response.url}")
            ),
        )
        page.goto(f"{address}/{path}")
        page.wait_for_load_state("load")
        return page

    def ours(url):
        return url.startswith((address, "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
