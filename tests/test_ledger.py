"""The ledger's pages and its runs: what stands there, where it leads, what is kept when a run is stopped."""

import importlib.util
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from bs4 import BeautifulSoup

from course_lib import claims, ledger
from course_lib.claims import ClaimError, Evidence, Label, Run, load, read, write
from course_lib.ledger import Entry, write_pages

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
LEDGER = """
- id: sum
  at: "8:35"
  kind: construction
  says: It sums to 1.
  show: Rows.
  evidence: {said: {error: {says: "it is off by {:.1g}", low: 0, high: 1.0e-6}}}
- id: quick
  at: "6:08"
  kind: measured
  says: It is <quick> | a*b*c.
  show: A race.
  experiment: race
  rival: The loop.
  caveat: On two cores.
  decides: wait
  against: loop
  evidence:
    said:
      wait: {says: "it takes {:.2f} seconds", high: 0.6}
    rival:
      loop: {says: "the loop takes {:.2f} seconds", high: 0.6}
- {id: later, at: "17:59", kind: measured, says: It comes., show: s}
"""


BOUNDS = "b40ee1aa10fc"  # of the claim `quick`


@pytest.fixture
def entries(tmp_path, monkeypatch) -> dict:
    """A ledger of three claims, not in the order of the lecture, in place of the course's."""
    (tmp_path / "c03_qkv").mkdir()
    (tmp_path / "c03_qkv" / "claims.yml").write_text(LEDGER)
    (tmp_path / "c03_qkv" / "experiments.py").write_text("def race():\n    return 1 < 2\n")
    found = load(tmp_path)
    monkeypatch.setattr(claims, "load", lambda: found)
    monkeypatch.setattr(claims, "CONCEPTS", tmp_path)
    return found


def race(wait: float, loop: float = 0.9, seed: int | None = 101, **more: object) -> Run:
    told = {"bounds": BOUNDS, **more}
    return Run("quick", {"wait": wait, "loop": loop}, "2026-05-01", "first", seed, **told)


def pages(folder: Path, monkeypatch, *found: Run) -> dict[str, BeautifulSoup]:
    """Both, made of these runs."""
    by_claim = {run.claim: [other for other in found if other.claim == run.claim] for run in found}
    monkeypatch.setattr(ledger, "runs", lambda: by_claim)
    paths = write_pages(folder, NOTEBOOKS)
    return {path.stem: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in paths}


# ------------------------------------------------------------------------------------------ what runs say


def test_a_run_of_before_the_bounds_does_not_count(entries):
    claim = entries["quick"]
    early = race(0.5)
    wider = {**claim.evidence, "wait": replace(claim.evidence["wait"], high=0.8)}
    entry = Entry.of(replace(claim, evidence=wider), [early])
    assert (entry.runs, entry.aside) == ([], [early])
    reworded = {**claim.evidence, "wait": replace(claim.evidence["wait"], says="it took {:.2f} seconds")}
    assert Entry.of(replace(claim, evidence=reworded), [early]).runs == [early]


def test_a_run_that_was_set_aside_does_not_count(entries):
    found = [race(0.5, aside="a busy machine"), race(0.7, seed=102)]
    assert Entry.of(entries["quick"], found).runs == found[1:]


def test_most_runs_decide_on_the_label_and_the_others_are_counted(entries):
    found = [race(0.5), race(0.7, seed=102), race(0.55, seed=103), race(0.52, seed=104)]
    entry = Entry.of(entries["quick"], found)
    assert entry.label == Label.TRUE
    assert entry.reproduced() == (
        '3 of 4 runs agree, each with other random numbers; 1 says "wrong as said" (2026-05-01).'
    )
    assert entry.varied() == "1 of 2 numbers differ between the runs."
    assert entry.judgement.numbers["wait"] == 0.52, "the one in the middle of those that agree"
    assert entry.spread("wait") == "0.50 to 0.70; at most 0.60 would say that it is as the lecture says"


def test_what_stands_beside_the_deciding_number_is_no_extreme_one_either(entries):
    """The waits' middle is .5, but in that run the loop was slowest."""
    loops = {0.5: 9.0, 0.4: 5.0, 0.45: 4.0, 0.55: 4.5, 0.6: 2.0}
    found = [race(wait, loop, seed=101 + n) for n, (wait, loop) in enumerate(loops.items())]
    assert Entry.of(entries["quick"], found).judgement.numbers["wait"] in (0.45, 0.55)


