"""A Chromium that may not leave the machine, and what its pages did that they must not do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)
from programs import MISSING, find

# axe-core itself (MPL-2.0) comes with this package; it is a test dependency, not a part of the course.
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
LOCAL = {"127.0.0.1", "localhost"}
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    # A request that were to get past our route would find no address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
VIEWPORT: ViewportSize = {"width": 1280, "height": 1000}
# What JupyterLab writes if we close a notebook, or restart its kernel, while it asks the kernel something.
CLOSED = {
    f"{asked} message before replies were done"
    for asked in (
        "Could not restore the debugger state: Canceled future for debug_request",
        "Error: Canceled future for create_subshell_request",
    )
}


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about", "file") or parts.hostname in LOCAL


@dataclass
class Watch:
    """What a page did that it must not do."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    # First lines that a test brings about on purpose. No test may write an error without saying so.
    expected: set[str] = field(default_factory=set)

    def request(self, request: Request) -> None:
        if not is_local(request.url):
            self.outside.append(request.url)

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.error(f"{message.text} ({message.location.get('url', '')})", message.text)

    def error(self, text: str, said: str) -> None:
        if said.partition("\n")[0] not in CLOSED | self.expected:
            self.errors.append(text)

    def check(self) -> None:
        """Fail on what was seen since the last check, and forget it."""
        outside, self.outside = self.outside, []
        errors, self.errors = self.errors, []
        self.expected = set()
        assert outside == []
        assert errors == []


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser; the test fails where there is none."""
    chromium = find()
    if chromium is None:
        pytest.fail(MISSING)
    flags = [*FLAGS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, seen: Watch) -> Iterator[BrowserContext]:
    """Where pages are opened: what they must not do is seen, and does not get out."""
    context = browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
    context.route(lambda url: not is_local(url), lambda route: route.abort())
    context.on("request", seen.request)
    context.on("console", seen.console)
    context.on("weberror", lambda error: seen.error(f"uncaught: {error.error}", str(error.error)))
    yield context
    context.close()
    # What came after the last test's own check.
    seen.check()


def found_by_axe(page: Page, parts: Locator, name: str) -> list[str]:
    """What axe-core finds in parts of a page."""
    if not page.evaluate("'axe' in window"):
        # JupyterLab's module loader must not take the script for a module of its own.
        page.evaluate(f"(() => {{ const define = undefined, module = undefined; {AXE.read_text()} }})()")
    found: dict[str, Any] = parts.evaluate_all(
        """async parts => {
            // A page from disk may not ask for its style.
            const options = { resultTypes: ["violations"], preload: false };
            const { passes, violations } = await axe.run({ include: parts }, options);
            return { passes: passes.length, violations };
        }"""
    )
    assert found["passes"], f"axe-core found nothing to look at in {name}"
    return [
        f"{name}: {rule['help']}: {node['html']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
