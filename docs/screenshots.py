"""Open the built manual in headless Chromium: take pictures, and fail for what a reader would miss.

    pip install playwright, and a Chromium on the path
    python docs/screenshots.py [FOLDER FOR THE PICTURES]

A page fails if it asks another host for anything, is wider than a telephone, or leads nowhere; the
first page also if the keyboard reaches neither the search nor the first door.
"""

import contextlib
import functools
import http.server
import itertools
import shutil
import sys
import tempfile
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

BUILT = Path(__file__).parent / "_build"
PAGES = (
    "index",
    "start",
    "guide/index",
    "guide/variants",
    "gallery/index",
    "gallery/plot_*",
    "api",
    "generated/skae.AutoencoderTransformer",
    "measured",
)
WIDTHS = (1280, 390)
# Presses of the Tab key after which the first door has to be reached.
TABS = 60
# What ends to the right of the screen. Code and tables may scroll, the article itself may not.
TOO_WIDE = """() => [...document.querySelectorAll("article *")]
  .filter(element => !element.closest("pre, .pst-scrollable-table-container"))
  .filter(element => element.checkVisibility())
  .map(element => [element, Math.round(element.getBoundingClientRect().right)])
  .filter(([element, end]) => end > innerWidth)
  .map(([element, end]) => `${element.tagName} ends at ${end}: ${element.innerText}`.slice(0, 80))
  .slice(0, 5)"""


class Links(HTMLParser):
    """The addresses in a page, and the names in it to which an address can lead."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.names = set(), set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names.update(given[name] for name in ("id", "name") if given.get(name))
        if tag in ("a", "img", "link", "script"):
            self.addresses.update(given[name] for name in ("href", "src") if given.get(name))


def broken_links():
    """Return a line for each address inside the manual that leads nowhere."""
    found = {*BUILT.rglob("*.html")} - {*BUILT.glob("_static/**/*.html")}
    pages = {page.resolve(): Links(page) for page in sorted(found)}
    lines = []
    for page, links in pages.items():
        for address in sorted(links.addresses):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            place, name = unquote(parts.path), unquote(parts.fragment)
            target = (page.parent / place).resolve() if place else page
            known = target in pages and name in pages[target].names
            if not target.exists() or (name and target.suffix == ".html" and not known):
                lines.append(f"{page.relative_to(BUILT.resolve())}: {address} leads nowhere")
    return lines


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served():
    """Serve the manual on this machine, and return its address."""
    handler = functools.partial(Handler, directory=BUILT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pages():
    """Return the names of the pages to look at, with one for each pattern."""
    for name in PAGES:
        found = (path for path in sorted(BUILT.glob(f"{name}.html")) if path.stem != "index")
        yield next(found).relative_to(BUILT).with_suffix("").as_posix() if "*" in name else name


def look(browser, home, folder, scheme, width):
    """Take a picture of each page, and return what is wrong with it."""
    lines = []
    size = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    context.route("**/*", functools.partial(keep_home, home, lines))
    page = context.new_page()
    page.on("pageerror", lambda error: lines.append(f"{page.url}: {error}"))
    for name in pages():
        page.goto(f"{home}/{name}.html")
        picture = f"{name.replace('/', '-')}-{width}-{scheme}.png"
        page.screenshot(path=folder / picture, full_page=True)
        lines += [f"{name}, {width} pixels: {wide}" for wide in page.evaluate(TOO_WIDE)]
    context.close()
    return lines


def keep_home(home, lines, route):
    """Refuse a request to another host, and record it."""
    if route.request.url.startswith((home, "data:", "blob:")):
        route.continue_()
    else:
        lines.append(f"{route.request.frame.url} asked for {route.request.url}")
        route.abort()


def out_of_reach(browser, home):
    """Return which of search and the first door the Tab key does not reach, and try the search."""
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.goto(f"{home}/index.html")
    reached = set()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        for name, kind in (("search", "[class*=search]"), ("door", ".doors a")):
            if page.evaluate(f"document.activeElement.matches('{kind}')"):
                reached.add(name)
    lines = [f"index: the keyboard does not reach the {n}" for n in {"search", "door"} - reached]
    page.goto(f"{home}/search.html?q=n_components")
    page.wait_for_timeout(3000)
    if not page.locator("#search-results li").count():
        lines.append("search: nothing is found for n_components")
    page.close()
    return lines


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    lines = broken_links()
    with served() as home, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path)
        for scheme, width in itertools.product(("light", "dark"), WIDTHS):
            lines += look(browser, home, folder, scheme, width)
        lines += out_of_reach(browser, home)
        browser.close()
    print(*lines, f"{len(lines)} faults; pictures: {folder}", sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
