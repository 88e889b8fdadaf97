"""What a student wrote, as HTML that runs and fetches nothing: made in a process of its own, with limits.

The usual libraries for Markdown, HTML and coloured code take hours, or all memory, for some short texts.
Whoever asks here gets an answer soon, or `TooMuch`. What comes back is quick to read for any other program.
"""

import atexit
import html
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import bleach
import mistune
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import HighlightMagicsPreprocessor
from PIL import Image

from course_lib.grading.pipe import wire
from course_lib.grading.walls import sandbox

START_S = 120.0  # until the libraries are loaded on a busy machine
TEXT_S = 3.0  # for one text
MEMORY_MB = 1024
FOREVER_S = 10**6  # of processor time: the clock limits each text
MOST_HTML = 500_000  # characters of one text's HTML, without its pictures
DEEPEST = 50  # tags in tags
MOST_PICTURE = 10 * 2**20  # bytes of one picture
MOST_PIXELS = 50_000_000
PIXELS_A_CHARACTER = 500  # what a picture takes of the room: a browser opens it, however few its bytes are

TITLES = {"h1", "h2", "h3", "h4", "h5", "h6", "details", "summary"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}
TAGS = bleach.ALLOWED_TAGS | TITLES | TABLES | {"p", "br", "hr", "pre", "span", "div", "del", "img"}
PROTOCOLS = {"http", "https", "mailto", "data", "attachment"}
LINK = re.compile("https?://|mailto:")
PICTURE = re.compile("data:image/(?:png|jpeg);base64,")
IMG = re.compile(r'<img(?: \w+="[^"]*")*>')


class TooMuch(ValueError):
    """It cannot be shown as it is meant; the message says why."""


# ----------------------------------------------------------------------------------------------- from outside


class Rendering:
    """The process. A new one takes its place where it dies."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "course_lib.grading.results.rendering", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the grader's: its end is this process's too
        )
        theirs.close()
        self.pipe = ours
        wire.receive(self.pipe, START_S)

    def ask(self, kind: str, text: str, seconds: float, more: Mapping[str, Any]) -> tuple[str, int]:
        """One of `KINDS` of a text, and its size.

        Raises: TooMuch: the process is gone if that took its time or its memory.
        """
        self.pipe.settimeout(seconds)
        try:
            wire.send(self.pipe, {}, json.dumps([kind, text, more]).encode())
            header, raw = wire.receive(self.pipe, seconds)
        except (wire.Late, TimeoutError):
            raise self._gone("it takes too long") from None
        except (wire.WireError, OSError):
            raise self._gone("it takes too much memory") from None
        if "why" in header:
            raise TooMuch(header["why"])
        return raw.decode(), header["size"]

    def _gone(self, why: str) -> TooMuch:
        _running.cache_clear()
        self.close()
        return TooMuch(why)

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self.pipe.close()
        self.process.kill()
        self.process.wait()


@cache
def _running() -> Rendering:
    started = Rendering()
    atexit.register(started.close)
    return started


class Room:
    """How much of what one student wrote is rendered.

    Args:
        seconds: for all of it.
        characters: of all its HTML; a picture counts by its pixels, not by its bytes.
    """

    def __init__(self, seconds: float = 10.0, characters: int = 1_000_000) -> None:
        self.seconds = seconds
        self.characters = characters

    @property
    def is_left(self) -> bool:
        """Whether anything more is rendered."""
        return self.seconds > 0 and self.characters > 0

    def render(self, kind: str, text: str, **more: Any) -> str:
        """Safe HTML: of Markdown, of HTML, of code in colours, or the data URL of a picture.

        Args:
            kind: which of `KINDS`.
            more: the function's other arguments.
        Raises: TooMuch: it takes too long, is too large or is nested too deeply.
        """
        if not self.is_left:
            raise TooMuch("the notebook is too long to show all of it")
        process = _running()
        start = time.monotonic()
        try:
            found, size = process.ask(kind, text, min(TEXT_S, self.seconds), more)
        finally:
            self.seconds -= time.monotonic() - start
        self.characters -= size
        return found


# --------------------------------------------------------------------------------------------- in the process


def markdown(text: str, pictures: Mapping[str, str]) -> tuple[str, int]:
    """Markdown as HTML, its pictures within it, and its size.

    Args:
        pictures: those that were pasted into the cell, in base64, by name.
    """
    return harmless(MarkdownWithMath(renderer=_Words(escape=False)).render(text), pictures)


class _Words(IPythonRenderer):
    """nbconvert's HTML of Markdown, with pictures and headings as they are written."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return mistune.HTMLRenderer.image(self, text, url, title)

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return mistune.HTMLRenderer.heading(self, text, level, **attrs)


