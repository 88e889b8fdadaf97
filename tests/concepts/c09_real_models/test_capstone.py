"""A real chat model from the learner's parts: what is right is used, what is wrong is named where it is."""

import functools
import importlib
import json
import linecache
import re
import runpy
import subprocess
import sys
import time
from math import inf, nan, sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from IPython.core.inputtransformer2 import TransformerManager
from torch import softmax

from course_lib import costs, pretrained
from course_lib.checks import find_task, real_model, solution_source
from course_lib.checks.call import call
from course_lib.checks.tasks import words
from course_lib.concepts.c01_tokens.answers.tokenizer_at_work import ids_with_memory as cut
from course_lib.concepts.c09_real_models.answers.grouped_attention import attend
from course_lib.concepts.c09_real_models.capstone import (
    assemble,
    assembly,
    part_judge,
    take_along,
    taking_along,
)
from course_lib.concepts.c09_real_models.capstone.assembly import assembled
from course_lib.concepts.c09_real_models.capstone.part_judge import diagnosed, judge
from course_lib.concepts.c09_real_models.capstone.parts import Assembled, library_parts, rotate
from course_lib.concepts.c09_real_models.capstone.program import MEANS, plain, write_program
from course_lib.concepts.c09_real_models.capstone.recording import recorded
from course_lib.concepts.c09_real_models.capstone.taking_along import HELPERS, PARTS, source_of
from course_lib.concepts.c09_real_models.tasks.forward_pass import forward_pass

pytestmark = pytest.mark.usefixtures("own_errors")
ROOT = Path(__file__).resolve().parents[3]
SOLUTION = ROOT / "solutions/09_real_models/my_transformer.ipynb"


def save(path, parts):
    return write_program(path, parts, {})


@pytest.fixture(scope="module")
def small():
    return assembly.small_model()


@pytest.fixture(scope="module")
def uses(small):
    return recorded(*small)


@pytest.fixture(scope="module")
def ten():
    """The parts of the solution, from its notebook."""
    return take_along(SOLUTION)


# ------------------------------------------------------------------------------------------------ right parts


def test_the_ten_solutions_write_smollm2s_text(smollm2, ten, monkeypatch, capsys):
    monkeypatch.setattr(real_model, "smollm2", lambda: smollm2)
    monkeypatch.setattr(assembly, "_met", set())
    monkeypatch.setattr(assembly, "_right", {})
    mine = assemble(ten)
    assert mine.yours == list(PARTS)
    assert mine.together.same
    assert mine.together.text == mine.together.text_of_library == "The capital of France is Paris."
    assert mine.together.off < 1e-5 * mine.together.largest
    assert mine.together.n_logits > 30
    said = capsys.readouterr().out
    assert said.startswith(
        "Loading SmolLM2 ...\nIt reads a prompt; what goes into each part there is kept ...\n"
        "✓ tokenizer (tokenizer_at_work): yours, in 8 uses, all tokens the same\n✓ embedd"
    )
    assert (
        "Now together ...\n10 of 10 parts are yours.\nTogether they write 'The capital of France is" in said
    )
    assert re.search(r"✓ rms_norm \(rms_norm\): yours, in 244 uses, off by 1 in \d+ million\n", said)
    assert re.search(r"as the course's do; scores off by 1 in \d+,000\.\n", said)


def test_the_assembled_model_of_the_library_is_the_librarys(small):
    model, tokenizer = small
    ours = Assembled(model, tokenizer, library_parts(tokenizer))
    ids = ours.encode(pretrained.chat_prompt("Why?"))
    assert ids == tokenizer.encode(pretrained.chat_prompt("Why?"))
    with torch.no_grad():
        logits, stored = ours.read(ids)
        more, _ = ours.read([3, 5, 7], stored)
        expected = model(torch.tensor([[*ids, 3, 5, 7]]))[0]
    torch.testing.assert_close(torch.cat([logits, more]), expected, rtol=0, atol=1e-4)


# What the tasks accept, and other kinds of results.
RIGHT = {
    part: importlib.import_module("course_lib.concepts.c{}.answers.{}".format(*its.task.split("/"))).RIGHT
    for part, its in PARTS.items()
}
RIGHT["tokenizer"] = [*RIGHT["tokenizer"], lambda *given: iter(cut(*given))]
RIGHT["embedding"] = [
    *RIGHT["embedding"],
    lambda token_ids, table: table[token_ids].astype(np.float64),
    lambda token_ids, table: [[table[i] for i in row] for row in token_ids],
]
RIGHT["rms_norm"] = [*RIGHT["rms_norm"], lambda *given: in_double(*given).float()]
RIGHT["cache"] = [
    *RIGHT["cache"],
    lambda a, b, k, v: torch.stack([torch.cat([a, k], 2), torch.cat([b, v], 2)]),
    lambda a, b, k, v: [torch.cat([a.mT, k.mT], -1).mT, torch.cat((b, v), -2)],
]


def in_double(x, weight, eps):
    return x.double() * (x.double().square().mean(-1, True) + eps).rsqrt() * weight


@pytest.mark.parametrize("part", PARTS)
def test_a_right_part_is_used_however_it_is_written(uses, part):
    for answer in RIGHT[part]:
        judged = judge(part, answer, uses[part], 5.0)
        assert judged.yours, judged
        assert judged.off < 1e-5


@pytest.mark.parametrize("number", range(max(map(len, RIGHT.values()))))
def test_they_drive_the_model_together(small, number):
    parts = {part: answers[number % len(answers)] for part, answers in RIGHT.items()}
    assert assembly.compared(*small, parts, 60.0).same


# ------------------------------------------------------------------------------------------------ wrong parts


def only_when_empty(k_cache, v_cache, k, v):
    """Right for a prompt, which is all that one tries at first."""
    return (k, v) if k_cache.shape[2] == 0 else (k_cache, v_cache)


def with_gate(bend):
    return lambda x, gate, up, down: (bend(x @ gate.T) * (x @ up.T)) @ down.T


def turned(x, angles):
    left, right = x[..., 0::2], x[..., 1::2]
    both = [left * angles.cos() - right * angles.sin(), left * angles.sin() + right * angles.cos()]
    return torch.stack(both, -1).flatten(-2)


def angles_of(x, start, base, most=inf):
    places = torch.arange(start, start + x.shape[-2]).clamp(max=most)
    return places[:, None] / base ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])


def with_a_short_table(x, start, base):
    """Places beyond the table get its last row."""
    return turned(x, angles_of(x, start, base, most=127))


def raises_when_read(words, ranks, ids, special):
    yield ids["never"]


def with_its_own_store():
    kept = [[], []]

    def extend(k_cache, v_cache, k, v):
        for old, new in zip(kept, (k, v), strict=True):
            old.append(new)
        return torch.cat(kept[0], 2), torch.cat(kept[1], 2)

    return extend


def with_the_last_prompts_store(k_cache, v_cache, k, v, kept=[]):  # noqa: B006 (this is the mistake)
    if k.shape[2] > 1:
        kept[:] = [k, v]
    else:
        kept[:] = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
    return tuple(kept)


def with_dropout(x, gate, up, down):
    return F.dropout(with_gate(F.silu)(x, gate, up, down), 0.1)


def masked_by_product(q, k, v, mask):
    k, v = k.repeat_interleave(3, 1), v.repeat_interleave(3, 1)
    scores = q @ k.mT / q.shape[-1] ** 0.5 + ~mask * float("-inf")
    return scores.softmax(-1) @ v


def in_double_for_all(x, weight, eps):
    torch.set_default_dtype(torch.float64)
    return in_double(x, weight, eps).float()


class Layer:
    """Given in place of what it makes."""

    def __init__(self, *given):
        self.given = given


def in_shared_memory():
    kept = {}

    def norm(x, weight, eps):
        out = kept.setdefault(x.shape, torch.empty_like(x))
        return torch.mul(x * (x.square().mean(-1, True) + eps).rsqrt(), weight, out=out)

    return norm


def changes_x(x, weight, eps):
    x /= (x.square().mean(-1, keepdim=True) + eps).sqrt()
    return x * weight


def until_the_end(logits, t, p):
    while True:
        time.sleep(0.01)


def unwritten(*given):
    raise NotImplementedError


def read_in(mistake):
    """The whole model with a known mistake."""
    task = find_task("09_real_models/forward_pass")
    return next(known.wrong for known in task.misconceptions if known.name == mistake)


def into_the_weights(ids, weights, parts, stored):
    weights["layers"][0]["q_proj"] *= 1.01
    return forward_pass(ids, weights, parts, stored)


