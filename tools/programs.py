"""The programs beside Python that tests need: a browser, and bubblewrap for the second sandbox."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# First the one without windows, which draws the same pages with less work.
NAMES = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable", "chrome", "msedge"),
)
OUTSIDE_PATH = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    os.path.expandvars(r"%ProgramFiles%\Google\Chrome\Application\chrome.exe"),
    os.path.expandvars(r"%ProgramFiles(x86)%\Microsoft\Edge\Application\msedge.exe"),
)
# Without what Debian recommends beside them: a hundred packages, printers among them. Pages need a font.
DEBIAN = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")
FONTS = "fonts-liberation"
MISSING = (
    "no Chromium or Chrome was found: install one (Debian: sudo apt install --no-install-recommends chromium "
    f"{FONTS}; others: .venv/bin/python -m playwright install chromium) and try again"
)


def find() -> str | None:
    """The browser that COURSE_CHROMIUM names, else one on the PATH, in its usual place, or playwright's."""
    named = [os.environ.get("COURSE_CHROMIUM"), *map(shutil.which, NAMES)]
    there = [path for path in OUTSIDE_PATH if Path(path).exists()]
    return next((path for path in [*named, *there] if path), None) or playwrights()


def playwrights() -> str | None:
    """The browser that playwright has installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Install what is missing where that needs no password: as root from Debian, else playwright's browser.

    Without bubblewrap its tests are skipped and say so; the grader has another sandbox.
    """
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"])
        for package in ("chromium-headless-shell", "chromium"):  # older releases have the second only
            if find() is None:
                from_debian(package, FONTS)
        if shutil.which("bwrap") is None:
            from_debian("bubblewrap")
    if find() is None:
        # As root playwright can bring the system's libraries along; others have them on any desktop.
        libraries = ["--with-deps"] if root else []
        subprocess.run([sys.executable, "-m", "playwright", "install", *libraries, "chromium"])


def missing() -> bool:
    """Whether there is something for `install` to bring."""
    return find() is None or (sys.platform == "linux" and shutil.which("bwrap") is None)


def from_debian(*packages: str) -> None:
    """Install packages without asking."""
    subprocess.run([*DEBIAN, *packages], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