def harmless(text: str, pictures: Mapping[str, str] | None = None) -> tuple[str, int]:
    """HTML with the tags that we know, and its size; of an unsafe link or picture the words remain."""
    clean = bleach.clean(text, tags=TAGS, attributes=may_have, protocols=PROTOCOLS)
    clean = clean.replace("<details>", "<details open>")  # nbgrader's pages do not show how to open it
    size = len(re.sub('src="data:[^"]*"', "", clean))
    if size > MOST_HTML:
        raise TooMuch("it is too long")
    if _depth(clean) > DEEPEST:
        raise TooMuch("it is nested too deeply")
    shown: dict[str, int] = {}
    clean = IMG.sub(lambda found: _img(found[0], pictures or {}, shown), clean)
    return clean, size + sum(shown.values())


def output(text: str) -> tuple[str, int]:
    """HTML that a cell shows. Of tables nbgrader's pages know rows and cells alone."""
    found, size = harmless(text)
    found = re.sub("</?(?:thead|tbody)>", "", found)
    return found.replace("<th", "<td").replace("</th>", "</td>"), size


def may_have(tag: str, name: str, value: str) -> bool:
    """Whether a student's tag may have an attribute: links to the web, pictures within the page, words."""
    if name == "href":
        return tag == "a" and LINK.match(value) is not None
    if name == "src":
        return tag == "img" and (value.startswith("attachment:") or PICTURE.match(value) is not None)
    if name == "class":  # of coloured code: others would look like ours
        return re.fullmatch("highlight|[a-z][a-z0-9]?", value) is not None
    return name in ("alt", "colspan", "rowspan")


def _depth(clean: str) -> int:
    """How many tags stand within each other."""
    deepest = depth = 0
    for tag in re.findall(r"<(/?\w+)", clean):
        depth += -1 if tag.startswith("/") else tag not in ("br", "hr", "img")
        deepest = max(deepest, depth)
    return deepest


def _img(tag: str, pictures: Mapping[str, str], shown: dict[str, int]) -> str:
    """A picture of a page, or in its place why it is not there; `shown` has the sizes of those of before."""
    alt = re.search('alt="([^"]*)"', tag)
    words = alt[1] if alt else ""
    source = re.search('src="([^"]*)"', tag)
    url = html.unescape(source[1]) if source else ""
    name = url.removeprefix("attachment:")
    data = pictures.get(name) or pictures.get(unquote(name)) if name != url else PICTURE.sub("", url)
    try:
        if not url:
            raise TooMuch("it stands outside the notebook")
        if url in shown:
            raise TooMuch("it is shown above")
        shown[url] = 0
        if not data:
            raise TooMuch("it is not in the notebook, or neither PNG nor JPEG")
        address, shown[url] = picture(data)
        return f'<img alt="{words}" src="{address}">'
    except TooMuch as why:
        return f"<em>[picture {words or html.escape(name)[:100]}: {why}]</em>".replace(
            "picture :", "picture:"
        )


def picture(text: str) -> tuple[str, int]:
    """The data URL of a picture in base64, and its size in characters. It is looked at, not opened."""
    try:
        data = b64decode("".join(text.split()), validate=True)
    except (NotBase64, ValueError):
        raise TooMuch("it is not written in base64") from None
    if len(data) > MOST_PICTURE:
        raise TooMuch(f"it has {len(data) / 2**20:.0f} MB; at most {MOST_PICTURE // 2**20} are shown")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as found:
            width, height, kind = *found.size, found.format
    except Exception:  # whatever the library says of what is no picture, or of one that is far too large
        raise TooMuch("it is no PNG or JPEG that can be shown") from None
    if width * height > MOST_PIXELS:
        raise TooMuch(f"it has {width} x {height} pixels; at most {MOST_PIXELS:,} are shown")
    address = f"data:image/{str(kind).lower()};base64,{''.join(text.split())}"
    return address, width * height // PIXELS_A_CHARACTER


def coloured(text: str, language: str) -> tuple[str, int]:
    """Code in colours, as nbconvert will do it again: here we see whether it can."""
    magic = HighlightMagicsPreprocessor().which_magic_language(text)
    found = Highlight2HTML(pygments_lexer=language)(text, language=magic)
    if len(found) > MOST_HTML:
        raise TooMuch("it is too long")
    return found, len(found)


KINDS: dict[str, Any] = {
    "markdown": markdown,
    "html": output,
    "code": coloured,
    "picture": picture,
}


def answered(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer to one question. Whoever needs more memory than there is ends the process."""
    kind, text, more = json.loads(raw)
    try:
        found, size = KINDS[kind](text, **more)
    except TooMuch as error:
        return {"why": str(error)}, b""
    except RecursionError:
        return {"why": "it is nested too deeply"}, b""
    except MemoryError:
        raise
    except Exception as error:
        return {"why": f"it cannot be shown ({type(error).__name__})"}, b""
    return {"size": size}, found.encode()


def main(pipe: socket.socket) -> None:
    """Answer until nobody asks any more."""
    sandbox.limit(sandbox.Limits(memory_mb=MEMORY_MB, cpu_s=FOREVER_S))
    wire.send(pipe, {})
    while True:
        try:
            _, raw = wire.receive(pipe)
        except wire.WireError:
            return
        header, found = answered(raw)
        wire.send(pipe, header, found)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
