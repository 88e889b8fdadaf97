"""The arithmetic behind the benchmarks' tables; the benchmarks themselves are never tests."""

import importlib
import subprocess
import sys
from pathlib import Path

import common
import named
import pytest
import torch
from training_step import HandmadeGPT

from course_lib.checks import Result, find_task
from course_lib.decoder import GPT, GPTConfig

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("bar", "at_least", "met"), [(2, True, True), (2.1, True, False), (2.1, False, True)]
)
def test_a_row_compares_the_median_of_the_rounds_ratios_with_its_bar(bar, at_least, met):
    row = common.Row("what", [2, 9, 4], [1, 1, 4], bar, at_least)  # the ratios are 2, 9 and 1
    assert row.figures == [2, 9, 1]
    assert row.met is met
    assert ("MISSED" in str(row)) is not met
    assert "2 (1 to 9)" in str(row)


def test_without_a_peer_the_figure_itself_faces_the_bar():
    assert common.Row("what", [1.0, 3.0, 2.0], bar=2.0, at_least=False).met
    assert not common.Row("what", [1.0, 3.0, 2.0], bar=2.5).met
    assert common.Row("what", [1.0]).met  # without a bar there is nothing to miss


@pytest.mark.parametrize(("bar", "code"), [(1, 0), (3, 1)])
def test_a_missed_bar_is_the_exit_code(capsys, bar, code):
    assert (
        common.show("Title", [common.Row("first", [2.0], bar=1), common.Row("second", [2.0], bar=bar)])
        == code
    )
    assert capsys.readouterr().out.count("MISSED") == code


def test_an_unknown_benchmark_is_named():
    run = subprocess.run([sys.executable, FOLDER, "speed"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "There is no benchmark speed; there are attention, bpe, generation, " in run.stderr


APART = """
import os
from functools import partial
from common import Apart
there = Apart(partial, eval)
process, threads = "__import__('os').getpid()", "__import__('torch').get_num_threads()"
print(there(process) == there(process) != os.getpid(), there(threads))
"""


def test_a_contender_runs_in_a_process_of_its_own_on_one_thread():
    done = subprocess.run([sys.executable, "-c", APART], cwd=FOLDER, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "1"], done.stderr
    # It ends in peace; on some processors torch itself has something to say there.
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_handmade_rival_is_the_same_model():
    n_layers, n_heads, width, length, n_words = 2, 3, 12, 7, 11
    theirs = HandmadeGPT(n_layers, n_heads, width, length, n_words)
    sizes = {"n_layers": n_layers, "n_heads": n_heads, "d_model": width, "max_seq_len": length}
    ours = GPT(GPTConfig(vocab_size=n_words, activation="gelu", **sizes))
    parts = {
        "token_embedding": theirs.tokens,
        "position_embedding": theirs.places,
        "stack.final_norm": theirs.norm,
        "lm_head": theirs.head,
    }
    for n, block in enumerate(theirs.blocks):
        inside = f"stack.blocks.{n}"
        parts |= {
            f"{inside}.attention_norm": block.first_norm,
            f"{inside}.feed_forward_norm": block.second_norm,
            f"{inside}.attention.out_proj": block.out,
            f"{inside}.feed_forward.up_proj": block.mlp[0],
            f"{inside}.feed_forward.down_proj": block.mlp[2],
        }
    weights = {f"{k}.{name}": w for k, part in parts.items() for name, w in part.state_dict().items()}
    for n, block in enumerate(theirs.blocks):
        for name, w in block.qkv.state_dict().items():
            for kind, rows in zip("qkv", w.chunk(3), strict=True):
                weights[f"stack.blocks.{n}.attention.{kind}_proj.{name}"] = rows
    ours.load_state_dict(weights)
    ids = torch.randint(n_words, (5, length))
    torch.testing.assert_close(ours(ids), theirs(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("right", "name", "came", "said", "problem"),
    [
        (True, "", "", "", ""),
        (True, "", "", "no", "refused, although right: 03_qkv/mix, words: no"),
        (False, "plain mean", "plain mean", "no", ""),
        (False, "", "plain mean", "no", ""),
        (False, "", "", "", "accepted, although wrong: 03_qkv/mix, words"),
        (False, "plain mean", "", "no", "not named: 03_qkv/mix, words: it is 'plain mean'"),
        (False, "plain mean", "plain sum", "no", "called 'plain sum': 03_qkv/mix, words: it is 'plain mean'"),
    ],
)
def test_what_a_check_should_not_say_of_a_plausible_answer_is_listed(right, name, came, said, problem):
    answer = named.Answer("03_qkv/mix", "words", max, right, name)
    result = Result(find_task("03_qkv/mix"), problem=said, misconception=came)
    assert named.Judged(answer, result).problem == problem


def test_shares_of_plausible_answers_face_their_bars(monkeypatch):
    def judged(right, name, said, came=""):
        answer = named.Answer("03_qkv/mix", "words", max, right, name)
        return named.Judged(answer, Result(find_task("03_qkv/mix"), problem=said, misconception=came))

    monkeypatch.setattr(named, "NAMED", 0.5)
    fine = [judged(True, "", ""), judged(False, "", "no"), judged(False, "plain mean", "no", "plain mean")]
    assert named.Row(fine).missed == []
    assert str(named.Row(fine)).split() == ["2", "2", "1", "(", "50%)", "1", "of", "1", "1", "1"]
    bad = [*fine, judged(True, "", "no"), judged(False, "plain mean", "")]
    assert named.Row(bad).missed == [
        "refused: 2 of 3, the bar is 100%",
        "named: 1 of 3, the bar is 50%",
        "named rightly: 1 of 2, the bar is 98%",
        "accepted: 1 of 2, the bar is 100%",
    ]


def test_plausible_answers_are_of_tasks_and_mistakes_that_there_are():
    for module in named.MODULES:
        answers = importlib.import_module(f"plausible.{module}").of
        for answer in answers:
            known = {mistake.name for mistake in find_task(answer.task).misconceptions}
            assert answer.name in {"", *known}, answer
        assert {answer.right for answer in answers} == {True, False}