def into_what_is_stored(ids, weights, parts, stored):
    logits, now = forward_pass(ids, weights, parts, stored)
    stored[:] = now
    return logits, stored


PROMPT, ONE_MORE = "layer 0, reading the prompt", "layer 0, reading one token more"
NORM_1 = "layer 0, before attention, reading the prompt"
QUERIES = "layer 0, the queries, reading the prompt"
READING, READING_ON = "reading the prompt", "reading one token more"
NO_PAIR = "it must return two tensors, the keys and the values, but got "
# By part: answer, where it is first wrong, its name as a known mistake ("": none; None: any), what is said.
# That mistakes are named is tested in test_wrong_parts.py, but for parts of which that has none.
WRONG = {
    "tokenizer": [
        (lambda *given: cut(*given[:3], {}), "'<|im_start|>", "special words are cut", "First at token 0 of"),
        (lambda *given: cut(*given) if given[0] else [0], "''", None, "0 of 0: expected nothing, got 0."),
        (raises_when_read, "'<|im_start|>", "", "it stops with KeyError: 'never'"),
    ],
    "embedding": [
        (lambda ids, table: table[ids - 1], "the tokens, reading the prompt", "counted from 1", ""),
        (lambda ids, table: table[ids[0]], "the tokens", "texts joined", "the axes of the ids stay"),
        (lambda ids, table: table[ids].astype(object), "", "", "but got an array of shape (1, 37, 60) (nda"),
        (lambda ids, table: (table[i] for i in ids), "", "", "It must return numbers"),
        (lambda ids, table: [[1.0], []], "", "", "it stops with ValueError"),
    ],
    "rms_norm": [
        (lambda x, w, eps: x, NORM_1, None, "First at token 0, number 0: expected "),
        (lambda x, w, eps: [], NORM_1, "", "must be a torch.Tensor, but is a list of length 0."),
        (lambda x, w, eps: x.to("meta"), NORM_1, "", "tensor on the CPU, but is torch.strided on"),
        (lambda x, w, eps: x.to_sparse(), NORM_1, "", "tensor on the CPU, but is torch.sparse_coo on"),
        (Layer, NORM_1, "", "the result must be a torch.Tensor, but is <"),
        (changes_x, NORM_1, "", "it changes its input 'x'"),
        (in_shared_memory(), NORM_1, "", "a later call changes what this one returned"),
        (lambda x, w, eps: F.rms_norm(x, w.shape, w, eps), NORM_1, "", "functional.rms_norm, which does the"),
        (in_double_for_all, NORM_1, "", "it leaves torch.set_default_dtype at torch.float64, in"),
    ],
    "rotation": [
        (lambda x, n, base: turned(x, -angles_of(x, n, base)), QUERIES, "turned the other way", ""),
        (
            lambda x, n, base: turned(x, angles_of(x, 0, base)),
            "layer 0, the queries, reading one token more",
            None,
            "First at head 0, token 0, number 0: expected ",
        ),
        (with_a_short_table, "at place 1000 and after", None, ""),
        (
            lambda x, n, base: turned(x, angles_of(x, n, base)).double(),
            QUERIES,
            "",
            "is in torch.float64, ex",
        ),
        (lambda x, n, base: turned(x, angles_of(x, n, 1e4)), QUERIES, "always 10,000", ""),
    ],
    "cache": [
        (only_when_empty, ONE_MORE, "only the first call fills it", ""),
        (
            lambda a, b, k, v: (torch.cat([a, k, k], 2), torch.cat([b, v], 2)),
            PROMPT,
            "",
            "the keys have shape (1, 2, 74, 10), expected (1, 2, 37, 10).",
        ),
        (lambda a, b, k, v: torch.cat([a, k], 2), PROMPT, "", NO_PAIR),
        (lambda a, b, k, v: (a, k, v), PROMPT, "", f"{NO_PAIR}a tuple of length 3."),
        (lambda a, b, k, v: (None, None), PROMPT, "", "the keys must be a torch.Tensor, but is None"),
        (with_its_own_store(), "layer 1, reading the prompt", "", "same input, it gives two results"),
        (with_the_last_prompts_store, ONE_MORE, "", "two results: does it keep something from one call"),
    ],
    "attention": [
        (lambda *given: (attend(*given), given[3]), PROMPT, "", "but is a tuple of length 2."),
        (lambda *given: attend(*given).squeeze(2), ONE_MORE, "", "has shape (1, 6, 10)"),
        (masked_by_product, PROMPT, "", "0 times infinity is nan: let torch.where or masked_fill choose ins"),
        (lambda q, k, v, mask: attend(q, k, v, mask[:, -37:]), ONE_MORE, "", "it stops with RuntimeError"),
    ],
    "mlp": [
        (3.0, "", "", "it must be a function, given without parentheses, but is 3.0 (float)."),
        (with_gate(F.gelu), PROMPT, "GELU", ""),
        (with_gate(torch.sigmoid), PROMPT, "sigmoid", ""),
        (lambda x, gate, up, down: with_gate(F.silu)(x, up, gate, down), PROMPT, "gate and up exchanged", ""),
        (lambda x, *given: x + with_gate(F.silu)(x, *given), PROMPT, "x added", ""),
        (lambda *given: [with_gate(F.silu)(*given)], PROMPT, "", "but is a list of length 1."),
        (with_dropout, PROMPT, "", "in a global or a default argument, or draw at random?\n    First at"),
    ],
    "block": [
        (lambda x, a, m, n1, n2: n2(n1(x + a(x)) + m(n1(x + a(x)))), PROMPT, "post-norm", ""),
        (lambda x, a, m, n1, n2: x + a(n1(x)) + m(n2(x)), PROMPT, "in parallel", ""),
        (lambda x, a, m, n1, n2: a(n1(x)) + m(n2(a(n1(x)))), PROMPT, "attention not added", ""),
        (lambda x, a, m, n1, n2: None, PROMPT, "", "it returns None: is the `return` missing?"),
    ],
    "sampler": [
        (lambda logits, t, p: (logits / max(t, 1e-3)).softmax(-1), "t = 1, p = 0.", "nothing cut", ""),
        (lambda logits, t, p: logits.argmax(), "t = 0, p = 1", "the token itself", ""),
        (lambda logits, t, p: [0.0] * len(logits), "t = 0, p = 1", "", "but is a list of length "),
        (until_the_end, "t = 0, p = 1", "", "it took longer than 0.5 s."),
    ],
    "forward": [
        (read_in("layers in reverse"), READING, "layers in reverse", "First at keys of layer 0, key"),
        (read_in("no final norm"), READING, "no final norm", "First at logits, token 0, token of the"),
        (read_in("always from place 0"), READING_ON, "always from place 0", "head 0, token 37, number"),
        (lambda *given: forward_pass(*given)[0], READING, "", "each layer a pair of keys and values,"),
        (into_the_weights, READING, "", "it changes its input 'weights'"),
        (into_what_is_stored, READING, "", "it changes its input 'stored'"),
    ],
}


@pytest.mark.parametrize(
    ("part", "answer", "where", "name", "said"),
    [(part, *one) for part, some in WRONG.items() for one in some],
)
def test_a_wrong_part_is_named_where_it_is(uses, part, answer, where, name, said):
    judged = judge(part, answer, uses[part], 0.5 if answer is until_the_end else 5.0)
    assert not judged.yours
    assert judged.part == part
    assert judged.where.startswith(where), judged
    assert name is None or judged.misconception == name, judged
    assert torch.get_default_dtype() == torch.float32
    assert said in str(judged), judged
    assert str(judged).startswith(f"✗ {part} ({PARTS[part].function}): ")


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("tokenizer", raises_when_read),
        ("embedding", lambda ids, table: (table[i] for i in ids)),
        ("rms_norm", changes_x),
        ("rms_norm", in_double_for_all),
        ("rms_norm", Layer),
        ("cache", with_the_last_prompts_store),
        ("attention", masked_by_product),
        ("block", lambda *given: None),
        ("sampler", lambda logits, t, p: logits.argmax()),
        ("forward", into_the_weights),
        ("forward", into_what_is_stored),
    ],
)
def test_a_fault_is_heard_and_harms_nothing(small, part, answer):
    before = [parameter.clone() for parameter in small[0].parameters()]
    said = []
    broken = assembled(*small, {part: answer}, "small", seconds=5.0, say=said.append)
    assert said[0].startswith(f"With your {part} as it is, it ")
    assert said[1].startswith(f"✗ {part} ")
    assert said[1].endswith("The course's is used.")
    assert broken.kept == {}
    assert broken.yours == []
    assert all(map(torch.equal, before, small[0].parameters()))
    assert torch.get_default_dtype() == torch.float32


