"""The ledger is complete, verdicts are never granted unseen, and every claim is judged where it says."""

import json
from pathlib import Path

import nbformat
import pytest

from course_lib import claims
from course_lib.claims import Claim, ClaimError, judged_in, load, verdict, write_ledger

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
GOOD = {"best_with_mlps_alone": 0.5, "worst_with_attention": 1.0}


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


def test_the_ledger_lists_every_claim_of_the_lecture():
    ledger = load()
    assert len(ledger) == 60
    assert all(claim.says and claim.show and claim.at and claim.notebook for claim in ledger.values())
    minutes = [
        int(at.split(":")[0]) * 60 + int(at.split(":")[1]) for at in (claim.at for claim in ledger.values())
    ]
    assert all(0 <= minute < 20 * 60 for minute in minutes)


def test_every_criterion_has_a_verdict_and_every_corrected_verdict_a_caveat():
    judged = [claim for claim in load().values() if claim.criterion]
    assert len(judged) >= 13
    for claim in judged:
        assert claim.verdict in claims.VERDICTS
        assert bool(claim.caveat) or claim.verdict == "holds", claim.id


def test_no_criterion_accepts_everything():
    for claim in load().values():
        for name, (low, high) in claim.criterion.items():
            assert (low, high) != (float("-inf"), float("inf")), f"{claim.id}: {name} accepts any number"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_notebook_judges_exactly_its_claims_once(path):
    own = sorted(claim.id for claim in load().values() if claim.notebook == path.stem)
    assert sorted(judged_in(path)) == own


def test_every_claim_belongs_to_one_notebook_of_the_course():
    numbers = {claim.notebook[:2] for claim in load().values()}
    assert numbers == {f"{number:02}" for number in range(10)}
    assert len({claim.notebook for claim in load().values()}) == 10


def test_verdict_shows_claim_time_number_and_need(shown):
    verdict("mlp-blind", **GOOD)
    (judgement,) = shown
    text, page = repr(judgement), judgement._repr_html_()
    for part in (
        "(6:08)",
        "With MLPs alone",
        "Verdict: holds",
        "best with mlps alone: 0.5 (needed: 0.4 to 0.6)",
    ):
        assert part in text
    assert "<strong>Verdict: holds</strong>" in page


def test_verdict_shows_the_caveat(shown):
    verdict("softmax-importance", first=13, second=78, third=7, printed_sum=98, largest_row_error=1e-16)
    assert "Verdict: holds, with a caveat" in repr(shown[0])
    assert "Caveat: The printed figures are rounded down" in repr(shown[0])
    assert "Caveat: The printed figures are rounded down" in shown[0]._repr_html_()


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({**GOOD, "best_with_mlps_alone": 0.9}, "best_with_mlps_alone came as 0.9, needed 0.4 to 0.6"),
        (
            {**GOOD, "worst_with_attention": float("nan")},
            "worst_with_attention came as nan, needed 0.95 to 1",
        ),
        (
            {**GOOD, "worst_with_attention": [1, 1]},
            r"one number for worst_with_attention; it came as \[1, 1\]",
        ),
        ({"worst_with_attention": 1.0}, "the evidence that came is worst_with_attention"),
        (
            {**GOOD, "speed": 3},
            "best_with_mlps_alone, worst_with_attention; the evidence that came is .*speed",
        ),
        ({}, "the evidence that came is empty"),
    ],
)
def test_verdict_refuses_evidence(shown, tmp_path, monkeypatch, evidence, message):
    monkeypatch.setenv("COURSE_LEDGER", str(tmp_path / "ledger.jsonl"))
    with pytest.raises(ClaimError, match=f"claim 'mlp-blind' .*{message}"):
        verdict("mlp-blind", **evidence)
    assert shown == []
    assert not (tmp_path / "ledger.jsonl").exists()


