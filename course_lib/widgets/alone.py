"""Widgets on a page that has neither a kernel nor a network: explorers and predictions stay alive.

The page holds the widgets' state as a notebook saves it, and `alone.js`, which shows each in its place.
Exported notebooks are such pages (`course_lib.export`); `page` makes one of explorers alone.
"""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.widgets.explorer import Explorer

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
STYLE = """
html { color-scheme: light dark; }
body { max-width: 62rem; margin: 0 auto; background: light-dark(#ffffff, #111418); }
"""


def loader() -> str:
    """What shows the widgets of a page, as HTML for its end."""
    saved, script, style = (
        Path(__file__).with_name(name).read_text(encoding="utf-8")
        for name in ("saved.js", "alone.js", "alone.css")
    )
    return f'<style>\n{style}</style>\n<script type="module">\n{saved}\n{script}</script>'


def page(explorers: Sequence["Explorer"], title: str) -> str:
    """A page of its own that shows these explorers as they are now, in this order."""
    from ipywidgets import Widget

    views = [
        f"<div>{data(VIEW, {'model_id': each.model_id, 'version_major': 2, 'version_minor': 0})}</div>"
        for each in explorers
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{"".join(views)}
</main>
{data(STATE, Widget.get_manager_state(widgets=explorers))}
{loader()}
</body>
</html>
"""


def data(kind: str, content: Any) -> str:
    """JSON within a page; whatever it says, it cannot end the script around it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="{kind}">{text}</script>'
