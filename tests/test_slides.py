"""Which cells the decks name, and how slides come about; `make slides` looks at the slides themselves."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import make_book
import make_slides
import nbformat
import pytest
from make_slides import Deck, Lesson, Slide, SlideError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import ledger
from course_lib.claims import Label
from course_lib.widgets.alone import STATE, VIEW

DECKS = {deck.name: deck for deck in make_slides.decks()}
LESSONS = {
    path.stem: Lesson(path.stem, nbformat.read(path, as_version=4))
    for path in make_slides.NOTEBOOKS.glob("*.ipynb")
}
SAYS = json.dumps({"one": {"text": "✓ You said: one. The result: 1.", "colour": "#009E73"}})


def made_up() -> Lesson:
    """A lesson of one question, after it has run."""
    views = [{VIEW: {"model_id": name}} for name in ("asked", "seen")]
    box = f"<div class='course-outcome' data-asked='asked' data-says='{SAYS}' style=''>The result</div>"
    told = {"text/html": box, "text/plain": "The result: 1 of nine. (You made no prediction.)"}
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# 03 A lesson: how does *it* work?\n\nWords in front.", id="title"),
            new_markdown_cell("One key is 1.5. Now a sum. **How many of *nine* change?**", id="question"),
            new_code_cell(
                "predict('n', {'one': 1})", id="asks", outputs=[new_output("display_data", views[0])]
            ),
            new_code_cell("outcome('n', 1)\nprint()", id="told", outputs=[new_output("display_data", told)]),
            new_markdown_cell("One. <details>hidden</details>\n\n1. First.\n2. Second.", id="why"),
            new_code_cell("Explorer()", id="explorer", outputs=[new_output("display_data", views[1])]),
            new_code_cell("print(a)", id="prints", outputs=[new_output("stream", text="a\n\nb <c>\n")]),
            new_markdown_cell("The end.", id="end"),
        ]
    )
    answers = {"model_name": "RadioButtonsModel", "state": {"layout": "IPY_MODEL_wide"}}
    state = {"asked": answers, "wide": {"state": {}}, "seen": {"model_name": "AnyModel", "state": {}}}
    notebook.metadata["widgets"] = {STATE: {"state": state}}
    return Lesson("03_made_up", notebook)


def slide(**told: Any) -> Slide:
    return Slide("03_made_up", 4, {"title": "A *title*", **told}, "03_made_up")


def shown(**told: Any) -> Mapping[str, str]:
    return slide(**told).html(made_up())


# ------------------------------------------------------------------------------------------------- the decks


def test_there_is_a_deck_for_each_lesson_and_one_for_the_lecture() -> None:
    assert set(DECKS) == {*LESSONS, make_slides.LECTURE}
    assert next(iter(DECKS)) == make_slides.LECTURE
    for name in LESSONS:
        assert 10 <= len(DECKS[name].slides()) + 1 <= 20, name


@pytest.mark.parametrize("name", DECKS)
def test_every_cell_and_claim_that_a_deck_names_is_there(name: str) -> None:
    for each in DECKS[name].slides():
        for cell in each.cells():
            LESSONS[each.lesson].cell(cell)
        for claim in each.claims():
            make_slides.on_record(claim)
        assert each.notes(LESSONS.get(each.lesson) or made_up()).strip(), each.told["title"]


@pytest.mark.parametrize("name", DECKS)
def test_titles_are_short_sentences_and_none_comes_twice(name: str) -> None:
    titles = [each.told["title"] for each in DECKS[name].slides()]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if len(title) > 75 or re.search(r"[^.]\.$", title)] == []


@pytest.mark.parametrize("name", LESSONS)
def test_every_question_of_a_deck_is_answered_on_a_later_slide(name: str) -> None:
    asked: dict[str, int] = {}
    answered: dict[str, int] = {}
    for each in DECKS[name].slides():
        for part, told in each.parts():
            if part in ("predict", "outcome"):
                pattern, where = (
                    (make_book.QUESTION, asked) if part == "predict" else (make_book.OUTCOME, answered)
                )
                (question,) = pattern.findall(LESSONS[name].cell(told["cell"]).source)
                where[question] = each.number
    assert asked.keys() == answered.keys()
    assert all(asked[question] < answered[question] for question in asked)


def test_the_lecture_goes_through_its_minutes_and_says_what_is_wrong() -> None:
    *slides, not_tested, wrong = DECKS[make_slides.LECTURE].slides()
    times = [
        ledger.seconds(make_slides.on_record(name).claim.at) for each in slides for name in each.claims()
    ]
    assert times == sorted(times)
    labels = {name: make_slides.on_record(name).label for name in make_slides.claims.load()}
    for each, label in ((wrong, Label.WRONG), (not_tested, Label.NOT_TESTED)):
        assert set(each.claims()) == {name for name, found in labels.items() if found == label}


# ------------------------------------------------------------------------------------------------- the slides


def test_a_question_and_what_came_out() -> None:
    lesson = made_up()
    asks = slide(predict="asks").html(lesson)
    assert asks["title"] == "A <em>title</em>"
    assert '<p class="question">How many of <em>nine</em> change?</p>' in asks["body"]
    assert '"model_id":"asked"' in asks["body"]
    assert "Now a sum." in asks["notes"]
    came = slide(outcome="told").html(lesson)
    assert '<p class="asked">How many of <em>nine</em> change?</p>' in came["body"]
    assert '<p class="result">1 of nine</p>' in came["body"]
    assert "The result</div>" not in came["body"]  # said only to who has chosen
    assert "First." in came["notes"]
    assert "hidden" not in came["notes"]
    assert set(lesson.saved(lesson.shown)) == {"asked", "wide"}


def test_a_question_may_be_led_to() -> None:
    assert "Now a sum. How many" in shown(predict={"cell": "asks", "begins": "Now a sum"})["body"]
    several = shown(predict={"cell": "asks", "begins": ["One key", "How many"]})["body"]
    assert "One key is 1.5. How many" in several


def test_text_code_and_what_is_printed() -> None:
    assert "<p>Now a sum.</p>" in shown(says={"cell": "question", "begins": "Now"})["body"]
    assert "<li>First.</li><li>Second.</li>" in shown(list="why")["body"]
    assert "a\nb &lt;c&gt;</pre>" in shown(printed="prints")["body"]
    assert ">b &lt;c&gt;</pre>" in shown(printed={"cell": "prints", "lines": [2]})["body"]
    code = shown(code={"cell": "told", "lines": [1]})["body"]
    assert "outcome" in code
    assert "print" not in code


def test_an_explorer_has_a_page_and_a_state_of_its_own() -> None:
    lesson = made_up()
    body = slide(explorer="explorer").html(lesson)["body"]
    assert "srcdoc" in body
    assert "&quot;seen&quot;:{" in body
    assert "&quot;asked&quot;" not in body
    assert lesson.shown == set()


def test_a_claim_has_its_words_from_the_ledger_and_its_label_behind_a_key() -> None:
    entry = make_slides.on_record("cls-needed")
    told = shown(claim="cls-needed")
    statement, _, behind = told["body"].partition('class="fragment')
    assert entry.claim.says in statement
    assert "Wrong as said" not in statement
    assert "Wrong as said" in behind
    assert "Rival: " in told["notes"]
    assert shown(statements=["cls-needed", "causal"])["body"].count("<tr>") == 2
    counted = re.findall(r"<tr><td>(\d+)</td>", shown(labels=[])["body"])
    assert sum(map(int, counted)) == len(make_slides.claims.load())


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"figure": "prinst"}, "has no cell 'prinst'; did you mean 'prints'?"),
        ({"figure": "prints"}, "cell 'prints' of notebooks/03_made_up.ipynb shows no figure"),
        ({"explorer": "asks"}, "shows no explorer"),
        ({"predict": "told"}, "shows no prediction"),
        ({"outcome": "prints"}, "shows no outcome"),
        ({"says": {"cell": "why", "begins": "Nine"}}, "no sentence of cell 'why' begins with 'Nine'"),
        ({"list": "end"}, "cell 'end' has no numbered lines"),
        ({"printed": "why"}, "cell 'why' of notebooks/03_made_up.ipynb is markdown, not code"),
        ({"printed": {"cell": "prints", "lines": [3]}}, r"2 lines are printed; asked for \[3\]"),
        ({"drawing": "why"}, "cell 'why' has 0 pictures; asked for number 1"),
        ({"claim": "cls-neded"}, "the ledger has no claim 'cls-neded'; did you mean 'cls-needed'?"),
        ({"notes": "nowhere", "printed": "prints"}, "has no cell 'nowhere'"),
        ({"figures": "prints"}, "figures: a slide has title, lesson"),
        ({"printed": {"cell": "prints", "rows": 1}}, "a part names its cell"),
        ({}, "a slide has a title and something to show"),
    ],
)
def test_what_is_not_there_is_said_with_deck_and_slide(told: dict[str, Any], said: str) -> None:
    with pytest.raises(SlideError, match=rf"^book/slides/03_made_up\.yml, slide 4 \(A \*title\*\): .*{said}"):
        shown(**told)


def test_what_cannot_be_read_from_the_last_row_is_refused() -> None:
    with pytest.raises(SlideError, match="40 lines of up to 3 letters are too much for a slide"):
        make_slides.sized(["abc"] * 40)
    assert 'size: 30.0px">a\n&lt;' in make_slides.sized(["a", "<"])


def test_a_deck_opens_with_its_lessons_title_and_question(tmp_path, monkeypatch) -> None:
    kept = tmp_path / "kept.ipynb"
    nbformat.write(made_up().notebook, kept)
    monkeypatch.setattr(make_slides.executed, "executed", lambda path: kept)
    told = {"slides": [{"title": "Now", "predict": "asks"}, {"title": "Then", "outcome": "told"}]}
    make_slides.write(tmp_path / "slides", [Deck("03_made_up", told)])
    page = (tmp_path / "slides" / "03_made_up.html").read_text("utf-8")
    assert "<title>03 A lesson</title>" in page
    assert "How does <em>it</em> work?" in page
    assert page.count("<section") == 3
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", page.partition('<script type="module">')[0])
    (link,) = re.findall(r'<a href="([^"]+)"', (tmp_path / "slides" / "index.html").read_text("utf-8"))
    assert link == "03_made_up.html"
    for name in re.findall(r'(?:href|src)="([\w./]+\.(?:js|css))"', page):
        assert (tmp_path / "slides" / name).exists()


def test_reveal_is_what_its_package_has() -> None:
    folder = make_slides.DECKS / "reveal"
    sums = re.findall(r"^(\w{64})  (\S+)$", (folder / "SHA256SUMS").read_text("utf-8"), re.MULTILINE)
    assert {name for _, name in sums} == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