@pytest.mark.parametrize("waits", [(0.5, 0.7), (0.7, 0.5)])
def test_of_two_labels_with_as_many_runs_the_harder_one_counts(entries, waits):
    found = [race(wait, seed=seed) for seed, wait in enumerate(waits, start=101)]
    entry = Entry.of(entries["quick"], found)
    assert entry.label == Label.WRONG
    assert entry.reproduced() == (
        '1 of 2 runs agree, each with other random numbers; 1 says "true" (2026-05-01).'
    )


def test_a_run_of_an_older_ledger_does_not_count(entries):
    older = Run("quick", {"wait": 0.9}, "2026-04-01", "before", 109)
    entry = Entry.of(entries["quick"], [older, race(0.5)])
    assert [run.seed for run in entry.runs] == [101]
    nothing = Entry.of(entries["quick"], [older])
    assert (nothing.label, nothing.reproduced()) == (Label.NOT_TESTED, "No run is on record.")
    assert Entry.of(entries["later"], []).reproduced() == ""


def test_a_plot_has_a_dot_for_each_run_and_the_bounds_as_a_band(entries):
    plot = BeautifulSoup(Entry.of(entries["quick"], [race(0.5), race(0.7, seed=102)]).plot(), "html.parser")
    ours, rival = (plot.find_all("circle", class_=kind) for kind in ("ours", "rival"))
    assert (len(ours), len(rival)) == (2, 2)
    band = plot.find("rect")
    edge = float(band["x"]) + float(band["width"])
    assert [float(dot["cx"]) <= edge for dot in ours] == [True, False]
    assert all(float(dot["cx"]) > float(ours[1]["cx"]) for dot in rival)
    assert plot.svg["aria-label"] == "0.50 to 0.70; the rival 0.90; the band: at most 0.60"
    assert [number.text for number in plot.find_all("text")] == ["0.50", "0.90"]
    claim = entries["quick"]
    other = Evidence("the loop is {:.2f} times as slow", high=0.6, part="rival")
    apart = replace(claim, evidence={**claim.evidence, "loop": other})
    assert "rival" not in Entry.of(apart, [race(0.5)]).plot()  # not of one kind
    alone = Entry.of(
        entries["sum"], [Run("sum", {"error": 0.0}, "2026-05-01", "notebook", bounds=entries["sum"].bounds)]
    )
    assert alone.plot().count("<circle") == 1


# ------------------------------------------------------------------------------------------ the pages


def test_surprises_come_first_and_each_claim_stands_once(entries, tmp_path, monkeypatch):
    sums = Run("sum", {"error": 0.0}, "2026-05-01", "notebook", bounds=entries["sum"].bounds)
    page = pages(tmp_path, monkeypatch, race(0.9), sums)["claims"]
    assert [heading.text for heading in page.find_all("h2")] == ["Wrong as said", "Not tested here", "True"]
    assert [article["id"] for article in page.find_all("article")] == ["quick", "later", "sum"]
    said = " ".join(page.p.text.split())
    assert "what came out: 1 wrong as said, 1 not tested here, 1 true (1 of them by construction)." in said
    checked = " ".join(page.find(id="sum").text.split())
    assert "true by construction, checked" in checked
    assert "Checked in the lesson (2026-05-01)." in checked
    quick = page.find(id="quick")
    assert quick.h3.text == "It is <quick> | a*b*c."
    shown, folded = quick.find(class_="found").text, quick.details.text
    assert "It takes 0.90 seconds. The loop takes 0.90 seconds." in shown
    assert "One stored run (2026-05-01)." in folded
    assert "Rival: The loop." in folded
    assert "On two cores." in quick.text
    assert not page.find("script")


def test_what_does_not_count_is_named_where_nothing_else_is_there(entries, tmp_path, monkeypatch):
    early = race(0.5, bounds="others", aside="other bounds")
    page = pages(tmp_path, monkeypatch, early)["claims"]
    quick = page.find(id="quick")
    said = " ".join(quick.text.split())
    assert "not tested here" in said
    assert "No run is on record. 1 earlier run does not count." in said
    assert quick.find("a", string="1 earlier run")["href"] == "experiments/quick.html#aside"
    assert "2 earlier runs do not count." in " ".join(
        pages(tmp_path, monkeypatch, early, replace(early, seed=102))["claims"].text.split()
    )
    own = BeautifulSoup((tmp_path / "experiments" / "quick.html").read_text("utf-8"), "html.parser")
    rows = [[cell.text.strip() for cell in row.find_all(["th", "td"])] for row in own.find_all("tr")]
    assert rows[:2] == [["seed", "wait", "loop", "why not"], ["101", "0.50", "0.90", "other bounds"]]