def test_a_part_that_does_not_end_is_not_heard(small):
    mine = assembled(*small, {"sampler": until_the_end}, "small", seconds=0.3, keep=True)
    assert mine.heard == ""
    assert mine.kept == {}
    assert "it took longer than 0.3 s." in str(mine)


def test_who_keeps_a_fault_hears_it_in_the_chat(small, ten):
    wrong = {"mlp": with_gate(torch.tanh), "cache": ten["cache"]}
    answers = {}
    for keep in (True, False):
        mine = assembled(*small, wrong, "small", seconds=5.0, keep=keep)
        assert mine.yours == ["cache"]
        assert ("The course's is used." in str(mine)) is not keep
        assert ("The faulty part stays in, as you asked." in str(mine)) is keep
        assert bool(mine.heard) is not keep  # who keeps it hears it below
        assert mine.kept == ({"mlp": wrong["mlp"]} if keep else {})
        answers[keep] = mine.chat("Why?", temperature=0, max_new_tokens=8)
    library = assembled(*small, {}, "small", seconds=5.0).chat("Why?", temperature=0, max_new_tokens=8)
    assert answers[False] == library != answers[True]


def test_a_fault_that_is_kept_harms_nothing_in_the_chat(small):
    before = [parameter.clone() for parameter in small[0].parameters()]
    mine = assembled(*small, {"forward": into_the_weights}, "small", seconds=5.0, keep=True)
    mine.chat("Why?", max_new_tokens=2)
    assert all(map(torch.equal, before, small[0].parameters()))


def test_the_same_words_from_other_scores_are_not_the_same():
    assert assembly.Comparison("a", "a", 3, off=1e-5, largest=1.0).same
    assert not assembly.Comparison("a", "a", 3, off=1e-3, largest=1.0).same


def test_what_is_said_of_what_is_heard(small):
    def heard(**wrong):
        return assembled(*small, wrong, "small", seconds=5.0).heard

    expected, tanh = assembly.library_text(*small), with_gate(torch.tanh)
    assert heard(mlp=tanh).endswith(f", where the course's says {expected!r}.")
    still = f"it still says {expected!r}: to answer is not to be right."
    assert heard(rotation=lambda x, start, base: rotate(x, start + 1, base)).endswith(still)
    both = heard(mlp=tanh, cache=lambda *given: (None, None))
    assert both.startswith("With your cache and mlp as they are, it says nothing: it stops with Attrib")
    long = heard(tokenizer=lambda *given: [0] * 513)
    assert "the question has become 513 tokens, of which 512 fit" in long


def test_a_default_dtype_of_the_notebook_does_no_harm(uses):
    torch.set_default_dtype(torch.float64)
    try:
        judged = judge("rotation", lambda x, *given: turned(x, angles_of(x, *given)), uses["rotation"], 5.0)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert judged.yours, judged


def test_a_known_mistake_that_is_none_in_this_model_is_not_named(uses):
    def nearly(x, start, base):
        """Off in the shortest vector, by less than anybody sees beside the others."""
        result = rotate(x, start, base)
        sizes = result.abs().amax(-1)
        result[sizes == sizes.min()] *= 1 + 1.02e-4
        return result

    harmless = SimpleNamespace(name="right here", wrong=rotate)
    assert not judge("rotation", nearly, uses["rotation"], 5.0).yours
    task = SimpleNamespace(misconceptions=[harmless])
    assert diagnosed(task, nearly, uses["rotation"], 0, 5.0) is None


@pytest.mark.parametrize(
    ("a", "b", "close"),
    [
        ([[1e3, 0.0], [0.9, 1.0]], [[1e3, 0.0], [0.9, 1.0 + 9e-5]], True),
        ([[1e3, 0.0], [0.9, 2.0]], [[1e3, 0.0], [0.9, 2.001]], False),  # of 1,000 it would be nothing
        ([[inf, nan], [1.0, -inf]], [[inf, nan], [1.0, -inf]], True),
        ([[inf, nan], [1.0, -inf]], [[inf, nan], [1.0, inf]], False),
        ([[inf, 1.0]], [[inf, 2.0]], False),
    ],
)
def test_two_results_are_compared_vector_by_vector(a, b, close):
    assert part_judge._close(torch.tensor(a), torch.tensor(b), 1e-4) == close


def test_the_other_parts_stay_in_use_when_one_is_wrong(small, ten):
    wrong = {"rotation": with_a_short_table, "mlp": unwritten}
    mine = assembled(*small, {**ten, **wrong}, "small", seconds=5.0)
    assert mine.yours == [part for part in PARTS if part not in wrong]
    assert mine.together.same
    said = str(mine)
    assert said.startswith("8 of 10 parts are yours.")
    assert "✗ rotation (rotate_pairs): at place 1000 and after: another result than the course's.\n" in said
    assert "    First at head 0, token 0, number 0: expected " in said
    assert said.count("✓") == 8
    assert "· not written yet, so the course's: mlp" in said


