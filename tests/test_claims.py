"""The ledger is well formed, verdicts are never granted unseen, and every claim is judged where it says."""

import html
import importlib
import inspect
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import nbformat
import pytest
from scipy.stats import ttest_1samp

from course_lib import claims
from course_lib.claims import (
    Claim,
    ClaimError,
    Evidence,
    Label,
    Run,
    Trained,
    interval,
    judge,
    judging_cells,
    load,
    verdict,
)

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MEASURED = """
- id: quick
  at: "6:08"
  kind: measured
  says: It is quick.
  show: A race.
  rival: The loop.
  caveat: On two cores.
  only_if: it is short
  decides: wait
  against: by_loop
  evidence:
    fair:
      equal: {says: "both had {:.0f} weights", low: 100, high: 100}
    said:
      worst: {says: "the slowest run is right in {:.0%} of cases", low: 0.95}
      wait: {says: "it takes {:.2f} seconds", high: 0.6}
    limit:
      long: {says: "for a long text {:.2f} seconds", low: 2}
    rival:
      by_loop: {says: "the loop takes {:.2f} seconds", high: 0.6}
    besides:
      cores: {says: "on {:.0f} cores", low: 2, high: 2}
"""
BY_CONSTRUCTION = """
- {id: sum, at: "8:35", kind: construction, says: It sums to 1., show: s,
   evidence: {said: {error: {says: "largest error {:.1g}", low: 0, high: 1.0e-6}}}}
"""
GOOD = {"equal": 100, "worst": 0.97, "wait": 0.5, "long": 1.5, "by_loop": 0.9, "cores": 2}


def written(folder: Path, text: str, concept: str = "c03_qkv") -> Path:
    """The folder, with the claims of one concept in it."""
    (folder / concept).mkdir()
    (folder / concept / "claims.yml").write_text(text)
    return folder


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Claim]:
    """A ledger of two claims in place of the course's."""
    entries = load(written(tmp_path, MEASURED + BY_CONSTRUCTION))
    monkeypatch.setattr(claims, "load", lambda: entries)
    return entries


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    objects: list[object] = []
    monkeypatch.setattr("IPython.display.display", objects.append)
    return objects


def notebook(path: Path, *cells: str) -> Path:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell, id=f"cell-{i}") for i, cell in enumerate(cells)]
    )
    nbformat.write(book, path)
    return path


def test_the_ledger_lists_the_claims_of_the_lecture():
    ledger = load()
    assert len(ledger) == 63
    for claim in ledger.values():
        assert claim.says
        assert claim.show
        minutes, seconds = claim.at.split(":")
        assert 0 <= 60 * int(minutes) + int(seconds) < 20 * 60


def test_every_sentence_is_written_for_a_reader():
    for claim in load().values():
        for evidence in claim.evidence.values():
            assert len(evidence.says.split()) >= 4, f"{claim.id}: {evidence.says!r} is not a sentence"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_notebook_judges_exactly_its_claims_once(path):
    own = sorted(claim.id for claim in load().values() if claim.notebook == path.stem)
    assert sorted(claim for claim, _ in judging_cells(path)) == own


def test_every_claim_belongs_to_one_notebook_of_the_course():
    assert {claim.notebook for claim in load().values()} == {path.stem for path in NOTEBOOKS.glob("0*.ipynb")}


# ------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    ("changed", "label"),
    [
        ({}, "true"),
        ({"cores": 1}, "true"),
        ({"by_loop": 0.5}, "true, not the only way"),
        ({"long": 2.0}, "only if it is short"),
        ({"long": 2.0, "by_loop": 0.5}, "only if it is short"),
        ({"wait": 0.7}, "wrong as said"),
        ({"worst": float("nan")}, "wrong as said"),
        ({"worst": 0.9, "long": 2.0}, "wrong as said"),
        ({"equal": 99}, "not tested here"),
        ({"equal": 99, "wait": 0.7}, "not tested here"),
    ],
)
def test_a_label_is_computed_from_the_numbers(ledger, changed, label):
    assert judge("quick", **(GOOD | changed)).words == label


