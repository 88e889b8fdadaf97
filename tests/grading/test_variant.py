"""Variants of an assignment: other hidden seeds, the same for the same secret, nothing else changed."""

import json
import re
from pathlib import Path

import course_folder
import pytest

from course_lib.checks import find_task, tasks
from course_lib.checks.engine import examine
from course_lib.grading.variant import LARGEST, Variant, reseed, variant

ROOT = Path(__file__).resolve().parents[2]

BY_HAND = [name for name, words in tasks.words("03_qkv").items() if words.notebook == "attention_by_hand"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = course_folder.course(tmp_path / "course") / "solutions"
    (folder / "03_qkv" / "data.csv").write_text("1,2\n")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def seeds(text: str) -> list[int]:
    found = re.findall(r"seed(?: in \(|=)([\d_, ]+)", text)
    return [int(number) for numbers in found for number in numbers.split(",")]


def test_the_same_secret_gives_the_same_files(source: Path, tmp_path: Path) -> None:
    made = variant(source, tmp_path / "a", "pepper")
    variant(source, tmp_path / "b", "pepper")
    variant(tmp_path / "a", tmp_path / "c", "pepper")  # of a variant
    variant(source, tmp_path / "a", "pepper")  # once more, over the first
    assert made == Variant("pepper", ("by_hand/test_softmax", "by_hand/test_mix", "more/test_scores"), kept())
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")
    assert files(tmp_path / "a")["03_qkv/data.csv"] == b"1,2\n"


def kept() -> tuple[str, ...]:
    return ("by_hand/words",)


def test_another_secret_gives_other_seeds_for_every_task(source: Path, tmp_path: Path) -> None:
    variant(source, tmp_path / "a", "pepper")
    variant(source, tmp_path / "b", "salt")
    found = [
        seed for name in "ab" for text in files(tmp_path / name).values() for seed in seeds(text.decode())
    ]
    assert len(found) == 2 * 3 * 2
    assert len(set(found)) == len(found)
    assert all(1 <= seed <= LARGEST for seed in found)


def test_only_hidden_seeds_change(source: Path, tmp_path: Path) -> None:
    variant(source, tmp_path / "a", "pepper")
    before = json.loads(files(source)["03_qkv/by_hand.ipynb"])
    after = json.loads(files(tmp_path / "a")["03_qkv/by_hand.ipynb"])
    for old, new in zip(before["cells"], after["cells"], strict=True):
        lines = zip("".join(old["source"]).split("\n"), "".join(new["source"]).split("\n"), strict=True)
        for was, now in lines:
            assert was == now or (was == "for seed in (31, 57):" and now.startswith("for seed in ("))
        assert {**old, "source": ""} == {**new, "source": ""}


def test_without_a_secret_one_is_drawn_and_named(source: Path, tmp_path: Path) -> None:
    first, second = variant(source, tmp_path / "a"), variant(source, tmp_path / "b")
    assert len(first.secret) == 32
    assert first.secret != second.secret
    variant(source, tmp_path / "c", first.secret)
    assert files(tmp_path / "a") == files(tmp_path / "c")


def test_bad_folders_and_secrets_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="should stand outside its source"):
        variant(source, source / "03_qkv" / "new")
    with pytest.raises(ValueError, match="the source should be a folder with notebooks"):
        variant(tmp_path / "nowhere", tmp_path / "a")
    with pytest.raises(ValueError, match="the secret should be a text or None"):
        variant(source, tmp_path / "a", "")


@pytest.mark.parametrize(
    ("hidden", "n_seeds"),
    [
        ('check("a/b", f, seed=31)', 1),
        ('check("a/b", f, seed = 3_100)', 1),
        ("for seed in [31, 57, 58]:\n    pass", 3),
        ("for seed in (31,):\n    pass", 1),
        ("check(f, seed=31)\ncheck(f, seed=31)", 2),
        ("assert f(31) == 57", 0),
        ("for seed in range(31):\n    pass", 0),
    ],
)
def test_what_counts_as_a_seed(hidden: str, n_seeds: int) -> None:
    begin, end = "### BEGIN HIDDEN TESTS\n", "\n### END HIDDEN TESTS"
    visible = "check(f, seed=7)\n"
    made = reseed(visible + begin + hidden + end, "key")
    assert made.startswith(visible + begin)
    assert made.endswith(end)
    numbers = re.findall(r"\b\d[\d_]*", made[len(visible + begin) : -len(end)])
    changed = [number for number in numbers if number not in ("31", "57", "58", "3_100")]
    assert len(changed) == n_seeds
    assert len(set(changed)) == n_seeds
    compile(made, "test", "exec")


def test_every_hidden_part_of_a_test_has_other_seeds() -> None:
    part = "### BEGIN HIDDEN TESTS\nf(seed=31)\n### END HIDDEN TESTS\nf(seed=7)\n"
    made = reseed(part + part + "### BEGIN HIDDEN TESTS\nf(seed=31)", "key")
    assert len({*seeds(made)}) == 4
    assert (seeds(made).count(7), seeds(made).count(31)) == (2, 0)


def test_every_code_test_of_the_course_has_a_seed(tmp_path: Path) -> None:
    made = variant(ROOT / "solutions", tmp_path / "all", "pepper")
    assert made.kept == ("weights/own_experiment_plan", "weights/own_experiment_code")
    assert len(made.changed) == 102
    before = files(ROOT / "solutions")
    changed = [name for name, text in files(tmp_path / "all").items() if text != before[name]]
    assert len(changed) == len([name for name in before if name.endswith(".ipynb")])


@pytest.mark.parametrize("task", BY_HAND)
def test_our_own_answers_pass_with_seeds_of_a_variant(task: str) -> None:
    test = f'### BEGIN HIDDEN TESTS\ncheck("{task}", f, seed=31)\n### END HIDDEN TESTS'
    seed = seeds(reseed(test, f"pepper{task}"))[0]
    found = find_task(task)
    assert examine(found, found.reference, seed=seed, finale=False).passed