def test_the_search_for_the_part_ends_in_time(small, ten, monkeypatch):
    """What time remains for each, where the third takes all of it: none is found, so none is used."""
    clock, remaining = [0.0], []

    def compared(model, tokenizer, parts, seconds):
        remaining.append(seconds)
        clock[0] += 70 if len(remaining) == 4 else 25
        late = len(remaining) == 4
        other = "b" if len(remaining) == 1 else "a"
        return assembly.Comparison("a", other, 1, 0.0, 1.0, "it takes too long" * late, late)

    monkeypatch.setattr(assembly, "compared", compared)
    monkeypatch.setattr(assembly, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    given = {part: ten[part] for part in ("rms_norm", "rotation", "cache", "mlp")}
    mine = assembled(*small, given, "small", seconds=10.0)
    assert remaining == [120.0, 120.0, 95.0, 70.0, 120.0]
    assert mine.yours == []
    assert str(mine).count("right on each use, but not in the whole: does it keep something from one") == 4


def test_parts_that_there_are_not():
    with pytest.raises(ValueError, match=r"the parts are tokenizer, .* got 'norm'"):
        assemble({"norm": len})
    with pytest.raises(ValueError, match=r"the parts are tokenizer, .* got 'norm'"):
        assemble(norm=len)
    with pytest.raises(ValueError, match=r"the parts are tokenizer, .* got '3 \(int\)'"):
        assemble(3)
    with pytest.raises(ValueError, match=r"assemble\(take_along\('my_parts.py'\)\)"):
        assemble("my_parts.py")

    def rotate_pairs(x, start, base):
        return x

    for given, named in (((rotate_pairs,), {}), ((), {"rotate_pairs": rotate_pairs})):
        with pytest.raises(ValueError, match=r"^`rotate_pairs` is the part rotation: assemble\(rot"):
            assemble(*given, **named)


def test_a_part_is_said_when_it_is_judged_and_again_when_that_changes(small, ten, monkeypatch):
    monkeypatch.setattr(assembly, "_right", {})
    said, n_calls = [], []

    def counts(x, weight, eps):
        """Right as often as it is tried, then no more."""
        n_calls.append(len(said))
        return ten["rms_norm"](x, weight, eps) * (1 + (len(n_calls) > 28))

    mine = assembled(*small, {"rms_norm": counts, "mlp": ten["mlp"]}, "small", seconds=5.0, say=said.append)
    assert [line[:12] for line in said[:3]] == ["✓ rms_norm (", "✓ mlp (gated", "Now together"]
    assert said[3:] == [
        "Together the 2 parts write something else than the course's. Which of them does? Each is tried "
        "alone, all of them in 60 s at most ..."
    ]
    assert n_calls[:28] == [0] * 28
    assert mine.yours == ["mlp"]
    assert mine.together.same
    report = mine.report(said)
    assert "✗ rms_norm (rms_norm): right on each use, but not in the whole: does it keep" in report
    assert "✓ mlp" not in report


def test_a_model_goes_on_from_another_and_says_only_what_is_new(small, ten, monkeypatch):
    monkeypatch.setattr(assembly, "_right", {})
    wrong, said = with_gate(torch.tanh), []
    first = assembled(*small, {"rms_norm": ten["rms_norm"], "mlp": wrong}, "small", taken=None, seconds=5.0)
    first.helpers["decoding"] = lambda tokens: b"".join(tokens).decode(errors="replace")
    others = {"mlp": ten["mlp"], "cache": unwritten, "rms_norm": unwritten}
    second = assembled(*small, others, "small", taken=first, seconds=5.0, say=said.append)
    assert second.yours == ["rms_norm", "mlp"]
    assert second.helpers == first.helpers
    assert [line[:12] for line in said] == ["✓ mlp (gated", "Now together"]
    assert "\n✓ yours as before: rms_norm\n" in second.report(said)
    assert "\n✓ rms_norm (rms_norm): yours, in " in second.report()
    assert assembled(*small, {}, "small", taken=first, seconds=5.0).judgements["mlp"].wrong


def test_a_long_text_is_named_by_its_beginning(uses):
    places = [use.where for use in uses["tokenizer"]]
    assert max(map(len, places)) == 40
    assert places[-1] == "''"


def test_where_no_part_is_right_the_courses_are_saved(small, tmp_path):
    page = assembled(*small, {}, "small", seconds=5.0).save(tmp_path / "page.py")
    assert "a chat model: 0 of the 10 parts" in page.read_text(encoding="utf-8")
    assert not take_along(page)


# ------------------------------------------------------------------------------------------ without the model


def test_parts_with_the_same_code_are_not_judged_again(small, tmp_path, monkeypatch):
    """Only what changed is, and what cannot be known to be the same."""
    judged, compared = [], []
    monkeypatch.setattr(assembly, "judge", lambda *given: judged.append(given[0]) or judge(*given))
    whole = assembly.compared
    monkeypatch.setattr(assembly, "compared", lambda *given: compared.append(given) or whole(*given))
    monkeypatch.setattr(assembly, "_right", {})
    monkeypatch.setattr(assembly, "_right_together", {})

    def assemble_from(helper, **others):
        judged.clear(), compared.clear()
        norm = "def rms_norm(x, weight, eps):\n    return weight * over(x, eps)"
        path = notebook(tmp_path / "mine.ipynb", solution_source(PARTS["block"].task), helper, norm)
        mine = assembled(*small, others, "small", taken=take_along(path), seconds=5.0)
        return mine.yours, list(judged), len(compared)

    right = "def over(x, eps):\n    return x / (x.pow(2).mean(-1, True) + eps).sqrt()"
    wrong = right.replace("+ eps", "")
    closure = with_gate(F.silu)  # its code does not say all
    two, three = ["rms_norm", "block"], ["rms_norm", "mlp", "block"]
    assert assemble_from(right, mlp=closure) == (three, three, 1)
    assert assemble_from(right) == (two, [], 1)
    assert assemble_from(right) == (two, [], 0)
    assert assemble_from(right, mlp=closure) == (three, ["mlp"], 1)
    assert assemble_from(wrong) == (["block"], ["rms_norm"], 1)
    assert assemble_from(wrong) == (["block"], ["rms_norm"], 0)  # what is wrong is tried again
    assert assemble_from(right) == (two, [], 0)


@pytest.mark.parametrize("imported", ["import my_helpers", "from my_helpers import over"])
def test_a_part_that_needs_a_module_of_the_learners_is_always_judged(tmp_path, monkeypatch, imported):
    (tmp_path / "my_helpers.py").write_text("def over(x):\n    return x\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    name = "over" if "over" in imported else "my_helpers.over"
    code = f"def rms_norm(x, weight, eps):\n    return {name}(x)"
    taken = take_along(notebook(tmp_path / "mine.ipynb", imported, code))
    assert imported in taken.source("rms_norm")
    assert taking_along.code_of("rms_norm", taken["rms_norm"]) == ""
    del sys.modules["my_helpers"]


@pytest.mark.usefixtures("smollm2_missing")
def test_without_smollm2_a_small_model_takes_its_place(ten, capsys, monkeypatch):
    monkeypatch.setattr(assembly, "_met", set())
    monkeypatch.setattr(assembly, "_right", {})
    mine = assemble(ten, mlp=with_gate(torch.tanh))
    assert len(mine.yours) == 9
    said = capsys.readouterr().out
    assert " ".join(said.split()).startswith(
        "Loading SmolLM2 ... "
        "This is a small random model of SmolLM2's family, which writes no sense, because SmolLM2 is "
        "missing: SmolLM2 is not installed; from the course folder run: this "
        "It reads a prompt; what goes into each part there is kept ... ✓ tokenizer (tokenizer_at_"
    )
    lines = said.split("\n")
    n_lines = [sum(f"{mark} {part} (" in line for line in lines for mark in "✓✗") for part in PARTS]
    assert n_lines == [1] * len(PARTS)  # each is said once, before the whole
    assert lines.index("Now together ...") + 1 == lines.index("9 of 10 parts are yours.")


# --------------------------------------------------------------------------------------------- chat, seconds


@pytest.fixture
def mine(small, ten):
    return assembled(*small, {part: ten[part] for part in list(PARTS)[:9]}, "small", seconds=5.0)


def test_a_chat_streams_remembers_and_draws_repeatably(mine, capsys):
    def ask(question, **options):
        generator = torch.Generator().manual_seed(7)
        return mine.chat(question, max_new_tokens=5, generator=generator, **options)

    first = ask("Why?")
    assert capsys.readouterr().out == f"{first}\n"
    assert mine.turns == [("user", "Why?"), ("assistant", first)]
    second = ask("And how?")
    assert mine.turns[2:] == [("user", "And how?"), ("assistant", second)]
    assert ask("Why?", forget=True) == first
    assert mine.turns == [("user", "Why?"), ("assistant", first)]
    with pytest.raises(
        ValueError, match=r"the conversation has \d+ tokens, so 500 new ones do not fit into 512"
    ):
        mine.chat("Why?", max_new_tokens=500)


def test_the_parts_are_not_much_slower_than_the_librarys_path(mine):
    assert mine.speed() > 1 / 4  # benchmarks/my_transformer.py measures it: .8 is asked


def test_the_speed_is_that_of_written_tokens_alone(small, ten, monkeypatch):
    """A clock that stands still but for a layer of the learner's: a prompt costs much, a token little."""
    clock = [0.0]

    def slow(x, *parts):
        clock[0] += 1000 if x.shape[1] > 1 else 1
        return ten["block"](x, *parts)

    def of_library(*given, forward=small[0].forward):
        clock[0] += 6
        return forward(*given)

    mine = assembled(*small, {"block": slow}, "small", seconds=5.0)
    monkeypatch.setattr(small[0], "forward", of_library)
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert mine.speed() == 2.0  # three layers, one after the other


# ----------------------------------------------------------------------------------------------- taking along


def notebook(path, *cells):
    cells = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_parts_come_from_the_earlier_notebooks_solutions(capsys):
    names = ["01_tokens/byte_pairs", "00_overview/warm_up", "06_residuals/parts", "05_positions/rotation"]
    taken = take_along(*(ROOT / "solutions" / f"{name}.ipynb" for name in names))
    assert list(taken) == ["tokenizer", "embedding", "rms_norm", "rotation", "mlp", "block"]
    assert taken.origins["tokenizer_at_work"] == "01_tokens/byte_pairs.ipynb"
    said = capsys.readouterr().out
    assert said.startswith(
        "6 of 10 parts found.\n  tokenizer: tokenizer_at_work of 01_tokens/byte_pairs.ipynb\n"
    )
    assert "\nNot written yet: extend_cache, grouped_attention, forward_pass, next_probabilities.\n" in said
    assert "def merge_pair(" in taken.source("tokenizer")
    assert "def count_pairs(" not in taken.source("tokenizer")


def test_stubs_are_not_taken_and_nothing_else_of_a_notebook_runs(tmp_path):
    path = notebook(
        tmp_path / "mine.ipynb",
        "%matplotlib inline\nimport torch\nTINY = 0.0",
        "raise SystemExit\nopen('never').read()",
        "def root(x, eps):\n    return (x + eps + TINY).sqrt()",
        "def rms_norm(x, weight, eps):\n    return x / root(x.pow(2).mean(-1, keepdim=True), eps) * weight",
        'def gated_mlp(x, gate, up, down):\n    """..."""\n    raise NotImplementedError',
        "def pre_norm_block(x):\n    return x  # of another task: it takes other arguments",
        "def extend_cache(a, b, c, d):\n    return never_defined[a]\nfor",
        "def rotate_pairs(x, start, base=undefined):\n    return x",
    )
    later = tmp_path / "later.py"
    later.write_text("def rms_norm(x, weight, eps):\n    raise NotImplementedError()\n", encoding="utf-8")
    taken = take_along(path, later)
    assert list(taken) == ["rms_norm"]  # the stub of the later file does not take the place of a function
    assert taken.source("rms_norm").split("\n")[0] == "TINY = 0.0"
    assert len(taken.problems) == 2
    assert "mine.ipynb, cell 7 is left out: invalid syntax, line 3" in taken.problems[0]
    assert "rotate_pairs of " in taken.problems[1]
    assert "NameError: name 'undefined' is not defined" in taken.problems[1]
    with pytest.raises(ValueError, match="'mlp' was not found; found were rms_norm"):
        taken.source("mlp")


NORM = "def rms_norm(x, weight, eps):\n    return x"


@pytest.mark.parametrize(
    "cells",
    [
        ["rms_norm = lambda x, weight, eps: x"],
        ["def my_norm(x, w, e):\n    return x", "rms_norm = my_norm"],
        [NORM, "def rms_norm(x, weight, eps):\n    raise NotImplementedError"],
        [f"if True:\n    %matplotlib inline\nfiles = !ls\n{NORM}"],
        [f"%%time\n{NORM}"],
        [NORM, "%%bash\nrms_norm() { echo; }"],
        ["def rms_norm(x, *others):\n    return x"],
    ],
)
def test_a_part_is_found_however_its_cell_is_written(tmp_path, cells):
    taken = take_along(notebook(tmp_path / "mine.ipynb", *cells))
    assert not taken.problems
    assert taken["rms_norm"](3, 0, 0) == 3
    again = take_along(save(tmp_path / "parts.py", {"rms_norm": taken["rms_norm"]}))
    assert again["rms_norm"](3, 0, 0) == 3


# What `str.splitlines` splits at; for Python only three of them end a line.
ENDS = ["\r\n", *(end for end in map(chr, range(0x3000)) if len(f"a{end}b".splitlines()) == 2)]


@pytest.mark.parametrize("name", ["mine.py", "mine.ipynb", "magic.ipynb"])
@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_a_function_comes_whole_whatever_stands_above_it(tmp_path, end, name):
    path, line_end = tmp_path / name, end if end in ("\r", "\r\n") else "\n"
    code = line_end.join([f"# one{end}# two", *NORM.split("\n"), ""])
    if name == "mine.py":
        path.write_bytes(code.encode())
    else:
        notebook(path, "%matplotlib inline\n" * (name == "magic.ipynb") + code)
    taken = take_along(path)
    assert taken.source("rms_norm") == NORM
    assert NORM in save(tmp_path / "parts.py", dict(taken)).read_text(encoding="utf-8")


READS_T = "def rms_norm(x, weight, eps):\n    return [x, T]"


@pytest.mark.parametrize(
    ("cells", "made"),
    [
        (["from math import *", "T = floor(tau)"], 6),
        (["from math import *", "tau = 2", "T = floor(tau)"], 2),
        (
            [
                "try:\n    import never_there as m\nexcept ImportError:\n    import math as m",
                "T = m.floor(3.5)",
            ],
            3,
        ),
        (["T = [0, 0]", "T[1] = 5"], [0, 5]),
        (["T = [0, 0]", "T.append(2)"], [0, 0, 2]),
        (["N = 7", "T = {}", "for i in range(2):\n    T[i] = i + N"], {0: 7, 1: 8}),
        (["T = 1", "T += 2", "T = T * 5"], 15),
        (["T = 9", "T += 2", "T = 1"], 1),
        (["T = 1", "if T > 5:\n    T = 0"], 1),
        (["rows = []", "T = lambda n: T(n - 1) if n else rows", "rows.append(1)", "T = T(3)"], [1]),
        (["T = 1", "print('not run')", "T = [i for i in (1, 2)]\nfor T[0] in ():\n    print(T)"], [1, 2]),
    ],
)
def test_a_constant_comes_along_however_it_is_made(tmp_path, cells, made, capsys):
    taken = take_along(notebook(tmp_path / "mine.ipynb", *cells, READS_T))
    assert taken["rms_norm"](3, 0, 0) == [3, made]
    assert "not run" not in capsys.readouterr().out


def test_what_is_called_of_a_module_does_not_come_along(tmp_path):
    cells = (
        "import torch\nT = torch.ones(2)",
        "torch.nn.init.zeros_(never.weight)\ntorch.never = never",
        READS_T,
    )
    taken = take_along(notebook(tmp_path / "mine.ipynb", *cells))
    assert not taken.problems
    assert taken["rms_norm"](3, 0, 0)[1].tolist() == [1, 1]


def test_a_function_that_is_wrapped_later_comes_wrapped(tmp_path):
    cells = "def twice(f):\n    return lambda *given: 2 * f(*given)", NORM, "rms_norm = twice(rms_norm)"
    assert take_along(notebook(tmp_path / "mine.ipynb", *cells))["rms_norm"](3, 0, 0) == 6


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (
            ["T = [0]", "for i in range(3):\n    print(i)\n    T[0] = i"],
            "comes without `for i in range(3):`, which changes T: only imports, definitions and assign",
        ),
        (
            ["with open('never') as file:\n    print(T := file.read())"],
            "`with open('never') as file:`, which",
        ),
        ([], "needs T: not found there"),
        (["T = never"], "cannot be used: NameError: name 'never' is not defined"),
    ],
)
def test_what_does_not_come_along_is_said(tmp_path, cells, problem, capsys):
    taken = take_along(notebook(tmp_path / "mine.ipynb", *cells, READS_T, "print(T)\nT.mean()\nT"))
    assert [problem in one for one in taken.problems] == [True]
    assert f"\nrms_norm of {tmp_path.name}/mine.ipynb " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "def rms_norm(x, weight, eps, axis):\n    return x",
            "takes (x, weight, eps, axis), asked for is rms_norm(x, weight, eps)",
        ),
        ("def rms_norm(x, weight, eps, *, axis):\n    return x", "takes (x, weight, eps, *, axis), asked"),
        ("from torch.nn import RMSNorm as rms_norm", "is not made by `def`, by `lambda`, or as another name"),
        ("a = rms_norm = a", "is not made by `def`"),
    ],
)
def test_why_a_part_was_passed_over(tmp_path, code, why, capsys):
    taken = take_along(notebook(tmp_path / "mine.ipynb", code))
    assert not taken
    line = next(line for line in capsys.readouterr().out.split("\n") if line.startswith("  rms_norm:"))
    assert line.startswith("  rms_norm: no rms_norm yet (that of ")
    assert f"/mine.ipynb {why}" in line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.ipynb", b""),
        ("broken.ipynb", b'{"cells": ['),
        ("list.ipynb", b"[]"),
        ("latin.py", b"# Gr\xfc\xdfe"),
        ("zero.py", b"x = 1\0"),
    ],
)
def test_a_broken_file_is_named_and_the_others_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    taken = take_along(tmp_path / name, notebook(tmp_path / "mine.ipynb", NORM))
    assert list(taken) == ["rms_norm"]
    assert len(taken.problems) == 1
    assert name in taken.problems[0]