def test_what_the_rival_got_stands_beside_it(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(Entry, "trained", lambda entry: "The rival got 450 steps beside 150.")
    page = pages(tmp_path, monkeypatch, race(0.5))["claims"]
    told = "Rival: The loop. The rival got 450 steps beside 150."
    assert told in " ".join(page.find(id="quick").text.split())
    own = (tmp_path / "experiments" / "quick.html").read_text("utf-8")
    assert told in " ".join(BeautifulSoup(own, "html.parser").text.split())


def test_an_experiment_has_a_page_with_every_run_and_its_code(entries, tmp_path, monkeypatch):
    pages(tmp_path, monkeypatch, race(0.5), race(0.7, seed=102))
    page = BeautifulSoup((tmp_path / "experiments" / "quick.html").read_text("utf-8"), "html.parser")
    assert page.h1.text == "It is <quick> | a*b*c."
    rows = [[cell.text.strip() for cell in row.find_all(["th", "td"])] for row in page.find_all("tr")]
    assert rows == [
        ["seed", "wait", "loop", "label"],
        ["101", "0.50", "0.90", "true"],
        ["102", "0.70", "0.90", "wrong as said"],
    ]
    assert page.find("pre").text == "def race():\n    return 1 < 2"
    later = (tmp_path / "experiments" / "later.html").read_text("utf-8")
    assert "The runs" not in later


def test_what_is_no_longer_measured_stays_on_the_page(entries, tmp_path, monkeypatch):
    early = replace(race(0.5, aside="a clock decided"), numbers={"wait": 0.5, "speed": 3.25})
    pages(tmp_path, monkeypatch, early)
    page = BeautifulSoup((tmp_path / "experiments" / "quick.html").read_text("utf-8"), "html.parser")
    rows = [[cell.text.strip() for cell in row.find_all(["th", "td"])] for row in page.find_all("tr")]
    assert rows == [
        ["seed", "wait", "loop", "speed", "why not"],
        ["101", "0.50", "", "3.25", "a clock decided"],
    ]


def test_an_experiment_may_stand_in_a_folder_with_a_file_for_each_question(
    entries, tmp_path, monkeypatch, tool
):
    first = tool.source(entries["quick"])
    folder = tmp_path / "c03_qkv" / "experiments"
    folder.mkdir()
    (tmp_path / "c03_qkv" / "experiments.py").rename(folder / "who_is_quick.py")
    assert tool.source(entries["quick"]) == first
    (folder / "__init__.py").write_text("from who_is_quick import race\n")
    (folder / "who_is_slow.py").write_text("def crawl():\n    return 1 > 2\n")
    second = tool.source(entries["quick"])
    assert second != first
    pages(tmp_path, monkeypatch, race(0.5))
    page = BeautifulSoup((tmp_path / "experiments" / "quick.html").read_text("utf-8"), "html.parser")
    assert page.find("pre").text == "def race():\n    return 1 < 2"
    (folder / "who_is_slow.py").write_text("def crawl():\n    return 1 > 3\n")  # others may rest on it
    assert tool.source(entries["quick"]) not in (first, second)


def test_the_lecture_page_says_each_statement_in_order_with_its_label(entries, tmp_path, monkeypatch):
    page = pages(tmp_path, monkeypatch, race(0.5))["lecture"]
    rows = [[cell.text.strip() for cell in row.find_all("td")] for row in page.find_all("tr")]
    assert rows == [
        ["It is <quick> | a*b*c.", "true", "It takes 0.50 seconds"],
        ["It sums to 1.", "not tested here", ""],
        ["It comes.", "not tested here", ""],
    ]
    chapters = ledger.lecture().chapters
    assert [heading.text for heading in page.find_all("h2")] == [f"{at} {of}" for at, of in chapters.items()]


def test_links_lead_to_cells_and_articles(tmp_path, monkeypatch):
    """With the course's own ledger and runs."""
    found = [run for of in claims.runs().values() for run in of]
    (tmp_path / "build").mkdir()
    made = pages(tmp_path / "build", monkeypatch, *found)
    experiments = made["claims"].find_all("a", string="the experiment")
    assert len(experiments) == len(load())
    for link in experiments:
        path = tmp_path / "build" / link["href"]
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        claim = load()[path.stem]
        code = page.find("pre").text
        assert code.startswith(f"def {claim.experiment}(") if claim.experiment else "verdict(" in code
        back, judged = (page.find("a", string=text)["href"] for text in ("what was found", "the notebook"))
        assert made["claims"].find(id=back.removeprefix("../claims.html#"))
        target, cell = judged.split("#cell-id=")
        notebook = json.loads((path.parent / target).read_text("utf-8"))
        (source,) = ["".join(c["source"]) for c in notebook["cells"] if c["id"] == cell]
        assert "verdict(" in source
    for link in made["lecture"].find_all("a", href=re.compile("^claims.html#")):
        assert made["claims"].find(id=link["href"].split("#")[1])
    for link in made["claims"].find_all("a", href=re.compile("^#")):
        assert made["claims"].find(id=link["href"][1:])


# ------------------------------------------------------------------------------------------ the record


def test_runs_come_back_as_they_were_kept(entries, tmp_path):
    path = tmp_path / "c03_qkv" / claims.RUNS
    kept = [race(0.5, took=1.5), Run("sum", {"error": 0.0}, "2026-05-01", "notebook")]
    write(path, kept)
    assert read(path) == kept
    assert claims.runs(tmp_path) == {"quick": kept[:1], "sum": kept[1:]}
    assert [file.name for file in path.parent.glob("runs*")] == [claims.RUNS]


@pytest.mark.parametrize("line", ['{"claim": "sum", "numb', "[1]", '{"claim": "sum"}', ""])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / claims.RUNS
    write(path, [race(0.5)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(
        ClaimError, match=r"runs.jsonl, line 2 is no run .*; remove it, and run `make claims`"
    ):
        read(path)


def test_every_run_on_record_is_of_a_claim_and_has_its_numbers():
    for claim, of in claims.runs().items():
        entry = Entry.of(load()[claim], of)
        seeds = [run.seed for run in entry.runs]
        assert bool(seeds) == bool(entry.claim.evidence), claim
        assert len(set(seeds)) == len(seeds)
        assert all(set(run.numbers) == set(entry.claim.evidence) for run in entry.runs), claim


def test_no_run_counts_whose_seed_was_seen_before_the_bounds_were_written():
    for claim, of in claims.runs().items():
        entry = Entry.of(load()[claim], of)
        seen = {run.seed for run in entry.aside if run.bounds != entry.claim.bounds} - {None}
        assert not seen & {run.seed for run in entry.runs}, claim


def test_whatever_does_not_count_says_why():
    for claim, of in claims.runs().items():
        assert all(run.aside for run in Entry.of(load()[claim], of).aside), claim


# ------------------------------------------------------------------------------------------ making runs


@pytest.fixture
def tool(entries, monkeypatch) -> ModuleType:
    """tools/claims.py, with an experiment that takes no time."""
    spec = importlib.util.spec_from_file_location("claims_tool", ROOT / "tools" / "claims.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def experiment(seed: int = 0) -> SimpleNamespace:
        return SimpleNamespace(wait=0.3 + seed / 1000, loop=0.9)

    monkeypatch.setattr(module, "experiment", lambda claim: experiment)
    return module


def test_a_run_is_kept_with_its_seed_and_so_is_what_no_longer_counts(tool, entries, tmp_path):
    path = tmp_path / "c03_qkv" / claims.RUNS
    write(path, [race(0.9, seed=155), Run("sum", {"error": 0.0}, "2026-05-01", "notebook")])
    run = tool.make(tool.Job("quick", 101))
    assert run.numbers == {"wait": pytest.approx(0.401), "loop": 0.9}
    assert tool.keep(entries["quick"], run) == [run]
    tool.keep(entries["quick"], tool.make(tool.Job("quick", 102)))
    kept = [(run.seed, run.aside) for run in read(path) if run.claim == "quick"]
    assert kept == [(101, ""), (102, ""), (155, "another version of the experiments")]
    other = replace(tool.make(tool.Job("quick", 102)), numbers={"wait": 0.2, "loop": 0.9})
    tool.keep(entries["quick"], other)
    assert [run.aside for run in read(path) if run.seed == 102] == ["made anew", ""]


def test_other_bounds_need_seeds_that_they_have_not_seen(tool, entries):
    claim = entries["quick"]
    found = [race(0.5, seed=101), race(0.5, seed=120)]
    assert tool.first_seed(claim, found) == 101
    wider = {**claim.evidence, "wait": replace(claim.evidence["wait"], high=0.8)}
    other = replace(claim, evidence=wider)
    assert tool.first_seed(other, found) == 201
    assert tool.missing(other, found, []) == [tool.Job("quick", 201)]
    assert [tool._set_aside(other, run, race(0.5)).aside for run in found] == 2 * ["other bounds"]


def test_what_is_on_record_is_not_run_again_and_slow_experiments_run_less_often(tool, entries):
    quick = entries["quick"]
    assert tool.missing(quick, [], []) == [tool.Job("quick", 101)]
    made = [race(0.5, seed=seed, took=2.0) for seed in (101, 102, 104)]
    assert [job.seed for job in tool.missing(quick, [], made)] == [103, *range(105, 121)]
    slow = [race(0.5, seed=101, took=30.0)]
    assert [job.seed for job in tool.missing(quick, [], slow)] == list(range(102, 111))


def test_another_version_of_the_experiment_or_of_the_numbers_does_not_count(tool, entries, tmp_path):
    run = tool.make(tool.Job("quick", 101))
    assert tool.counted(entries["quick"], [run, race(0.5)]) == [run]
    (tmp_path / "c03_qkv" / "experiments.py").write_text("second version")
    assert tool.counted(entries["quick"], [run]) == []


def test_where_only_the_text_has_changed_runs_stay(tool, entries, tmp_path):
    path = tmp_path / "c03_qkv" / claims.RUNS
    jobs = [tool.Job("quick", seed) for seed in (101, 102, 103)]
    for run in map(tool.make, jobs):
        tool.keep(entries["quick"], run)
    (tmp_path / "c03_qkv" / "experiments.py").write_text("the same, said otherwise")
    kept = tool.keep(entries["quick"], tool.make(jobs[0]))
    assert {(run.seed, run.source) for run in kept} == {
        (n, tool.source(entries["quick"])) for n in (101, 102, 103)
    }
    assert tool.counted(entries["quick"], read(path)) == read(path)
    (tmp_path / "c03_qkv" / "experiments.py").write_text("another experiment")
    other = replace(tool.make(jobs[0]), numbers={"wait": 0.5, "loop": 0.9})
    assert tool.keep(entries["quick"], other) == [other]
    assert Counter(run.aside for run in read(path)) == {"another version of the experiments": 3, "": 1}


def test_runs_are_alike_whose_last_digits_differ(tool, entries):
    claim, run = entries["quick"], race(0.5, loop=2e-8)
    assert tool._alike(claim, run, replace(run, numbers={"wait": 0.500001, "loop": 1e-8}))
    assert not tool._alike(claim, run, replace(run, numbers={"wait": 0.501, "loop": 2e-8}))
    assert not tool._alike(claim, run, replace(run, numbers={"wait": 0.5}))


def test_a_clock_gives_no_number_again(tool, entries):
    claim = entries["quick"]
    timed = replace(claim, evidence={**claim.evidence, "wait": replace(claim.evidence["wait"], clock=True)})
    run = race(0.5)
    assert tool._alike(timed, run, replace(run, numbers={**run.numbers, "wait": 0.7}))
    assert not tool._alike(timed, run, replace(run, numbers={**run.numbers, "loop": 0.1}))
    assert timed.bounds == claim.bounds


def test_the_cost_is_said_before(tool):
    jobs = [tool.Job("quick", seed) for seed in range(10)]
    known = {"quick": [race(0.5, took=30.0)]}
    assert tool.cost(jobs, known) == "10 runs to make; about 3 minutes on 2 cores."
    assert tool.cost(jobs, {}).endswith(
        "about 0 minutes on 2 cores, and 1 experiments that were never timed."
    )


def test_what_notebooks_found_is_taken_over_where_there_is_no_experiment(tool, tmp_path):
    record = tmp_path / "record.jsonl"
    lines = [
        {"claim": "sum", "evidence": {"error": 1e-8}},
        {"claim": "quick", "evidence": {"wait": 0.1, "loop": 0.2}},
        {"claim": "later", "evidence": {}},  # not tested
    ]
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tool.take_over(record)
    kept = read(tmp_path / "c03_qkv" / claims.RUNS)
    assert [(run.claim, run.seed, run.numbers) for run in kept] == [("sum", None, {"error": 1e-8})]


# ------------------------------------------------------------------------------------------ the lecture


def test_every_claim_belongs_to_a_chapter_of_the_lecture():
    chapters = list(ledger.lecture().chapters)
    assert {claim.at for claim in load().values()} == set(chapters)
    assert sorted(chapters, key=ledger.seconds) == chapters


def test_where_a_label_says_only_if_each_limit_was_met():
    found = claims.runs()
    for claim in load().values():
        limits = {name for name, evidence in claim.evidence.items() if evidence.part == "limit"}
        for run in Entry.of(claim, found.get(claim.id, [])).runs:
            if claim.label(run.numbers) == Label.ONLY_IF:
                assert not limits & set(claim.missed(run.numbers)), (claim.id, run.seed)


def test_the_numbers_that_are_shown_stand_by_themselves():
    """They are shown without the ones before them."""
    for claim in load().values():
        for name in filter(None, (claim.shown, claim.against)):
            says = claim.evidence[name].says
            assert not re.match(r"(and|but|by|which|it|they) |that of ", says), f"{claim.id}: {says!r}"
