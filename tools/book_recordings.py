"""The microscope's texts beside the book's pages: a script for each, so that no page carries them all."""

import json
from pathlib import Path

from course_lib.widgets.microscope import TEXTS, recordings

RECORDINGS = "_static/recordings"


def beside(up: str) -> str:
    """Where a page finds the microscope's recordings, as HTML for its end.

    Args:
        up: how to come from the page to the book's top, such as "../".
    """
    files = {text: f"{up}{RECORDINGS}/{name}.js" for name, text in _texts().items()}
    told = json.dumps(files, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="course-recordings">{told}</script>'


def write(book: Path) -> None:
    """Write a script for each recording into the finished book."""
    folder = book / RECORDINGS
    folder.mkdir(parents=True)
    for name, recording in zip(_texts(), recordings(), strict=True):
        text, told = (json.dumps(each, separators=(",", ":")) for each in (recording["text"], recording))
        script = f"(globalThis.courseRecordings ??= {{}})[{text}] = {told};\n"
        (folder / f"{name}.js").write_text(script, encoding="utf-8")


def _texts() -> dict[str, str]:
    """The recorded text by the name of its file."""
    names = (path.name.removesuffix(".json.gz") for path in sorted(TEXTS.glob("*.json.gz")))
    return {name: found["text"] for name, found in zip(names, recordings(), strict=True)}