@pytest.mark.parametrize("suffix", [".ipynb", ".py"])
def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path, suffix):
    """Some editors of Windows write one."""
    path = notebook(tmp_path / "mine.ipynb", NORM)
    content = path.read_text(encoding="utf-8") if suffix == ".ipynb" else NORM
    path = tmp_path / f"marked{suffix}"
    path.write_text(content, encoding="utf-8-sig")
    assert take_along(path).source("rms_norm") == NORM


def test_a_path_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.py", tmp_path):
        with pytest.raises(ValueError, match="parts are taken from notebooks"):
            take_along(path)


def test_all_notebooks_are_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(taking_along, "ROOT", tmp_path)
    for name in ("06_residuals/parts", "09_real_models/my_transformer"):
        (tmp_path / "exercises" / name).parent.mkdir(parents=True)
        notebook(tmp_path / f"exercises/{name}.ipynb", f"def rms_norm(x, weight, eps):\n    return {name!r}")
    taken = take_along()
    assert taken["rms_norm"](0, 0, 0) == "09_real_models/my_transformer"


# ------------------------------------------------------------------------------------ notebooks of a learner

EARLIER = (
    "00_overview/warm_up",
    "01_tokens/byte_pairs",
    "03_qkv/attention_in_torch",
    "05_positions/rotation",
)
EARLIER += ("06_residuals/parts", "07_mlm_vs_next_token/writing")
HERE = "09_real_models/my_transformer"


