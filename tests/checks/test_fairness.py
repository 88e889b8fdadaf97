"""What a check says is right, and whatever a learner passes comes back as a sentence."""

import errno
import importlib.util
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from task_cases import without_finale
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as ready_made

from course_lib import attention as library
from course_lib.checks import (
    Case,
    Misconception,
    Task,
    as_text,
    check,
    examine,
    find_task,
    last_words,
    records,
)
from course_lib.checks.engine import prepare
from course_lib.checks.guard import check_attention_shapes, is_twin


def ours(q, k, v, mask=None):
    """A correct answer to `attention`."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
    return weights.masked_fill(~mask, 0) @ v


def found(task, learner, **options):
    return examine(find_task(f"03_qkv/{task}"), learner, **options)


# ------------------------------------------------------------------------------------------ torch and crashes


def test_values_of_another_length_are_stopped_before_torch_reads_beyond_its_memory():
    def answer(q, k, v, mask=None):
        return F.scaled_dot_product_attention(q, k, torch.cat([v, v], -2))

    said = examine(without_finale("03_qkv/real_model"), answer).problem
    assert "key and value must have one row per key (axis -2): 3 in key, 6 in value" in said


@pytest.mark.parametrize(
    "call",
    [
        torch._C._nn.scaled_dot_product_attention,
        torch.ops.aten.scaled_dot_product_attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    ],
)
def test_the_routine_is_guarded_under_all_its_names(call):
    def answer(x, context, w_q, w_k, w_v):
        q, k, v = (y[None, None] for y in (x @ w_q, x @ w_k, context @ w_v))
        return call(q, k, v)

    task = find_task("03_qkv/cross_attention")
    first = replace(task, cases=lambda rng: [c for c in task.cases(rng) if c.inputs["x"].ndim == 2][:1])
    assert "one row per key" in examine(first, answer).problem or examine(first, answer).misconception


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((5, 7), (5, 7), (11, 7)), "5 in key, 11 in value"),
        (((5, 7), (11, 3), (11, 7)), "query has 7, key has 3"),
        (((7,), (11, 7), (11, 7)), "query must be a tensor with at least two axes"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes, said):
    with pytest.raises(ValueError, match=said):
        check_attention_shapes(*(torch.zeros(shape) for shape in shapes))


def test_a_misconception_that_crashes_torch_is_guarded_too():
    wrong = Misconception("short keys", "", lambda x: ready_made(x, x, torch.cat([x, x], -2)))
    task = Task(
        name="00_toy/twice",
        title="Twice",
        level=1,
        minutes=1,
        section="",
        call="twice(x)",
        hints=("Add.",),
        reference=lambda x: 2 * x,
        cases=lambda rng: [Case("a batch", {"x": torch.from_numpy(rng.standard_normal((2, 3, 5)))})],
        misconceptions=(wrong,),
    )
    assert examine(task, lambda x: 3 * x).misconception == ""


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (
            lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v, mask).nan_to_num(0),
            "torch.nn.functional",
        ),
        (lambda q, k, v, mask=None: ready_made(q, k, v, attn_mask=mask).nan_to_num(0), "torch.nn.functional"),
        (library.scaled_dot_product_attention, "course_lib.attention.scaled_dot_product_attention"),
        (
            lambda q, k, v, mask=None: library.attention_weights(q, k, mask) @ v,
            "course_lib.attention.attention_w",
        ),
    ],
)
def test_a_forbidden_routine_is_seen_when_it_is_called(answer, name):
    said = found("attention", answer).problem
    assert said.startswith(f"It calls {name}")
    assert said.endswith("which does the task for you: write the steps yourself.")


def test_a_routine_is_seen_even_where_its_error_is_swallowed():
    def answer(q, k, v, mask=None):
        try:
            return library.scaled_dot_product_attention(q, k, v, mask)
        except Exception:
            return ours(q, k, v, mask)

    assert "does the task for you" in found("attention", answer).problem


def test_a_forbidden_routine_is_seen_in_a_module_that_was_loaded_again():
    again = importlib.util.module_from_spec(library.__spec__)
    library.__spec__.loader.exec_module(again)
    assert again.attention_weights is not library.attention_weights
    said = found("attention", lambda q, k, v, mask=None: again.attention_weights(q, k, mask) @ v).problem
    assert said.startswith("It calls course_lib.attention.attention_weights")


def test_the_twins_of_a_forbidden_routine_are_forbidden_too():
    """torch has most routines under other names too, for its own use."""

    def attend(q, k, v, mask=None):
        added = None if mask is None else q.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)
        return torch._scaled_dot_product_attention_math(q, k, v, added)[0].nan_to_num(0)

    def loss(logits, targets):
        return aten.nll_loss_forward(logits.log_softmax(-1), targets, None, 1, -100)[0].nan_to_num(0)

    aten = torch.ops.aten
    twins = {
        "03_qkv/attention": attend,
        "02_patches/frames": lambda sound, length, hop: torch.unfold_copy(sound, -1, length, hop),
        "07_mlm_vs_next_token/masked_loss": loss,
    }
    for name, answer in twins.items():
        problem = examine(without_finale(name), answer).problem
        assert "does the task for you" in problem, name


@pytest.mark.parametrize(
    ("called", "forbidden"),
    [
        ("_scaled_dot_product_flash_attention_for_cpu", "scaled_dot_product_attention"),
        ("_scaled_dot_product_efficient_attention", "scaled_dot_product_attention"),
        ("_fused_rms_norm", "rms_norm"),
        ("_thnn_fused_lstm_cell", "lstm_cell"),
        ("nll_loss2d", "nll_loss"),
    ],
)
def test_a_twin_is_known_by_its_name(called, forbidden):
    assert is_twin(called, forbidden)


@pytest.mark.parametrize(
    ("called", "forbidden"),
    [
        ("binary_cross_entropy", "cross_entropy"),
        ("poisson_nll_loss", "nll_loss"),
        ("softmax", "scaled_dot_product_attention"),
        ("norm", "rms_norm"),
        ("group_norm", "layer_norm"),
    ],
)
def test_another_routine_is_no_twin(called, forbidden):
    assert not is_twin(called, forbidden)


def in_a_pool(q, k, v, mask=None):
    with ThreadPoolExecutor() as pool:
        return pool.submit(ready_made, q, k, v, attn_mask=mask).result()


def in_a_thread_of_ones_own(q, k, v, mask=None):
    class Own(threading.Thread):
        def run(self):
            self.result = library.scaled_dot_product_attention(q, k, v, mask)

    thread = Own()
    thread.start()
    thread.join()
    return thread.result


@pytest.mark.parametrize("answer", [in_a_pool, in_a_thread_of_ones_own])
def test_a_forbidden_routine_is_seen_in_a_thread_too(answer):
    before = threading.Thread.start
    assert "does the task for you" in found("attention", answer).problem
    assert threading.Thread.start is before


def test_the_real_model_needs_an_attention_of_ones_own_which_may_be_torchs():
    task = without_finale("03_qkv/real_model")
    assert "does the task for you" in examine(task, library.scaled_dot_product_attention).problem
    assert examine(task, ours).passed
    assert examine(task, ready_made).passed


def test_without_the_real_model_attention_is_right_and_one_sentence_says_what_is_missing(smollm2_missing):
    result = examine(find_task("03_qkv/real_model"), ready_made)
    assert result.passed
    assert result.detail == (
        "Here SmolLM2 would run on your attention, but it is missing: SmolLM2 is not installed; "
        "from the course folder run: this"
    )


# -------------------------------------------------------------------------------- switches of the notebook


def detached(q, k, v, mask=None):
    return ours(q, k, v, mask).detach()


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_are_asked_for_whatever_the_notebook_has_switched(switch):
    task = find_task("03_qkv/attention")
    with switch():
        fresh = replace(task, seconds=task.seconds + 1)  # nothing of it is prepared yet
        assert "No gradient of q arrives" in examine(fresh, detached).problem
        assert examine(fresh, ours).passed


def test_the_notebook_finds_its_switches_as_they_were():
    torch.set_grad_enabled(False)
    try:
        found("attention", ours)
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


def test_numpy_errors_that_the_notebook_asked_for_do_not_reach_the_check():
    with np.errstate(all="raise"):
        fresh = replace(find_task("03_qkv/softmax"), seconds=6.0)
        assert (
            examine(fresh, lambda s: np.exp(s) / np.exp(s).sum(-1, keepdims=True)).misconception == "overflow"
        )


# ------------------------------------------------------------------------------------- kinds of numbers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *x: ours(*x).bfloat16(), "It returns numbers in torch.bfloat16: digits are lost on the way."),
        (lambda *x: ours(*x).double(), "The result has dtype float64, expected float32, as the inputs have."),
        (
            lambda *x: ours(*x).to_sparse(),
            "It must return numbers, but got an array of shape (2, 2) (Tensor).",
        ),
        (
            lambda *x: ours(*x).to("meta"),
            "It must return numbers, but got an array of shape (2, 2) (Tensor).",
        ),
    ],
)
def test_numbers_of_another_kind_are_one_sentence(answer, said):
    assert found("attention", answer).problem.startswith(said)


def test_an_object_that_cannot_describe_itself_is_one_sentence():
    class Shy:
        def __repr__(self):
            raise OSError("not today")

    assert found("mix", lambda weights, v: Shy()).problem == (
        "It must return numbers, but got an object of type Shy."
    )


def test_an_error_that_cannot_describe_itself_is_one_sentence():
    class ShyError(Exception):
        def __str__(self):
            raise OSError("not today")

    def answer(weights, v):
        raise ShyError

    assert found("mix", answer).problem == "It stops with ShyError: (an error without words)"


@pytest.mark.parametrize("tiny", [1e-12, 1e-10])
def test_a_tiny_number_against_a_division_by_zero_is_right(tiny):
    def answer(scores):
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / (powers.sum(-1, keepdims=True) + tiny)

    assert all(found("softmax", answer, seed=seed).passed for seed in range(20))


def test_float32_inside_is_noticed_though_float64_comes_back():
    def answer(scores):
        narrow = scores.astype(np.float32)
        powers = np.exp(narrow - narrow.max(-1, keepdims=True))
        return (powers / powers.sum(-1, keepdims=True)).astype(scores.dtype)

    for seed in range(20):
        result = found("softmax", answer, seed=seed)
        assert result.case is not None
        assert result.case.name == "float64"


# ------------------------------------------------------------------------------------------------ gradients


def test_gradients_that_cancel_are_not_taken_for_wrong():
    """A query that sees one key: its gradient is 0, and rounding makes it 1e-9."""

    def answer(q, k, v, mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores if mask is None else scores.masked_fill(~mask, -1e30)
        weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
        return (weights if mask is None else weights * mask) @ v

    assert all(found("attention", answer, seed=seed).passed for seed in range(20))


def test_what_a_norm_keeps_for_its_backward_is_rounded_too():
    """On one processor this gradient of the reference itself, about 1e-3, is 5e-7 off."""
    first = prepare(find_task("06_residuals/post_norm_block"), 0)[0]
    assert 1e-6 < first.right.slack["gradient of x"] < 1e-5


def test_a_gradient_that_is_a_little_wrong_is_still_seen():
    def answer(q, k, v, mask=None):
        return ours(q * 0.999 + 0.001 * q.detach(), k, v, mask)

    assert "The results are right, but the gradient of q is not" in found("attention", answer).problem


def test_nan_that_flows_back_is_seen_and_explained():
    def answer(q, k, v, mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores + torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -math.inf)
        return scores.softmax(-1).nan_to_num(0.0) @ v

    said = found("attention", answer)
    assert said.case.name == "a query that may see nothing"
    assert said.problem.startswith("The results are right, but the gradient of q contains nan.")


# --------------------------------------------------------------------------------------- layers with a past


def layer(**members):
    """A self-attention layer with some methods of its own."""

    class Layer(nn.Module):
        def __init__(self, d_model, d_head, causal=False):
            super().__init__()
            self.q_proj = nn.Linear(d_model, d_head, bias=False)
            self.k_proj = nn.Linear(d_model, d_head, bias=False)
            self.v_proj = nn.Linear(d_model, d_head, bias=False)
            self.causal = causal
            self.register_buffer("tril", torch.tril(torch.ones(256, 256)))

        def allowed(self, x, mask):
            n = x.shape[-2]
            seen = self.tril[:n, :n] > 0 if self.causal else torch.ones(n, n, dtype=torch.bool)
            return seen if mask is None else seen & mask

        def forward(self, x, mask=None):
            return ours(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.allowed(x, mask))

    return type("SelfAttention", (Layer,), members)


def test_a_mask_in_a_buffer_is_the_layers_own_business():
    assert found("self_attention", layer()).passed


def test_a_layer_that_keeps_the_mask_of_its_first_call_is_named():
    def allowed(self, x, mask):
        if "kept" not in self.__dict__:
            self.kept = torch.ones(x.shape[-2], x.shape[-2]).tril() > 0
        return self.kept if self.causal else mask

    assert found("self_attention", layer(allowed=allowed)).misconception in (
        "keeps the mask of its first call",
        "causal instead of the mask",
    )


def test_a_layer_that_keeps_a_mask_of_the_same_size_is_refused():
    def allowed(self, x, mask):
        self.__dict__.setdefault("kept", mask)
        return type(self).__mro__[1].allowed(self, x, mask if mask is None else self.kept)

    assert not found("self_attention", layer(allowed=allowed)).passed


def test_what_is_random_is_said_to_be_random():
    def forward(self, x, mask=None):
        return F.dropout(type(self).__mro__[1].forward(self, x, mask), 0.5, self.training)

    assert (
        "is something random in it, such as dropout"
        in found("self_attention", layer(forward=forward)).problem
    )


def test_what_is_kept_from_call_to_call_is_said():
    kept = {}

    def answer(weights, v):
        return kept.setdefault((weights.shape, v.shape, str(v.dtype), v.flags.c_contiguous), weights @ v)

    assert "does it keep something from one call to the next?" in found("mix", answer).problem


# -------------------------------------------------------------------------------------- what is said first


def test_a_changed_input_is_said_first_with_its_values_before_and_after():
    def answer(weights, v):
        v[0] = 0
        return weights.mT @ v if weights.shape[0] == weights.shape[1] else weights @ v

    text = as_text(found("mix", answer))
    assert text.startswith("✗ Mixing the values: It changes its input 'v'")
    before, after = text.split("After it:")
    assert "Before the call:" in before
    assert "v (3, 5) = [[ 0.   0.   0.   0.   0. ]" in after


def test_a_truth_value_is_answered_in_words():
    assert found("sees_later", lambda attend, x: np.bool_(len(x) and x.sum() > 0)).problem in (
        "It says True where False is right.",
        "It says False where True is right.",
    )
    said = found("causal_mask", lambda n_queries, n_keys: np.eye(n_queries, n_keys, dtype=bool))
    assert said.problem == "The result is wrong in 3 of 9 places."
    assert said.detail == "First difference at [1, 0]: expected True, got False."


@pytest.mark.parametrize(
    ("task", "answer", "not_said"),
    [
        # Wrong where the named mistake would be right, or right where it would be wrong:
        (
            "masked_weights",
            lambda s, m: np.nan_to_num(np.exp(s) * m / (np.exp(s) * m).sum(-1, keepdims=True)),
            "masked after the softmax",
        ),
        (
            "attention",
            lambda q, k, v, mask=None: (
                (q @ k.mT / math.sqrt(q.shape[-1]) - (0 if mask is None else 100.0 * ~mask)).softmax(-1) @ v
            ),
            "forbidden scores set to zero",
        ),
        (
            "attention",
            lambda q, k, v, mask=None: ours(q, k, v, None if mask is None else mask[-1:].expand(mask.shape)),
            "mask ignored",
        ),
    ],
)
def test_a_name_that_is_not_right_is_not_given(task, answer, not_said):
    for seed in range(10):
        result = found(task, answer, seed=seed)
        assert not result.passed
        assert result.misconception != not_said


def test_every_layer_that_looks_ahead_shows_it_and_no_other():
    task = find_task("03_qkv/sees_later")
    for seed in range(100):
        for case in task.cases(np.random.default_rng(seed)):
            attend, x = case.inputs.values()
            y, noise = attend(x), torch.Generator().manual_seed(seed)
            moved = []
            for t in range(1, len(x)):
                changed = x.clone()
                changed[t:] = torch.randn(changed[t:].shape, generator=noise)
                moved.append(float((attend(changed)[:t] - y[:t]).abs().max()))
            assert max(moved) > 1e-3 if attend.ahead else max(moved) == 0, (seed, case.name, moved)


# ------------------------------------------------------------------------------------------------ streaming


def test_a_finale_is_heard_while_it_speaks():
    heard = []

    def finale(learner):
        yield "one "
        for _ in range(200):
            if heard:
                break
            time.sleep(0.01)
        yield "two" if heard else "too late"

    task = replace(find_task("03_qkv/mix"), finale=finale)
    result = examine(task, lambda weights, v: weights @ v, hear=heard.append)
    assert heard == ["one ", "two"]
    assert (result.passed, result.detail) == (True, "")


def test_a_finale_that_nobody_hears_is_in_the_report():
    task = replace(find_task("03_qkv/mix"), finale=lambda learner: iter(["one ", "two"]))
    assert as_text(examine(task, lambda weights, v: weights @ v)).endswith("\none two")


# ------------------------------------------------------------------------------------- a kernel that died


def test_the_task_that_killed_the_kernel_is_named_at_the_next_check(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path))
    code = (
        "import os\nfrom course_lib.checks import check\ncheck('03_qkv/scores', lambda q, k: os._exit(3))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 3
    check("03_qkv/mix", lambda weights, v: weights @ v)
    said = capsys.readouterr().out
    assert said.startswith("The last check, of 03_qkv/scores, did not come to its end")
    assert "✓ Mixing the values" in said
    check("03_qkv/mix", lambda weights, v: weights @ v)
    assert "did not come to its end" not in capsys.readouterr().out


def test_a_check_in_another_notebook_is_not_taken_for_one_that_died(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path))
    code = (
        "import sys\nfrom course_lib.checks import last_words\nwith last_words.noted(sys.argv[1]):\n"
        "    print('at work', flush=True)\n    sys.stdin.read()\n"
    )

    def at_work(task):
        run = subprocess.Popen(
            [sys.executable, "-c", code, task], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert run.stdout.readline().strip() == b"at work"
        return run

    with at_work("03_qkv/mix") as ends, at_work("03_qkv/scores") as dies:
        assert last_words.unfinished() == ""
        ends.communicate()
        assert last_words.unfinished() == ""
        dies.kill()
    assert last_words.unfinished().startswith("The last check, of 03_qkv/scores, did not come to its end")
    assert last_words.unfinished() == ""
    assert list(tmp_path.iterdir()) == []


def test_where_files_cannot_be_locked_no_check_is_taken_for_one_that_died(tmp_path, monkeypatch):
    """Who died could not be told from who is at work."""

    def refused(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path))
    monkeypatch.setattr(records, "lock", refused)
    with last_words.noted("03_qkv/mix"):
        assert last_words.unfinished() == ""
    assert list(tmp_path.iterdir()) == []