def test_verdict_refuses_unknown_and_unjudged_claims(shown):
    with pytest.raises(ClaimError, match="no claim 'mlp-blnd'; did you mean 'mlp-blind'"):
        verdict("mlp-blnd", **GOOD)
    unjudged = Claim("quadratic", "13:04", "", "", "")
    with pytest.raises(ClaimError, match="claim 'quadratic' has no criterion"):
        unjudged.judge({"exponent": 2.0})


def test_ranges_are_said_in_words():
    inf = float("inf")
    claim = Claim(
        "a",
        "0:00",
        "",
        "",
        "",
        criterion={"a": (1.0, 2.0), "b": (2.0, inf), "c": (-inf, 3.0), "d": (4.0, 4.0)},
    )
    assert [claim.needed(name) for name in "abcd"] == ["1 to 2", "at least 2", "at most 3", "4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {id: a, at: '0:00', notebook: n, says: s}", "is not a claim: .*'show'"),
        ("- {id: a, at: '0:00', notebook: n, says: s, show: s, wrong: 1}", "is not a claim: .*'wrong'"),
        (2 * "- {id: a, at: '0:00', notebook: n, says: s, show: s}\n", "lists the claim 'a' twice"),
        (
            "- {id: a, at: '0:00', notebook: n, says: s, show: s, criterion: {x: [0, 1]}}",
            "must be one of holds",
        ),
        ("- {id: a, at: '0:00', notebook: n, says: s, show: s, criterion: {x: [1, 0]}}", r"it has \[1, 0\]"),
        ("- {id: a, at: '0:00', notebook: n, says: s, show: s, criterion: {x: 1}}", "it has 1"),
    ],
)
def test_a_malformed_ledger_is_refused(tmp_path, text, message):
    path = tmp_path / "claims.yml"
    path.write_text(text)
    with pytest.raises(ClaimError, match=message):
        load(path)


def test_judged_in_reads_code_without_running_it(tmp_path):
    book = notebook(
        tmp_path / "a.ipynb",
        "%matplotlib inline\nraise SystemExit",
        "verdict('one', x=1)\nif True:\n    claims.verdict('two')",
        "text = \"verdict('not-code')\"",
        "verdict('one', x=2)",
    )
    assert judged_in(book) == ["one", "two", "one"]


def test_judged_in_refuses_a_claim_that_is_not_spelt_out(tmp_path):
    book = notebook(tmp_path / "a.ipynb", "verdict(name, x=1)")
    with pytest.raises(ClaimError, match=r"a.ipynb: .* not verdict\(name, x=1\)"):
        judged_in(book)


def test_the_ledger_page_links_each_verdict_to_its_cell(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_LEDGER", str(tmp_path / "ledger.jsonl"))
    verdict("mlp-blind", best_with_mlps_alone=0.45, worst_with_attention=0.96)
    verdict("mlp-blind", **GOOD)
    (tmp_path / "notebooks").mkdir()
    notebook(tmp_path / "notebooks" / "03_qkv.ipynb", "1 + 1", "verdict('mlp-blind')")
    write_ledger(tmp_path / "ledger.jsonl", tmp_path / "page.md", tmp_path / "notebooks")
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "1 of 60 claims judged" in lines[2]
    (row,) = [line for line in lines if "With MLPs alone" in line]
    assert row.startswith("| 6:08 | With MLPs alone")
    assert row.endswith(
        "| holds | best with mlps alone 0.5, worst with attention 1 "
        "| [03_qkv](notebooks/03_qkv.ipynb#cell-id=cell-1) |"
    )
    (other,) = [line for line in lines if "Twice the sequence" in line]
    assert "| not judged yet |  | 04_multi_head |" in other


def test_each_verdict_is_one_line_of_the_record(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_LEDGER", str(tmp_path / "ledger.jsonl"))
    verdict("mlp-blind", **GOOD)
    verdict("mlp-blind", **GOOD)
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == 2 * [
        {"claim": "mlp-blind", "notebook": "03_qkv", "verdict": "holds", "evidence": GOOD}
    ]
