"""What a student wrote is rendered in a process with limits: safe, soon, or not at all and said."""

import base64
import json
from typing import Any

import pytest
from course_folder import PNG, picture

from course_lib.grading.results import rendering
from course_lib.grading.results.rendering import Room, TooMuch

JPEG = picture((3, 2), "JPEG")
NESTED = "<div>" * 60 + "x"


@pytest.mark.parametrize(
    ("kind", "text", "more"),
    [
        ("markdown", "a" + " " * 200_000 + "b", {"pictures": {}}),
        ("markdown", "*a **b " * 20_000 + "c** d* " * 20_000, {"pictures": {}}),
        ("html", "<b>" * 200_000, {}),
        ("code", "a." * 100_000, {"language": "ipython3"}),
    ],
)
def test_what_takes_too_long_ends_soon_and_the_next_is_rendered(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, more: dict[str, Any]
) -> None:
    room = Room()
    with monkeypatch.context() as patched:
        patched.setattr(rendering, "TEXT_S", 0.3)
        with pytest.raises(TooMuch, match="it takes too long"):
            room.render(kind, text, **more)
    assert room.seconds < Room().seconds
    assert room.render("html", "<b>next</b>") == "<b>next</b>"


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        ("html", NESTED, "it is nested too deeply"),
        ("markdown", NESTED, "it is nested too deeply"),
        ("html", "<p>a</p>" * 200, "it is too long"),
        ("code", "a = 1\n" * 100, "it is too long"),
        ("markdown", "[a]: https://" + "b" * 100 + "\n\n" + "[a]" * 100, "it is too long"),
    ],
)
def test_what_would_be_too_much_for_others_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, problem: str
) -> None:
    monkeypatch.setattr(rendering, "MOST_HTML", 1000)
    more = {"markdown": {"pictures": {}}, "code": {"language": "ipython3"}}.get(kind, {})
    answer = rendering.answered(json.dumps([kind, text, more]).encode())
    assert answer == ({"why": problem}, b"")


def test_what_needs_too_much_memory_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "TEXT_S", 60.0)
    room = Room(seconds=120.0)
    with pytest.raises(TooMuch, match="it takes too much memory"):
        room.render("markdown", "[a]: https://" + "b" * 300_000 + "\n\n" + "[a]" * 10_000, pictures={})
    assert room.render("html", "next") == "next"


@pytest.mark.parametrize("room", [Room(seconds=0.0), Room(characters=0)])
def test_where_there_is_no_room_nothing_is_rendered(room: Room) -> None:
    with pytest.raises(TooMuch, match="the notebook is too long to show all of it"):
        room.render("html", "x")


def test_a_mistake_of_a_library_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rendering.KINDS, "html", lambda text: 1 / 0)
    question = json.dumps(["html", "x", {}]).encode()
    assert rendering.answered(question) == ({"why": "it cannot be shown (ZeroDivisionError)"}, b"")
    monkeypatch.setitem(rendering.KINDS, "html", lambda text: (_ for _ in ()).throw(RecursionError))
    assert rendering.answered(question) == ({"why": "it is nested too deeply"}, b"")


def rendered(text: str, **pictures: str) -> str:
    return rendering.markdown(text, pictures)[0]


@pytest.mark.parametrize(
    "text",
    ["![a](attachment:x.png)", "<img src='attachment:x.png' width=3 alt=a>", "![a](attachment:x%2Epng)"],
)
@pytest.mark.parametrize(("data", "kind"), [(PNG, "png"), (JPEG, "jpeg"), (PNG + "\n", "png")])
def test_a_pasted_picture_is_shown(text: str, data: str, kind: str) -> None:
    expected = f'<img alt="a" src="data:image/{kind};base64,{data.strip()}">'
    assert expected in rendered(text, **{"x.png": data})


def test_a_picture_within_the_text_is_shown() -> None:
    url = f"data:image/png;base64,{PNG}"
    assert rendered(f"![a]({url})") == f'<p><img alt="a" src="{url}"></p>\n'


@pytest.mark.parametrize(
    ("text", "data", "why"),
    [
        ("![a](attachment:y.png)", PNG, "it is not in the notebook, or neither PNG nor JPEG"),
        ("![a](attachment:x.png)", "%%%", "it is not written in base64"),
        ("![a](attachment:x.png)", "aGVsbG8=", "it is no PNG or JPEG that can be shown"),
        ("![a](attachment:x.png)", picture((3, 2), "GIF"), "it is no PNG or JPEG that can be shown"),
        ("![a](https://example.org/x.png)", PNG, "it stands outside the notebook"),
        ("![a](../x.png)", PNG, "it stands outside the notebook"),
        ("![a](data:image/svg+xml;base64,aGVsbG8=)", PNG, "it stands outside the notebook"),
        ("<img alt=a src=x onerror=alert(1)>", PNG, "it stands outside the notebook"),
        ("![a](attachment:x.png) ![a](attachment:x.png)", PNG, "it is shown above"),
    ],
)
def test_a_picture_that_is_not_shown_leaves_its_words_and_the_reason(text: str, data: str, why: str) -> None:
    page = rendered(f"before {text} **after**", **{"x.png": data})
    assert page.startswith("<p>before ")
    assert page.endswith(f"<em>[picture a: {why}]</em> <strong>after</strong></p>\n")


def test_large_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MOST_PIXELS", 5)
    assert "[picture a: it has 3 x 2 pixels; at most 5 are shown]" in rendered("![a](attachment:x)", x=PNG)
    monkeypatch.setattr(rendering, "MOST_PICTURE", 2**20)
    large = "AAAA" * 2**19
    assert "[picture a: it has 2 MB; at most 1 are shown]" in rendered("![a](attachment:x)", x=large)
    with pytest.raises(
        TooMuch, match="no PNG or JPEG that can be shown"
    ):  # of 400 million pixels in a few bytes
        rendering.picture(bomb())


def bomb() -> str:
    """A PNG whose header says that it is huge."""
    data = bytearray(base64.b64decode(PNG))
    data[16:24] = (20_000).to_bytes(4) + (20_000).to_bytes(4)
    return base64.b64encode(data).decode()


def test_hints_are_open_and_colours_stay() -> None:
    page = rendered("<details><summary>Hint</summary>\n\nA text.\n\n</details>\n\n```python\nx = 1\n```")
    assert "<details open><summary>Hint</summary>\n\n<p>A text.</p>" in page
    assert '<span class="n">x</span>' in page
