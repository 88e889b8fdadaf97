"""A JupyterLab of its own, a Chromium that may not leave the machine, and what both have to say afterwards.

The notebooks are copies in a temporary folder. Screenshots go to build/screenshots (ignored by git).
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chromium import VIEWPORT, Watch, found_by_axe, launched, watched
from explorers import alone
from playwright.sync_api import Browser, BrowserContext, Locator, Page, TimeoutError, expect

from course_lib.widgets.explorer import Explorer

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = ROOT / "tools" / "jupyter"  # which set-up copies to where Jupyter looks
SCREENSHOTS = ROOT / "build" / "screenshots"
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/extensionmanager-extension:plugin": {"enabled": False, "disclaimed": False},
    # Cells that are scrolled out of sight stay in the page, so that a test finds them where it left them.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}

POLLING_MS = 50  # playwright's default is to ask at each frame, which a page then has to draw
SHOWN = "shown.ipynb"  # its kernel is handed on from test to test, since torch is slow to import

expect.set_options(timeout=30_000)


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path

    def shut_kernels_down(self, but_of: str | None = None) -> None:
        """Each holds a few hundred megabytes.

        Args:
            but_of: a notebook whose kernel may live on.
        """
        for session in json.loads(self._ask("GET", "/api/sessions")):
            if session["path"] != but_of:
                self._ask("DELETE", f"/api/sessions/{session['id']}")

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    for name, settings in SETTINGS.items():
        package, plugin = name.rsplit(":", 1)
        path = home / "settings" / package / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_CONFIG_PATH": str(DEFAULTS),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    log = (home / "lab.log").open("w")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
            *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
            "--LabApp.expose_app_in_browser=True",  # as window.jupyterapp
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
            "--ServerApp.terminals_enabled=False",
        ],
        cwd=home,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/api/status?token={token}", server, home / "lab.log")
        yield Lab(url, token, folder)
    finally:
        # Asks the server to shut its kernels down first.
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start; its log ends with:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def seen() -> Watch:
    """All pages from the first test to the last; tests take `watch`."""
    return Watch()


@pytest.fixture(scope="package")
def context(browser: Browser, seen: Watch) -> Iterator[BrowserContext]:
    """One for all pages, so that the scripts of JupyterLab are read once."""
    with watched(browser, seen) as context:
        yield context


@pytest.fixture
def watch(seen: Watch) -> Iterator[Watch]:
    """The test fails if a page asked for an outside address or wrote an error."""
    yield seen
    seen.check()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A fresh page, watched."""
    page = context.new_page()
    yield page
    page.close()