def test_what_has_no_evidence_is_not_tested(shown):
    assert Claim("a", "03_qkv", "0:00", "measured", "It is so.", "s").label({}) == Label.NOT_TESTED


def test_the_numbers_come_from_what_an_experiment_found_or_one_by_one(ledger):
    found = SimpleNamespace(**{**GOOD, "raw": [1, 2]})
    assert judge("quick", found).numbers == {name: float(number) for name, number in GOOD.items()}
    assert judge("quick", found, wait=0.55).numbers["wait"] == 0.55


# ------------------------------------------------------------------------------------------ the box


def test_the_box_has_one_number_the_rivals_beside_it_a_caveat_and_the_label(ledger, shown):
    verdict("quick", **(GOOD | {"wait": 0.512}))
    (judgement,) = shown
    assert repr(judgement).split("\n") == [
        "Lecture, 6:08: It is quick.",
        "  It takes 0.51 seconds.",
        "  The loop takes 0.90 seconds.",
        "On two cores.",
        "→ true",
    ]
    page = judgement._repr_html_()
    shown_at_once, folded = page.split("<details>")
    assert "It takes 0.51 seconds. The loop takes 0.90 seconds." in shown_at_once
    assert "97 %" not in shown_at_once
    assert (
        "the slowest run is right in 97 % of cases (at least 95 % would say that it is as the lecture says)"
        in folded
    )
    assert "Rival: The loop." in folded


def test_a_check_says_its_one_number(ledger, shown):
    verdict("sum", error=1e-7)
    lines = ["Lecture, 8:35: It sums to 1.", "  Largest error 1e-07.", "→ true by construction, checked"]
    assert repr(shown[0]) == "\n".join(lines)


def test_what_came_out_is_recorded_where_asked(ledger, shown, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_LEDGER", str(tmp_path / "ledger.jsonl"))
    verdict("quick", **(GOOD | {"wait": 0.9}))
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "claim": "quick",
        "label": "wrong as said",
        "missed": ["wait", "long", "by_loop"],
        "evidence": {**GOOD, "wait": 0.9},
    }


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({**GOOD, "worst": [1, 1]}, r"one number for worst; it came as \[1, 1\]"),
        ({"worst": 1.0}, "the evidence that came is worst"),
        ({**GOOD, "speed": 3}, "cores; the evidence that came is .*speed"),
    ],
)
def test_numbers_that_are_not_the_claims_are_refused(ledger, shown, tmp_path, monkeypatch, evidence, message):
    monkeypatch.setenv("COURSE_LEDGER", str(tmp_path / "ledger.jsonl"))
    with pytest.raises(ClaimError, match=f"claim 'quick' .*{message}"):
        verdict("quick", **evidence)
    assert shown == []
    assert not (tmp_path / "ledger.jsonl").exists()


def test_without_numbers_what_is_on_record_is_shown(ledger, shown, monkeypatch):
    with pytest.raises(ClaimError, match="no run of the claim 'quick' is on record"):
        verdict("quick")
    claim = claims.load()["quick"]
    found = [
        Run("quick", {**GOOD, "wait": wait}, "2026-05-01", "first", seed, bounds=claim.bounds)
        for seed, wait in enumerate((0.5, 0.4, 0.9, 0.55))
    ]
    monkeypatch.setattr(claims, "runs", lambda: {"quick": found})
    verdict("quick")
    said = '3 of 4 runs agree, each with other random numbers; 1 says "wrong as said" (2026-05-01).'
    assert "From the record: 3 of 4 runs agree." in repr(shown[0])
    assert html.escape(said) in shown[0]._repr_html_()
    assert "1 of 6 numbers differ between the runs." in shown[0]._repr_html_()
    assert (shown[0].label, shown[0].numbers["wait"]) == (Label.TRUE, 0.5)