def answers(folder, name, **written):
    """Write a learner's copy of an exercise notebook; `written` has the code of answers by their ids."""
    cells = json.loads((ROOT / f"exercises/{name}.ipynb").read_text(encoding="utf-8"))
    for cell in cells["cells"]:
        answer = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if answer in written:
            cell["source"] = written[answer]
    path = folder / f"exercises/{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cells), encoding="utf-8")
    return path


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A folder with the exercises: those of earlier notebooks are solved."""
    for name in EARLIER:
        concept, notebook = name.split("/")
        tasks = [task for task, its in words(concept).items() if its.notebook == notebook]
        answers(tmp_path, name, **{task.split("/")[1]: solution_source(task) for task in tasks})
    monkeypatch.setattr(taking_along, "ROOT", tmp_path)
    return tmp_path


def kernel(path, monkeypatch, ids=()):
    """What a new kernel has after the code cells of a notebook, or some; a check may say: not written yet."""
    monkeypatch.chdir(path.parent)
    shell = SimpleNamespace(system=lambda command: None)  # another test runs the program
    scope = {"__name__": "__main__", "get_ipython": lambda: shell}
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code" or (ids and cell["id"] not in ids):
            continue
        code = TransformerManager().transform_cell("".join(cell["source"]))
        file = f"<{path}, a kernel's cell {number}>"
        monkeypatch.setitem(linecache.cache, file, (len(code), None, code.splitlines(keepends=True), file))
        try:
            exec(compile(code, file, "exec"), scope)
        except NotImplementedError:
            assert cell["metadata"]["nbgrader"]["grade"]
    return scope


IMPORTED = "from functools import partial\n\nimport torch\nimport torch.nn.functional as F"
NEW = ("extend_cache", "grouped_attention", "next_probabilities", "forward_pass")
CALLING = {
    "tokenizer_at_work": "def tokenizer_at_work(words, ranks, ids, special):\n"
    "    cut = lambda word: [ids[token] for token in encode(word, ranks)]\n"
    "    return sum(([special[word]] if word in special else cut(word) for word in words), [])",
    "grouped_attention": "def grouped_attention(q, k, v, mask):\n"
    "    n = q.shape[1] // k.shape[1]\n"
    "    return attention(q, k.repeat_interleave(n, dim=1), v.repeat_interleave(n, dim=1), mask)",
    "next_probabilities": "def next_probabilities(logits, t, p):\n"
    "    return top_p(temperature(logits, t), p)",
}


@pytest.mark.usefixtures("smollm2_missing")
def test_six_earlier_tasks_and_four_new_ones_make_ten_parts(earlier, monkeypatch, capsys):
    """The stubs of the notebook take the place of nothing that was taken along."""
    monkeypatch.setattr(assembly, "_met", set())
    monkeypatch.setattr(assembly, "_right_together", {})
    four = {name: solution_source(f"09_real_models/{name}") for name in NEW}
    scope = kernel(answers(earlier, HERE, **four), monkeypatch)
    assert scope["my_model"].yours == list(PARTS)
    assert list(scope["certificate"].measured) == list(PARTS)
    said = capsys.readouterr().out
    assert [said.count(f"{line} ...\n") for line in ("Loading SmolLM2", "It answers a question")] == [1, 1]
    assert "not written yet" not in said
    assert scope["my_model"].parts["rms_norm"] is scope["mine"]["rms_norm"]
    assert scope["my_model"].parts["cache"] is scope["extend_cache"]


@pytest.mark.usefixtures("smollm2_missing")
@pytest.mark.parametrize(
    ("n_earlier", "written", "numbers"),
    [
        # All anew, and nothing saved before the end; then two faults.
        (0, list(PARTS), [0, 0, 3, 6, 9, 10, 9, 9]),
        (2, ["rms_norm", "mlp"], [0, 2, 3, 3, 4, 4, 3, 3]),  # two brought along, two written
    ],
)
def test_no_step_from_the_first_cell_to_the_certificate_loses_a_part(
    earlier, monkeypatch, capsys, n_earlier, written, numbers
):
    """Parts that were brought along, parts that are written here, and stubs between them."""
    path = answers(earlier, HERE, **{PARTS[part].function: plain(part) for part in written})
    brought = earlier / "brought.py"
    own = [plain(part) for part in list(PARTS)[:n_earlier]]
    brought.write_text("\n\n\n".join([IMPORTED, *own]), encoding="utf-8")
    monkeypatch.setattr(taking_along, "_notebooks", lambda: [brought])
    scope = kernel(path, monkeypatch)
    found = re.findall(r"^(\d+) of 10 parts are yours\.", capsys.readouterr().out, re.MULTILINE)
    assert [int(n) for n in found] == numbers
    assert len(scope["certificate"].measured) == max(numbers)
    assert f"a chat model: {max(numbers)} of the 10 parts" in scope["page"].read_text(encoding="utf-8")


@pytest.mark.usefixtures("smollm2_missing")
def test_what_the_texts_say_may_go_in_goes_in(earlier, monkeypatch, tmp_path, small):
    path = answers(earlier, HERE, **CALLING)
    mine = kernel(path, monkeypatch)["my_model"]  # the checks pass
    assert [part for part in PARTS if part not in mine.yours] == ["cache", "forward"]
    assert (
        mine.parts["sampler"].__globals__["top_p"].__module__
        == "taken from 07_mlm_vs_next_token/writing.ipynb"
    )
    again = take_along(mine.save(tmp_path / "my_parts.py"))
    assert assembled(*small, again, "small", seconds=5.0).yours == mine.yours


@pytest.mark.usefixtures("smollm2_missing")
def test_after_a_restart_one_cell_brings_everything_back(earlier, monkeypatch):
    rest = {name: solution_source(f"09_real_models/{name}") for name in ("extend_cache", "forward_pass")}
    path = answers(earlier, HERE, **rest, **CALLING)
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]}
    assert "After a restart of the kernel** run the first code cell" in cells["taking-along"]
    scope = kernel(path, monkeypatch, ("setup", "mine"))
    assert not scope["mine"].problems
    assert scope["my_model"].yours == list(PARTS)
    last_third = [f"{name}-answer" for name in ("gated-mlp", "pre-norm-block", "next-probabilities")]
    on = kernel(path, monkeypatch, ("setup", "mine", *last_third, "last-assembly"))
    assert on["my_model"].yours == list(PARTS)


@pytest.mark.usefixtures("smollm2_missing")
def test_a_stub_takes_no_functions_place(ten, small):
    for stub in (unwritten, torch.no_grad()(unwritten)):
        mine = assemble(ten, rms_norm=stub)
        assert mine.parts["rms_norm"] is ten["rms_norm"]
        assert mine.yours == list(PARTS)
    assert "not written yet, so the course's: rms_norm" in str(assemble(rms_norm=unwritten))
    wrong = assemble(ten, rms_norm=lambda x, weight, eps: x)
    assert "rms_norm" not in wrong.yours  # a function does, right or not


def test_the_code_of_a_function_by_either_name(earlier):
    mine = take_along()
    assert mine.source("tokenizer_at_work") == mine.source("tokenizer")
    assert "def merge_pair(" in mine.source("encode")
    assert "def attention(q, k, v, mask=None)" in mine.source("attention")  # the part is not written yet
    assert set(mine.earlier) == {"encode", "attention", "temperature", "top_p"}
    assert "Earlier functions that they may call: encode, attention, temperature, top_p." in str(mine)
    with pytest.raises(
        ValueError, match=r"'extend_cache' was not found; found were .*, encode, decode, tokenizer_at_work, "
    ):
        mine.source("extend_cache")


def test_two_readings_of_a_cell_keep_their_own_lines(tmp_path):
    """Else the old function would be taken for the new one, which was found right."""
    path = tmp_path / "mine.ipynb"
    norms = [take_along(notebook(path, NORM.replace("return x", f"return x{end}"))) for end in ("", " + 1")]
    assert [one.source("rms_norm")[-8:] for one in norms] == ["return x", "rn x + 1"]


def test_an_earlier_function_is_that_of_its_own_notebook(tmp_path):
    code = "def top_p(probabilities, p):\n    return probabilities"
    others = [notebook(tmp_path / name, code) for name in ("writing.ipynb", "depth.ipynb")]
    taken = take_along(*others)
    assert taken.earlier["top_p"].__module__.endswith("/writing.ipynb")


@pytest.mark.parametrize(
    "cells",
    [
        ["mine = take_along()\ntop_p = mine.earlier['top_p']", "def {}:\n    return top_p(logits, p)"],
        ["mine = take_along(into=globals())", "def {}:\n    return mine.earlier['top_p'](logits, p)"],
    ],
)
def test_a_notebook_that_takes_along_itself_is_taken(tmp_path, cells, capsys):
    earlier = notebook(
        tmp_path / "writing.ipynb", "def top_p(probabilities, p):\n    return probabilities, p"
    )
    cells = [cell.format(PARTS["sampler"].call) for cell in cells]
    here = notebook(
        tmp_path / "here.ipynb", "from course_lib.concepts.c09_real_models.capstone import take_along", *cells
    )
    assert take_along(earlier, here)["sampler"](1, 2, 3) == (1, 3)
    assert capsys.readouterr().out.count("parts found.") == 1


# ----------------------------------------------------------------------------------------------------- saving


def test_saved_parts_are_the_same_parts(small, mine, tmp_path):
    path = mine.save(tmp_path / "my_parts.py")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(
        '"""SmolLM2-135M-Instruct, a chat model: 9 of the 10 parts that compute it are mine.'
    )
    assert text.count(" (The course's.)\n") == text.count(" (The course's.)\ndef next_probabilities(") == 1
    again = take_along(path)
    assert list(again) == mine.yours
    assert not again.helpers
    other = assembled(*small, again, "small", seconds=5.0)
    assert other.yours == mine.yours
    assert other.save(tmp_path / "again.py").read_text(encoding="utf-8") == text.replace("my_parts", "again")