def drawn(page: Page) -> None:
    """Wait for two frames: what a change asked for is drawn in the first."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def tells(explorer: Locator, *lines: str) -> None:
    """Wait until an explorer says exactly these lines as text."""
    text = re.escape("\n".join(lines))
    # Of a pattern, unlike a string, each space counts.
    expect(explorer.locator(".cx-text")).to_have_text(re.compile(f"^{text}$"))


@dataclass
class Alone:
    """A page of its own for one explorer, as it was saved: no JupyterLab, no kernel, no network."""

    page: Page

    def shown(self, explorer: Explorer, width: int = 1000, dark: bool = False) -> Locator:
        """The explorer, on a page of this width."""
        self.page.set_viewport_size({"width": width, "height": 768})
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        self.page.set_content(alone(explorer))
        found = self.page.locator(".cx")
        expect(found).to_have_count(1)
        drawn(self.page)
        return found

    def look(self, explorer: Explorer, name: str) -> list[str]:
        """What axe-core finds, wide and narrow, light and dark; screenshots are left for people to look at.

        Nothing may be wider than the page.
        """
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        problems = []
        for width in (1000, 390):
            for dark in (False, True):
                found = self.shown(explorer, width, dark)
                self.page.wait_for_timeout(400)  # what comes in has come
                full = f"{name}-{width}-{'dark' if dark else 'light'}"
                found.screenshot(path=SCREENSHOTS / f"{full}.png")
                problems += found_by_axe(self.page, found, full)
                if self.page.evaluate("document.documentElement.scrollWidth") > width:
                    problems.append(f"{full}: wider than the page")
        return problems


@pytest.fixture
def alone_page(page: Page) -> Alone:
    return Alone(page)


@dataclass
class Desk:
    """A page of JupyterLab and what a person does there."""

    page: Page
    lab: Lab
    watch: Watch

    def write(self, name: str, *cells: str) -> None:
        """A notebook of code cells in the lab's folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.lab.folder / name)

    def open(self, name: str) -> None:
        """Open a notebook of the lab's folder alone and wait until its kernel is ready."""
        self.close()
        self.page.evaluate(
            """path => {
                window.jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
            }""",
            name,
        )
        self.page.wait_for_function(
            """name => {
                const panel = window.jupyterapp.shell.currentWidget;
                return panel?.context?.path === name && panel.context.isReady
                    && panel.sessionContext.session?.kernel?.status === "idle";
            }""",
            arg=name,
            timeout=60_000,
            polling=POLLING_MS,
        )

    def name(self) -> str | None:
        """Of the notebook that is open."""
        return self.page.evaluate("window.jupyterapp.shell.currentWidget?.context?.path")

    def close(self) -> None:
        """Close the notebooks that are open, unsaved."""
        self.page.evaluate(
            """() => [...window.jupyterapp.shell.widgets("main")]
                .filter(panel => panel.context)
                .forEach(panel => panel.dispose())"""
        )

    def save(self) -> dict[str, Any]:
        """Save the notebook that is open; what stands in the file, by JSON."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")
        return json.loads((self.lab.folder / str(self.name())).read_text())

    def run_all(self, timeout_s: float = 120) -> None:
        """Run every cell, wait for the kernel to be done and fail on the first cell that raised."""
        self._run_command("notebook:run-all-cells", timeout_s)

    def run_cells(self, *texts: str, timeout_s: float = 60) -> None:
        """Run the code cells that contain any of these texts, in the notebook's order.

        Each text must be found; a cell that raises fails the test.
        """
        missing = self.page.evaluate(
            """texts => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.deselectAll();
                const missing = new Set(texts);
                const chosen = [];
                notebook.widgets.forEach((cell, index) => {
                    const source = cell.model.type === "code" ? cell.model.sharedModel.getSource() : "";
                    const found = texts.filter(text => source.includes(text));
                    found.forEach(text => missing.delete(text));
                    if (found.length) chosen.push(index);
                });
                // The active cell is always one of those that run.
                notebook.activeCellIndex = chosen[0] ?? 0;
                chosen.forEach(index => notebook.select(notebook.widgets[index]));
                return [...missing];
            }""",
            list(texts),
        )
        assert missing == [], f"no cell contains {missing}"
        self._run_command("notebook:run-cell", timeout_s)

    def _run_command(self, command: str, timeout_s: float) -> None:
        # The command resolves when the last cell is done; do not wait for it inside one call.
        self.page.evaluate(
            """command => {
                window.ran = false;
                const run = window.jupyterapp.commands.execute(command);
                run.then(() => { window.ran = true; });
            }""",
            command,
        )
        self.page.wait_for_function(
            """() => window.ran
                && jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle"
            """,
            timeout=timeout_s * 1000,
            polling=POLLING_MS,
        )
        raised = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
                .filter(cell => cell.model.type === "code")
                .flatMap(cell => cell.model.outputs.toJSON())
                .filter(output => output.output_type === "error")
                .map(output => `${output.ename}: ${output.evalue}`)"""
        )
        assert raised == []

    def run(self, code: str, timeout_s: float = 60) -> str:
        """Run code in the notebook's kernel, outside the notebook, and return what it printed."""
        return self.page.evaluate(
            """async code => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({ code, store_history: false });
                let printed = "";
                future.onIOPub = ({ header, content }) => {
                    if (header.msg_type === "stream") printed += content.text;
                    if (header.msg_type === "error") printed += `${content.ename}: ${content.evalue}`;
                };
                await future.done;
                return printed;
            }""",
            code,
        )

    def explorer(self, title: str) -> Locator:
        return self.page.locator(f'section.cx[aria-label="{title}"]')

    def begin(self, *cells: str) -> None:
        """A notebook of these cells, none of which has run, with the kernel that lives on.

        To open one takes longer than most tests: where it is still open, its cells are exchanged.
        """
        is_open = self.page.evaluate(
            """([name, cells]) => {
                const panel = window.jupyterapp.shell.currentWidget;
                if (panel?.context?.path !== name) return false;
                const notebook = panel.content.model.sharedModel;
                const end = cells.length + notebook.cells.length;
                const metadata = { trusted: true };
                notebook.insertCells(0, cells.map(source => ({ cell_type: "code", source, metadata })));
                notebook.deleteCellRange(cells.length, end);
                return true;
            }""",
            [SHOWN, cells],
        )
        if not is_open:
            self.close()
            self.write(SHOWN, *cells)
            self.open(SHOWN)

    def shown(self, title: str, *cells: str) -> Locator:
        """Write a notebook of these cells and run it; the one explorer of this title that it shows."""
        self.begin(*cells)
        self.run_all()
        found = self.explorer(title)
        expect(found).to_have_count(1)
        return found

    def tidy(self) -> bool:
        """Let the kernel forget what a test made; False where it is gone or stays busy."""
        status = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
        # It may still be at what the page asked last; a new one would have to import torch again.
        try:
            status = self.page.wait_for_function(
                f"{status} === 'busy' ? false : {status} ?? 'gone'", timeout=10_000, polling=POLLING_MS
            ).json_value()
        except TimeoutError:
            return False
        forget = "import ipywidgets\nipywidgets.Widget.close_all()\n%reset_selective -f ."
        return status == "idle" and self.run(forget) == ""

    def answered(self, explorer: Locator) -> None:
        """Wait until Python has answered everything that was asked."""
        expect(explorer).not_to_have_attribute("aria-busy", "true")

    def tells(self, explorer: Locator, *lines: str) -> None:
        """Wait until the page says exactly these lines as text."""
        tells(explorer, *lines)

    def knows(self, expression: str, value: object) -> None:
        """Wait until Python has a choice of the page: one is held back while another is under way."""
        for _ in range(100):
            found = self.run(f"print(repr(({expression})), end='')")
            if found == repr(value):
                return
            self.page.wait_for_timeout(100)
        assert found == repr(value)

    def pixel(self, canvas: Locator, row: float, column: float) -> list[int]:
        """Red, green and blue of one point of a canvas, at shares of its height and width."""
        return canvas.evaluate(
            """(canvas, [row, column]) => {
                const [x, y] = [column * canvas.width, row * canvas.height].map(Math.floor);
                return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
            }""",
            [row, column],
        )

    def is_dark(self) -> bool:
        return self.page.locator("body").get_attribute("data-jp-theme-light") == "false"

    def set_theme(self, dark: bool) -> None:
        if self.is_dark() == dark:
            return
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name
        )
        self.page.wait_for_selector(
            f"body[data-jp-theme-light='{'false' if dark else 'true'}']", state="attached"
        )
        # A curtain hides the change and lingers.
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def look(self, explorer: Locator, name: str) -> list[str]:
        """What axe-core finds in it, in the theme of now; a screenshot is left for people to look at."""
        theme = "dark" if self.is_dark() else "light"
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.set_viewport_size({"width": 1280, "height": 1800})
        explorer.first.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png")
        return found_by_axe(self.page, explorer, f"{name}-{theme}")

    def problems(self, explorer: Locator, name: str) -> list[str]:
        """The same in both themes, first the one that is there, since a change takes a while."""
        problems = []
        is_dark = self.is_dark()
        for dark in (is_dark, not is_dark):
            self.set_theme(dark)
            problems += self.look(explorer, name)
        return problems


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@dataclass
class Room:
    """Where the page of JupyterLab waits for the next test, since it takes seconds to start."""

    page: Page | None = None