# ------------------------------------------------------------------------------------------ what a rival gets


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 100, "rival_steps": 299}, "at least three times 100 steps; it gets 299"),
        (
            {"steps": 100, "rival_steps": 300, "widths": (16,), "rates": (0.1, 0.3)},
            "two widths and two rates",
        ),
        ({"steps": 100, "rival_steps": 300, "widths": (16, 32)}, "two widths and two rates .*rates ()"),
        ({"steps": 100, "rival_steps": None}, "two widths and two rates"),
    ],
)
def test_a_rival_that_gets_less_is_refused(given, message):
    with pytest.raises(ClaimError, match=message):
        Trained(**given)


def test_what_a_rival_got_is_said():
    trained = Trained(150, 1500, widths=(16, 32), rates=(0.001, 0.01))
    assert str(trained) == "The rival got 1,500 steps beside 150; widths 16, 32; rates 0.001, 0.01."
    same = Trained(150, 450, but="Its width is that of what it reads.")
    assert str(same) == "The rival got 450 steps beside 150. Its width is that of what it reads."
    still = Trained(150, None, but="It counts all that there is.")
    assert str(still) == "The rival does not learn. It counts all that there is."


def names_in(code: CodeType) -> Iterator[str]:
    """All names in the code of a function, those of functions and comprehensions within it too."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names_in(inner)


def learns(function: Callable[..., Any], seen: set[Any]) -> bool:
    """Whether a function of a concept's experiments trains anything, by itself or by others that it calls."""
    names = set(names_in(function.__code__))
    if names & {"train", "AdamW", "Adam", "SGD", "Muon", "backward", "fit"}:
        return True
    if any(name.startswith("train_") for name in names):  # of the library's
        return True
    seen.add(function)
    called = [inspect.unwrap(one) for one in map(function.__globals__.get, names) if callable(one)]
    called += [method for one in called if inspect.isclass(one) for method in vars(one).values()]
    own = [one for one in called if isinstance(one, FunctionType) and ".experiments" in one.__module__]
    return any(learns(one, seen) for one in own if one not in seen)


@pytest.mark.parametrize("claim", [one for one in load().values() if one.experiment], ids=lambda one: one.id)
def test_an_experiment_in_which_models_learn_says_what_the_rival_got(claim):
    module = importlib.import_module(f"course_lib.concepts.c{claim.notebook}.experiments")
    experiment = getattr(module, claim.experiment)
    asked = claim.kind == "measured" and learns(inspect.unwrap(experiment), set())
    assert asked <= hasattr(experiment, "trained")


def test_an_unknown_claim_is_refused(shown):
    with pytest.raises(ClaimError, match="no claim 'mlp-blnd'; did you mean 'mlp-blind'"):
        verdict("mlp-blnd", **GOOD)


# ------------------------------------------------------------------------------------------ the sentences


@pytest.mark.parametrize(
    ("says", "low", "high", "words"),
    [
        ("{:.0f} runs", 1.0, 2.0, "1 to 2"),
        ("{:.1%}", 0.02, float("inf"), "at least 2.0 %"),
        ("{:.0f}", float("-inf"), 3.0, "at most 3"),
        ("{:.3g} of 5", 4.0, 4.0, "only 4"),
    ],
)
def test_ranges_are_said_in_words(says, low, high, words):
    assert Evidence(says, low, high).needed() == words


@pytest.mark.parametrize(
    ("says", "number", "sentence"),
    [
        ("to the power {:.2f}", -0.004, "to the power 0.00"),
        ("by {:+.0%} in 10 runs", -0.001, "by +0 % in 10 runs"),
        ("by {:+.1f} points", -0.06, "by -0.1 points"),
        ("by {:.0e} of it", -2e-9, "by -2e-09 of it"),
    ],
)
def test_no_minus_stands_before_a_zero(says, number, sentence):
    assert Evidence(says, low=-1.0).sentence(number) == sentence


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([0.5], "50 %"), ([0.52, 0.5, 0.611], "50 % to 61 %"), ([0.501, 0.499], "50 %")],
)
def test_how_far_numbers_lie_apart_is_said_in_words(numbers, words):
    assert Evidence("{:.0%} right", low=0.4).spread(numbers) == words