# ---------------------------------------------------------------------------------------------- a program


FORMATTED = (
    ("format", "--check", "--line-length", "110"),
    ("check", "--select", "E,W,F,I,B,UP", "--line-length", "110"),
)


def is_formatted(path):
    ruff = [sys.executable, "-m", "ruff"]
    return all(subprocess.run([*ruff, *how, path], check=False).returncode == 0 for how in FORMATTED)


def test_ten_solutions_make_one_page_that_chats(small, ten, tmp_path):
    path = assembled(*small, {}, "small", taken=ten, seconds=5.0).save(tmp_path / "my_chat.py")
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    assert is_formatted(path)
    assert re.findall(r"import .*\bcourse_lib|course_lib.*", text) == [
        "course_lib.concepts.c09_real_models.capstone import read_smollm2"
    ]
    assert "SOLUTION" not in text
    assert '"""' not in text.split("\n", 1)[1]
    places = [text.index(f"# {MEANS[part]}\ndef {its.function}(") for part, its in PARTS.items()]
    assert places == sorted(places)
    assert list(take_along(path)) == list(PARTS)
    typed = "What is the capital of France?\nAnd of Italy?\n\n"
    how = {"cwd": tmp_path, "capture_output": True, "encoding": "utf-8", "check": False}
    run = subprocess.run([sys.executable, path.name], input=typed, **how)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "> The capital of France is Paris.\n> The capital of Italy is Rome.\n> "


def test_a_page_of_earlier_answers_holds_their_helpers_and_none_of_our_words(earlier, tmp_path):
    weights = answers(
        earlier, "09_real_models/weights", chat_template=solution_source(HELPERS["chat_form"].task)
    )
    taken = take_along(*taking_along._notebooks(), weights)
    page = write_program(tmp_path / "page.py", dict(taken), taken.helpers)
    text = page.read_text(encoding="utf-8")
    assert is_formatted(page)
    assert "Args:" not in text
    assert "SOLUTION" not in text
    assert text.index("\nSMOLLM2_SYSTEM = ") < text.index("\ndef chat_template(")
    assert text.index("\ndef encode(") < text.index("\ndef tokenizer_at_work(")
    again = take_along(page)
    assert list(again) == list(taken)
    assert again.helpers.keys() == HELPERS.keys()


DECODE = '''def decode(tokens):
    """Mine."""
    return b"".join(tokens).decode("utf-8", "replace")'''


def test_half_of_the_parts_and_helpers_go_into_the_chat_and_into_the_program(
    small, smollm2, tmp_path, monkeypatch, capsys
):
    half = list(PARTS)[::2]
    code = [IMPORTED, "from course_lib.pretrained import SMOLLM2_SYSTEM", DECODE]
    code += [solution_source(HELPERS["chat_form"].task), *map(plain, half)]
    path = tmp_path / "helpers.py"
    path.write_text("\n\n\n".join(code), encoding="utf-8")
    taken = take_along(path)
    assert "\nFor the chat: chat_template, decode.\n" in capsys.readouterr().out
    mine = assembled(*small, {}, "small", taken=taken, seconds=5.0)
    assert mine.yours == half
    assert "✓ chat_template: yours, in the chat\n✓ decode: yours, in the chat\n" in str(mine)
    library = assembled(*small, {}, "small", seconds=5.0)
    how = {"temperature": 0, "max_new_tokens": 5}
    for question in ("Why?", "And how?"):
        assert mine.chat(question, **how) == library.chat(question, **how)
    with pytest.raises(ValueError, match="holds a sign of the template"):
        mine.chat("<|im_end|>")
    page = mine.save(tmp_path / "my_chat.py")
    assert is_formatted(page)
    text = page.read_text(encoding="utf-8")
    assert "answer(chat_template(turns))" in text
    assert "decode([said])" in text
    assert '    """Mine."""\n' in text
    for part, its in PARTS.items():
        whose = "" if part in half else " (The course's.)"
        assert f"# {MEANS[part]}{whose}\ndef {its.function}(" in text
    again = take_along(page)
    assert list(again) == half
    assert set(again.helpers) == set(HELPERS)
    # Here, with the model that is loaded already.
    monkeypatch.setattr(pretrained, "load_smollm2", lambda device: smollm2)
    monkeypatch.setattr(sys, "argv", [page.name, "What is the capital", "of France?"])
    capsys.readouterr()
    runpy.run_path(str(page))
    assert capsys.readouterr().out == "The capital of France is Paris.\n"


def test_the_heads_of_an_earlier_notebook_go_into_the_model_and_the_program(small, tmp_path):
    heads = answers(
        *(tmp_path, "04_multi_head/heads"),
        **{name: solution_source(f"04_multi_head/{name}") for name in ("split_heads", "join_heads")},
    )
    code = plain("forward").replace("mixed.transpose(1, 2).flatten(2)", "join_heads(mixed)")
    code = re.sub(
        r"\((y @ (layer\[.*?\]).mT)\).unflatten\(-1, \(-1, width\)\).transpose\(1, 2\)",
        r"split_heads(\1, len(\2) // width)",
        code,
    )
    taken = take_along(heads, notebook(tmp_path / "here.ipynb", "import torch", code))
    assert set(taken.earlier) == {"split_heads", "join_heads"}
    mine = assembled(*small, {}, "small", taken=taken, seconds=5.0)
    assert mine.yours == ["forward"]
    text = mine.save(tmp_path / "my_chat.py").read_text(encoding="utf-8")
    assert [text.count(f"\ndef {name}(") for name in ("split_heads", "join_heads")] == [1, 1]
    assert text.index("def join_heads(") < text.index(f"# {MEANS['forward']}\ndef forward_pass(")


def test_a_helper_that_is_wrong_is_named_and_not_used(small, tmp_path):
    path = tmp_path / "helpers.py"
    path.write_text("def decode(tokens):\n    return ''.join(token.decode() for token in tokens)\n")
    mine = assembled(*small, {}, "small", taken=take_along(path), seconds=5.0)
    assert mine.helpers == {}
    assert "✗ decode: " in str(mine)
    assert "The course's is used in the chat." in str(mine)


def test_a_name_that_the_program_needs_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("weights = [1]\ndef rms_norm(x, weight, eps):\n    return x * weights[0]\n")
    with pytest.raises(ValueError, match="'weights' is a name that the program needs itself"):
        save(tmp_path / "page.py", dict(take_along(path)))


HALF = 0.5
CUTS = [1, 2]
NEG = float("-inf")
SINK = torch.zeros(3)


@torch.no_grad()
def helper(x):
    return x if HALF else other_helper(x)


@functools.lru_cache
def root_of(n):
    return sqrt(n) + min(NEG, -inf)


@torch.no_grad()
def decorated(x, weight, eps):
    return twice(helper(x)) + root_of(2) + softmax(x)


twice = lambda x: 2 * x * nan  # noqa: E731


def other_helper(x):
    return helper(x) * len(CUTS)


def my_norm(x, weight, eps):
    return F.rms_norm(helper(x), weight.shape, weight, eps)