def _start(context: BrowserContext, lab: Lab) -> Page:
    page = context.new_page()
    page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    page.wait_for_function("window.jupyterapp", timeout=60_000, polling=POLLING_MS)
    page.evaluate("window.jupyterapp.restored.then(() => {})")
    page.wait_for_selector("body[data-jp-theme-light]", state="attached")
    return page


@pytest.fixture(scope="package")
def room(context: BrowserContext, lab: Lab) -> Iterator[Room]:
    room = Room()
    yield room
    # Before the server stops, or the page would complain.
    if room.page is not None:
        room.page.close()


@pytest.fixture
def desk(
    request: pytest.FixtureRequest, context: BrowserContext, watch: Watch, lab: Lab, room: Room
) -> Iterator[Desk]:
    """As on a fresh page: no cell that is open has run, the theme is light, the window has its usual size."""
    # It comes back only if all went well.
    page, room.page = room.page or _start(context, lab), None
    desk = Desk(page, lab, watch)
    desk.set_theme(dark=False)
    page.set_viewport_size(VIEWPORT)
    page.mouse.move(0, 0)
    yield desk
    if request.node.stash.get(FAILED, False):
        page.close()
        lab.shut_kernels_down()
        return
    is_tidy = desk.tidy()
    if not is_tidy or desk.name() != SHOWN:
        # Before its kernel goes away, or the page would complain.
        desk.close()
    lab.shut_kernels_down(but_of=SHOWN if is_tidy else None)
    room.page = page