@pytest.mark.parametrize(
    ("says", "limits", "message"),
    [
        ("{:.2f} of {:.2f}", {"low": 0.0}, "cannot be filled"),
        ("no number", {"low": 0.0}, "one place for its number"),
        ("{name}", {"low": 0.0}, "cannot be filled"),
        ("{:.2q}", {"low": 0.0}, "cannot be filled"),
        ("{", {"low": 0.0}, "cannot be filled"),
        ("{:.2f}", {}, "accepts any number"),
        (
            "{:.2f}",
            {"low": 1.0, "high": 0.0},
            "the lowest value has to be below the highest; got 1.0 and 0.0",
        ),
    ],
)
def test_evidence_that_cannot_be_used_is_refused(says, limits, message):
    with pytest.raises(ClaimError, match=message):
        Evidence(says, **limits)


FIELDS = "id: a, at: '0:00', says: s"
JUDGED = "evidence: {said: {x: {says: '{:.1f} of it all', low: 0}}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"- {{{FIELDS}, kind: measured}}", "is not a claim: .*'show'"),
        (f"- {{{FIELDS}, kind: measured, show: s, wrong: 1}}", "is not a claim: .*'wrong'"),
        (2 * f"- {{{FIELDS}, kind: measured, show: s}}\n", "the id 'a' is taken"),
        (
            f"- {{{FIELDS}, kind: guessed, show: s}}",
            "kind must be one of measured, construction; got 'guessed'",
        ),
        (f"- {{{FIELDS}, kind: measured, show: s, {JUDGED}}}", "needs the rival"),
        (f"- {{{FIELDS}, kind: construction, show: s, decides: y, {JUDGED}}}", "one of x; got 'y'"),
        (f"- {{{FIELDS}, kind: construction, show: s, only_if: y, {JUDGED}}}", "need each other"),
        (f"- {{{FIELDS}, kind: construction, show: s, {JUDGED.replace('said', 'limit')}}}", "no number says"),
        (
            f"- {{{FIELDS}, kind: construction, show: s, {JUDGED.replace('said', 'seen')}}}",
            "one of fair, said",
        ),
        (f"- {{{FIELDS}, kind: measured, show: s, evidence: {{said: {{x: [0, 1]}}}}}}", "is not a claim"),
        (
            f"- {{{FIELDS}, kind: measured, show: s, evidence: {{said: {{x: {{says: 's', low: 0}}}}}}}}",
            "one place",
        ),
    ],
)
def test_a_malformed_ledger_is_refused(tmp_path, text, message):
    with pytest.raises(ClaimError, match=f"^c03_qkv/claims.yml.*{message}"):
        load(written(tmp_path, text))


def test_an_id_is_one_claims_in_all_concepts(tmp_path):
    text = f"- {{{FIELDS}, kind: measured, show: s}}"
    written(tmp_path, text, "c02_patches")
    with pytest.raises(ClaimError, match=r"c03_qkv/claims\.yml: the id 'a' is taken"):
        load(written(tmp_path, text))


def test_judging_cells_are_found_without_running_them(tmp_path):
    book = notebook(
        tmp_path / "a.ipynb",
        "%matplotlib inline\nraise SystemExit",
        "verdict('one', x=1)\nif True:\n    claims.verdict('two')",
        "text = \"verdict('not-code')\"",
        "verdict('one', x=2)",
    )
    assert [claim for claim, _ in judging_cells(book)] == ["one", "two", "one"]


def test_judging_cells_with_a_claim_that_is_not_spelt_out_are_refused(tmp_path):
    book = notebook(tmp_path / "a.ipynb", "verdict(name, x=1)")
    with pytest.raises(ClaimError, match=r"a.ipynb: .* not verdict\(name, x=1\)"):
        judging_cells(book)


# ------------------------------------------------------------------------------------------ intervals


def test_an_interval_is_scipys_and_has_no_ends_for_fewer_than_two_numbers():
    numbers = [0.1, 0.5, 0.2, 0.7, 0.4]
    assert interval(numbers) == pytest.approx(tuple(ttest_1samp(numbers, 0).confidence_interval(0.9)))
    assert interval([0.3, 0.3]) == (0.3, 0.3)
    assert interval(numbers[:1]) == interval([]) == (-math.inf, math.inf)