def test_what_a_part_needs_is_saved_with_it(tmp_path):
    path = save(tmp_path / "parts.py", {"rms_norm": my_norm})
    text = path.read_text(encoding="utf-8")
    assert "import torch.nn.functional as F\n" in text
    for line in ("HALF = 0.5", "CUTS = [1, 2]", "def other_helper(x):", "rms_norm = my_norm"):
        assert f"\n{line}" in text
    scope = {}
    exec(source_of({"rms_norm": my_norm}), scope)
    x = torch.arange(6.0).reshape(2, 3)
    torch.testing.assert_close(scope["rms_norm"](x, x[0], 1e-5), my_norm(x, x[0], 1e-5))


def test_decorated_functions_and_infinite_constants_are_saved(tmp_path):
    text = save(tmp_path / "parts.py", {"rms_norm": decorated}).read_text(encoding="utf-8")
    lines = text.split("\n")
    for line in (
        'NEG = float("-inf")',
        'inf = float("inf")',
        'nan = float("nan")',
        "@functools.lru_cache",
        "from math import sqrt",
        "from torch import softmax",
        "twice = lambda x: 2 * x * nan  # noqa: E731",
        "rms_norm = decorated",
    ):
        assert lines.count(line) == 1, line
    assert lines.count("@torch.no_grad()") == 2
    exec(source_of({"rms_norm": decorated}), {})


def test_what_stands_only_in_the_notebooks_own_module_is_not_imported(tmp_path, monkeypatch):
    main = sys.modules["__main__"]
    home = {"__name__": "__main__", "torch": torch}
    file = "<a cell>"
    code = "@torch.no_grad()\ndef rms_norm(x, weight, eps):\n    return made(x)\n"
    monkeypatch.setitem(linecache.cache, file, (len(code), None, code.splitlines(keepends=True), file))
    exec(compile(code, file, "exec"), home)
    home["made"] = functools.partial(int)
    home["made"].__module__, home["made"].__name__ = "__main__", "made"
    monkeypatch.setattr(main, "made", home["made"], raising=False)
    path = tmp_path / "parts.py"
    with pytest.raises(ValueError, match="'made' cannot be saved, because it is a partial"):
        save(path, {"rms_norm": home["rms_norm"]})
    assert not path.exists()
    home["made"] = 1
    assert "def rms_norm(x" in save(path, {"rms_norm": home["rms_norm"]}).read_text(encoding="utf-8")


def test_local_names_are_not_taken_for_those_of_the_file(tmp_path):
    path = notebook(
        tmp_path / "mine.ipynb",
        "import torch\nx = torch.ones(3)\nweight = x\ni = missing\nEPS = 1e-5\nSIZE = 2",
        "def same(f):\n    return f",
        "class Scale:\n    by = 1\n    def __call__(self, x):\n        return x * self.by * SIZE",
        "@same\ndef rms_norm(x, weight, eps=EPS):\n    y = [i for i in x]\n    return Scale()(x)",
    )
    taken = take_along(path)
    assert not taken.problems
    text = "\n" + taken.source("rms_norm")
    assert "weight =" not in text
    assert [text.count(f"\n{line}") for line in ("EPS =", "SIZE =", "def same", "class Scale:")] == [1] * 4
    assert "__name__" not in text


def test_what_cannot_be_saved_is_said(tmp_path):
    def within(x, weight, eps):
        return x

    def saved(part):
        return save(tmp_path / "parts.py", part)

    with pytest.raises(ValueError, match="rms_norm cannot be saved: it must be a function of a notebook"):
        saved({"rms_norm": torch.nn.RMSNorm(3)})
    with pytest.raises(ValueError, match="'within' cannot be saved: it is not defined at the top"):
        saved({"rms_norm": within})
    scope = {"__name__": "__main__", "sink": SINK, "helper": helper}
    exec("def rms_norm(x, weight, eps):\n    return sink", scope)
    with pytest.raises(ValueError, match="'rms_norm' cannot be saved: it is not defined at the top"):
        saved({"rms_norm": scope["rms_norm"]})
    one, two = (
        notebook(tmp_path / f"{name}.ipynb", code)
        for name, code in {
            "one": "def helper(x):\n    return x\ndef rms_norm(x, weight, eps):\n    return helper(x)",
            "two": "def helper(x):\n    return 2 * x\ndef gated_mlp(x, a, b, c):\n    return helper(x)",
        }.items()
    )
    with pytest.raises(ValueError, match="two parts use 'helper' for two different things"):
        saved(dict(take_along(one, two)))
    (tmp_path / "three.py").write_text(
        "import torch\nsink = torch.zeros(3)\ndef rms_norm(x, weight, eps):\n    return sink\n",
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="'sink' cannot be saved, because it is a Tensor: make it within"):
        saved(dict(take_along(tmp_path / "three.py")))


@pytest.mark.parametrize(
    ("file", "helper", "said"),
    [
        ("<timed exec>", "", "'rms_norm' cannot be saved: its cell begins with %%time, which keeps no code"),
        (
            "<a cell>",
            "class Eps:\n    value = 1",
            "'Eps' cannot be saved: it is a class without methods, whose code Python does not find; const",
        ),
        (
            "<a cell>",
            "from dataclasses import dataclass\n@dataclass\nclass Eps:\n    value: int = 1",
            "'Eps' cannot be saved: it is a class without methods",
        ),
        (
            "<a cell>",
            "def Eps(f):\n    def wrapper(x):\n        return f(x)\n    return wrapper\n"
            "@Eps\ndef same(x):\n    return x",
            "'wrapper' cannot be saved: it is not defined at the top of a cell or a file, but within 'Eps'; "
            "where that decorates a function, write @functools.wraps(function) above `def wrapper`",
        ),
    ],
)
def test_why_the_code_of_a_part_is_not_found(tmp_path, monkeypatch, file, helper, said):
    user = "same" if "same" in helper else "Eps" if helper else "x"
    code = f"{helper}\ndef rms_norm(x, weight, eps):\n    return {user}\n"
    if file == "<a cell>":
        monkeypatch.setitem(linecache.cache, file, (len(code), None, code.splitlines(keepends=True), file))
    scope = {"__name__": "a notebook"}
    monkeypatch.setitem(sys.modules, "a notebook", SimpleNamespace(**scope))  # `dataclass` looks there
    exec(compile(code, file, "exec"), scope)
    with pytest.raises(ValueError, match=re.escape(said)):
        save(tmp_path / "parts.py", {"rms_norm": scope["rms_norm"]})


def test_a_part_that_calls_an_unwritten_helper_is_told_so(uses):
    def encode():
        raise NotImplementedError

    def rms_norm(x, weight, eps):
        return encode()

    found = judge("rms_norm", rms_norm, uses["rms_norm"], 5.0)
    assert found.written
    assert found.problem == "it calls `encode`, which is not written yet."


def test_right_parts_that_are_slow_together_stay_the_learners(small, ten, monkeypatch):
    monkeypatch.setattr(assembly, "call", lambda run, seconds: call(run, 0.01))
    mine = assembled(*small, {"block": ten["block"]}, "small", seconds=5.0)
    assert mine.yours == ["block"]
    assert mine.together.late
    assert "together they did not finish in time" in str(mine)
    assert repr(mine) == "MyModel: small, 1 of 10 parts yours"


def test_a_chat_looks_at_its_numbers(small):
    mine = assembled(*small, {}, "small", seconds=5.0)
    for wrong in ({"top_p": 0.0}, {"temperature": -1.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match="temperature must be 0 or more, top_p above 0 and at most 1"):
            mine.chat("Why?", **wrong)


@pytest.mark.parametrize(
    "cells",
    [
        ["@dataclass\nclass Size:\n    n: int = 3\n    def of(self):\n        return self.n"],
        ["N: int = 3", "class Size:\n    n: int\n    def of(self):\n        return N"],
        ["three: Any = lambda: 3", "class Size:\n    def of(self):\n        return three()"],
    ],
)
def test_what_has_an_annotation_is_taken_and_saved(tmp_path, cells):
    imports = "from dataclasses import dataclass\nfrom typing import Any"
    uses = "def rms_norm(x, weight, eps):\n    return [x, Size().of()]"
    taken = take_along(notebook(tmp_path / "mine.ipynb", imports, *cells, uses))
    assert not taken.problems
    again = take_along(save(tmp_path / "parts.py", dict(taken)))
    assert not again.problems
    assert again["rms_norm"](5, 0, 0) == [5, 3]


def test_a_lambda_with_an_annotation_is_taken(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("from typing import Any\nrms_norm: Any = lambda x, weight, eps: x * weight\n")
    assert list(take_along(path)) == ["rms_norm"]
