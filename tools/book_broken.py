"""The book's gallery of broken models: what SmolLM2 says with each mistake that the exercises know.

`store_broken.py` lets them speak and stores what they say.
"""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from course_lib.checks import find_task, tasks
from course_lib.concepts.c09_real_models.capstone.parts import QUESTION
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "book" / "broken.json"
CODE = re.compile(r"`([^`]+)`")
LEADS = """# Broken models

A chat model is asked: *{question}* Whole, it says: *{sound}* Then one of its ten parts is replaced with a
wrong one, and it speaks again, 16 tokens at most. The mistakes are those that the exercises know by name. Of
{n_all} broken models {n_same} say the same as before: a right answer does not prove a right model.
"""


def said(found: Mapping[str, str]) -> str:
    """What a broken model says, on one line, as HTML.

    Example:
        >>> said({"says": "a <b>\\nc"}), said({"says": ""}), said({"stops": "ValueError: one"})
        ('<code>a &lt;b&gt; ↵ c</code>', 'nothing', 'stops: ValueError: one')
    """
    if "stops" in found:
        return f"stops: {html.escape(found['stops'])}"
    return (
        f"<code>{html.escape(found['says'].replace(chr(10), ' ↵ '))}</code>" if found["says"] else "nothing"
    )


def section(part: str, sound: str, mistakes: Mapping[str, Mapping[str, str]]) -> str:
    """What is to be read of one part: the mistakes that change what is said, and the names of the others."""
    name = PARTS[part].task
    folder = name.split("/")[0]
    words = tasks.words(folder)[name]
    address = f"notebooks/{folder}.ipynb#{words.section.replace(' ', '-')}"
    hints = {
        known.name: CODE.sub(r"<code>\1</code>", html.escape(known.hint))
        for known in find_task(name).misconceptions
    }
    same = [mistake for mistake, found in mistakes.items() if found.get("says") == sound]
    rows = [
        f"<tr><td>{hints[mistake]}</td><td>{said(found)}</td></tr>"
        for mistake, found in mistakes.items()
        if mistake not in same
    ]
    lines = [
        f"## {words.title}",
        f"[{folder[:2]}, {words.section}](<{address}>). Whole it says: *{sound.strip()}*",
        '<table class="course-broken"><thead>',
        "<tr><th>what is wrong</th><th>what it says</th></tr></thead><tbody>",
        *rows,
        "</tbody></table>",
    ]
    if same:
        lines.append(f"\nNothing changes here with: {'; '.join(same)}.")
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:])


def lay_ready(source: Path) -> None:
    """Write the page into a folder of Sphinx's source."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    pairs = [(found["sound"], each) for found in stored.values() for each in found["mistakes"].values()]
    lead = LEADS.format(
        question=QUESTION,
        sound=stored["tokenizer"]["sound"],
        n_all=len(pairs),
        n_same=sum(each.get("says") == sound for sound, each in pairs),
    )
    parts = [section(part, found["sound"], found["mistakes"]) for part, found in stored.items()]
    (source / "broken.md").write_text("\n\n".join([lead, *parts]) + "\n", encoding="utf-8")
