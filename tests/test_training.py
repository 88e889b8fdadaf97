"""One training loop: against torch's own parts, stopped in time."""

import dataclasses
import math
import platform
import subprocess
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import training
from course_lib.decoder import GPT, GPTConfig
from course_lib.recurrent import RecurrentLM
from course_lib.training import (
    Muon,
    TrainingConfig,
    make_optimizers,
    newton_schulz,
    share_of_peak,
    train,
)

B, T, V = 5, 7, 11
STEPS = 13
CONFIG = TrainingConfig(STEPS, warmup_steps=3, learning_rate=0.01, muon_learning_rate=0.02, clip=0.5)


def small_gpt(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"vocab_size": V, "max_seq_len": T, "d_model": 6, "n_layers": 2, "n_heads": 3, "d_ff": 10}
    return GPT(GPTConfig(**(sizes | changes)))


class Network(nn.Module):
    """Not one of ours."""

    def __init__(self, width=3, p=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 7), nn.Dropout(p), nn.Tanh(), nn.Linear(7, 1))

    def forward(self, x):
        return self.layers(x)[:, 0]


def network(width=3, p=0.0, seed=0):
    torch.manual_seed(seed)
    return Network(width, p)


def text(step):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(step))


def points(step, rows=B):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(rows, 3, generator=generator), torch.randn(rows, generator=generator)


def next_token(model, ids):
    return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def squares(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_same(model, other):
    ours, theirs = weights(model), weights(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


# ------------------------------------------------------------------------------------------ the learning rate


@pytest.mark.parametrize(
    ("steps", "warmup", "shares"),
    [
        (4, 0, [1, 3 / 4, 2 / 4, 1 / 4]),
        (6, 2, [1 / 2, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        (5, 1, [1, 1, 3 / 4, 2 / 4, 1 / 4]),
        (3, 3, [1 / 3, 2 / 3, 1]),
        (1, 0, [1]),
    ],
)
def test_share_of_peak(steps, warmup, shares):
    assert [share_of_peak(step, steps, warmup) for step in range(steps)] == pytest.approx(shares, abs=1e-15)


def test_share_of_peak_between_the_steps_and_at_its_end():
    assert share_of_peak(0.5, 10, 4) == pytest.approx(1.5 / 4)
    assert share_of_peak(3.9, 10, 4) == 1.0  # never above the peak
    assert share_of_peak(8.5, 10, 4) == pytest.approx(1.5 / 6)
    assert share_of_peak(10, 10, 4) == 0.0


# -------------------------------------------------------------------------------------- against torch by hand


@pytest.mark.parametrize("clip", [None, 0.1, 1e9])
@pytest.mark.parametrize("warmup", [0, 3])
def test_equals_a_loop_with_torchs_adamw(clip, warmup):
    config = TrainingConfig(STEPS, warmup, 0.03, weight_decay=0.7, clip=clip)
    model, other = network().double(), network().double()

    def batch(step):
        return tuple(x.double() for x in points(step))

    history = train(model, batch, squares, config)
    matrices, vectors = ([p for p in other.parameters() if p.ndim == n] for n in (2, 1))
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.7}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    losses, rates = [], []
    for step in range(STEPS):
        rate = 0.03 * ((step + 1) / 3 if step < warmup else (STEPS - step) / (STEPS - warmup))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = squares(other, batch(step))
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(other.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
        rates.append(rate)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert history.losses == pytest.approx(losses, abs=1e-12)
    assert history.learning_rates == pytest.approx(rates, abs=1e-15)


def test_clip_0_clips_nothing_and_a_config_that_is_no_dataclass_does_not_matter():
    model, other = network(), network()
    model.config = {"width": 3}
    ours = train(model, points, squares, TrainingConfig(STEPS, clip=0.0))
    assert ours == train(other, points, squares, TrainingConfig(STEPS, clip=None))


def test_one_loss_for_each_thing_gives_their_mean():
    model, other = network(), network()
    config = TrainingConfig(STEPS)
    ours = train(model, points, lambda m, b: (m(b[0]) - b[1]) ** 2, config)
    theirs = train(other, points, squares, config)
    assert ours.losses == pytest.approx(theirs.losses, abs=1e-6)


@pytest.mark.parametrize("able", [True, False])
def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights(monkeypatch, able):
    model, seen = network(), []
    monkeypatch.setattr(training, "has_bfloat16", lambda device: able)
    model.layers[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    train(model, points, squares, TrainingConfig(1))
    assert seen == [torch.float32]
    train(model, points, squares, TrainingConfig(1, mixed_precision=True))
    assert seen == [torch.float32, torch.bfloat16 if able else torch.float32]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    dtypes = []

    def spy(matrices):
        dtypes.append(newton_schulz(matrices).dtype)
        return newton_schulz(matrices)

    monkeypatch.setattr(training, "newton_schulz", spy)
    train(model, points, squares, TrainingConfig(1, muon_learning_rate=0.02))
    train(model, points, squares, TrainingConfig(1, muon_learning_rate=0.02, mixed_precision=True))
    assert dtypes == [torch.float32] * 2 + [torch.bfloat16 if able else torch.float32] * 2


# ------------------------------------------------------------------------------------------------------- Muon


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_newton_schulz_applies_its_polynomial_to_the_singular_values(shape):
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    s = s / s.norm(dim=-1, keepdim=True)
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(newton_schulz(matrices), u @ torch.diag_embed(s) @ vh, rtol=0, atol=1e-10)
    assert torch.equal(newton_schulz(torch.zeros(1, 3, 5)), torch.zeros(1, 3, 5))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_muon_equals_torchs_step_by_step():
    shapes = [(13, 29), (29, 13), (17, 17), (29, 13)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 0.05, "momentum": 0.85, "weight_decay": 0.3}
    a, b = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(5):
        before = [p.detach().clone() for p in ours]
        for p, q in zip(ours, theirs, strict=True):
            q.data.copy_(p)
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        with torch.autocast("cpu", torch.bfloat16):
            a.step()
        b.step()
        for p, q, start in zip(ours, theirs, before, strict=True):
            # Both round each product to bfloat16, of 8 bits, but not in the same order.
            assert (p - q).norm() < 0.1 * (q - start).norm()
            momentum = (state[x]["momentum_buffer"] for x, state in ((p, a.state), (q, b.state)))
            torch.testing.assert_close(*momentum, rtol=0, atol=1e-6)


def test_muon_step_by_step():
    matrix = nn.Parameter(torch.randn(7, 3, dtype=torch.float64))
    left_alone = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    expected, average = matrix.detach().clone(), torch.zeros(7, 3, dtype=torch.float64)
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.3}
    muon = Muon([matrix, left_alone], **settings)
    for _ in range(3):
        matrix.grad = torch.randn(7, 3, dtype=torch.float64)
        average = 0.9 * average + 0.1 * matrix.grad
        direction = newton_schulz((0.9 * average + 0.1 * matrix.grad)[None])[0]
        expected = (1 - 0.05 * 0.3) * expected - 0.05 * math.sqrt(7 / 3) * direction
        muon.step()
    torch.testing.assert_close(matrix.detach(), expected, rtol=0, atol=1e-12)
    assert torch.equal(left_alone, torch.ones(2, 2, dtype=torch.float64))  # it has no gradient


def test_who_learns_by_what():
    model = small_gpt(tied=False)
    model.stack.blocks[0].attention.q_proj.weight.requires_grad_(False)
    names = {p: name for name, p in model.named_parameters()}
    adamw, muon = make_optimizers(model, dataclasses.replace(CONFIG, weight_decay=0.7))
    matrices, vectors = adamw.param_groups
    hidden = {names[p] for p in muon.param_groups[0]["params"]}
    parts = ["attention.k_proj", "attention.v_proj", "attention.out_proj"]
    parts += ["feed_forward.up_proj", "feed_forward.down_proj"]
    expected = {f"stack.blocks.{n}.{part}.weight" for n in (0, 1) for part in parts}
    assert hidden == expected | {"stack.blocks.1.attention.q_proj.weight"}
    tables = {"token_embedding.weight", "position_embedding.weight", "lm_head.weight"}
    assert {names[p] for p in matrices["params"]} == tables
    assert all(p.ndim == 1 for p in vectors["params"])
    total = sum(len(group["params"]) for group in (matrices, vectors, muon.param_groups[0]))
    assert total == len(names) - 1
    assert [group["weight_decay"] for group in (matrices, vectors, muon.param_groups[0])] == [0.7, 0.0, 0.7]
    assert {matrices["lr"], vectors["lr"]} == {0.01}
    assert (muon.param_groups[0]["lr"], muon.param_groups[0]["momentum"]) == (0.02, 0.95)


def test_the_matrices_of_a_recurrent_layer_are_muons():
    model = RecurrentLM(11, 5, 2, "lstm")
    names = {p: name for name, p in model.named_parameters()}
    _, muon = make_optimizers(model, CONFIG)
    hidden = {names[p] for p in muon.param_groups[0]["params"]}
    assert hidden == {f"cell.weight_{kind}_l{layer}" for kind in ("ih", "hh") for layer in (0, 1)}


def test_without_muon_all_matrices_are_adamws():
    (adamw,) = make_optimizers(small_gpt(), TrainingConfig(1))
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(weights(small_gpt()))
    assert len(make_optimizers(small_gpt(), CONFIG)) == 2


def test_muons_learning_rate_rises_and_falls_as_well():
    model = small_gpt()
    before, after = weights(model), []
    config = dataclasses.replace(CONFIG, weight_decay=0.0)
    train(model, text, next_token, config, after_step=lambda step: after.append(weights(model)))
    name = "stack.blocks.0.attention.q_proj.weight"
    steps = [(b[name] - a[name]).norm() for a, b in zip([before, *after], after, strict=False)]
    # an orthogonal 6 x 6 matrix has norm sqrt(6)
    for step, length in enumerate(steps):
        assert length / 6**0.5 == pytest.approx(0.02 * share_of_peak(step, STEPS, 3), rel=0.35)


# ------------------------------------------------------------------------------------------ batches and clock


def test_batches_from_an_iterable_and_from_a_function_are_the_same():
    model, other = network(), network()
    a = train(model, points, squares, TrainingConfig(STEPS))
    b = train(other, (points(step) for step in range(STEPS)), squares, TrainingConfig(STEPS))
    assert a == b
    assert_same(model, other)


def test_a_batch_may_be_a_dict():
    model, other = network(), network()
    data = [{"x": x, "y": [y]} for x, y in map(points, range(STEPS))]
    a = train(model, data, lambda m, b: F.mse_loss(m(b["x"]), b["y"][0]), TrainingConfig(STEPS))
    assert a == train(other, points, squares, TrainingConfig(STEPS))


def test_a_clock_ends_training_and_sets_the_learning_rate():
    calls = []

    def clock(step):
        calls.append(step)
        return 2.5 * step

    history = train(network(), points, squares, TrainingConfig(10, 2, learning_rate=1.0), clock=clock)
    assert history.learning_rates == pytest.approx([0.5, 1 - 0.5 / 8, 5 / 8, 2.5 / 8])
    assert calls == [0, 1, 2, 3, 4]


def test_after_step_is_told_the_step_and_may_leave_the_training_mode():
    model, modes, steps = network().eval(), [], []

    def loss(model, batch):
        modes.append(model.training)
        return squares(model, batch)

    def after_step(step):
        steps.append(step)
        model.eval()

    train(model, points, loss, TrainingConfig(3), after_step=after_step)
    assert (modes, steps) == ([True] * 3, [1, 2, 3])


def test_a_bar_is_shown_in_a_notebook_and_not_where_nobody_looks(capsys, monkeypatch):
    assert list(training.bar([1, 2, 3], "models")) == [1, 2, 3]
    assert capsys.readouterr().err == ""
    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel="here"))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert list(training.bar([1, 2, 3], "models")) == [1, 2, 3]
    assert "models:" in capsys.readouterr().err


def test_progress_bar(capsys):
    train(network(), points, squares, TrainingConfig(3), progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
    train(network(), points, squares, TrainingConfig(3), progress=False)
    train(network(), points, squares, TrainingConfig(3))  # standard error is no terminal here
    assert capsys.readouterr() == ("", "")


def output_of(code, *arguments):
    """What a process of its own prints: memory is counted by process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ----------------------------------------------------------------------------------------- what is not finite


def turns(bad, at):
    """A loss that goes bad in one step."""
    calls = iter(range(10**6))

    def loss(model, batch):
        return squares(model, batch) * (bad if next(calls) == at else 1.0)

    return loss


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_training(bad):
    stopped, before = network(), network()
    with pytest.raises(FloatingPointError, match=rf"^loss {bad}, .* in step 6$"):
        train(stopped, points, turns(bad, at=6), TrainingConfig(STEPS))
    rates = TrainingConfig(STEPS)
    train(before, points, squares, rates, clock=lambda step: STEPS if step == 6 else step)
    assert_same(stopped, before)


def test_a_gradient_that_is_not_finite_stops_training():
    model = network()

    def loss(model, batch):
        return (
            sum(p.abs().sum() for p in model.parameters()) * 0
            + model.layers[0].bias.sub(model.layers[0].bias.detach()).abs().sqrt().sum()
        )

    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"loss 0\.0, gradient norm nan in step 0$"):
        train(model, points, loss, TrainingConfig(STEPS))
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())


# -------------------------------------------------------------------------------------------------- bad input


def test_what_has_no_rows_is_given_as_it_is():
    model, other = network(), network()
    half = torch.tensor(0.5)
    ours = train(
        model,
        lambda step: (half, *points(step)),
        lambda m, b: 2 * b[0] * squares(m, b[1:]),
        TrainingConfig(STEPS),
    )
    assert ours == train(other, points, squares, TrainingConfig(STEPS))
    assert_same(model, other)


STEPS_RULE = "steps must be at least 1, warmup_steps from 0 to steps"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 0}, f"{STEPS_RULE}; got steps=0, warmup_steps=0"),
        ({"steps": 5, "warmup_steps": 7}, f"{STEPS_RULE}; got steps=5, warmup_steps=7"),
        ({"steps": 5, "warmup_steps": -1}, f"{STEPS_RULE}; got steps=5, warmup_steps=-1"),
        ({"learning_rate": -0.1}, "learning_rate must be 0 or more, and finite; got -0.1"),
        ({"learning_rate": math.nan}, "learning_rate must be 0 or more, and finite; got nan"),
        ({"muon_learning_rate": math.inf}, "muon_learning_rate must be 0 or more, and finite; got inf"),
        ({"weight_decay": -0.5}, "weight_decay must be 0 or more, and finite; got -0.5"),
        ({"clip": -1.0}, "clip must be 0 or more, and finite; got -1.0"),
    ],
)
def test_settings_out_of_range(settings, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        TrainingConfig(**({"steps": 5} | settings))


def test_batches_that_run_out(own_errors):
    with pytest.raises(ValueError, match="batches ran out after 0 of 5 steps"):
        train(network(), [], squares, TrainingConfig(5))
    with pytest.raises(ValueError, match="batches ran out after 3 of 5 steps"):
        train(network(), map(points, range(3)), squares, TrainingConfig(5))
    with pytest.raises(ValueError, match=r"^a batch has no rows: one of its tensors is \(0, 3\)$"):
        train(network(), lambda step: points(step, rows=0), squares, TrainingConfig(5))


# ----------------------------------------------------------------------------------------------------- memory

FAULTS = """
import resource
import torch
from course_lib.training import TrainingConfig, train

batch = torch.randn(4000, 10)
for how in (train.__wrapped__, train):
    faults = []
    model = torch.nn.Sequential(torch.nn.Linear(10, 1000), torch.nn.ReLU(), torch.nn.Linear(1000, 1))
    how(
        model, lambda step: batch, lambda model, x: model(x).square().mean(), TrainingConfig(9),
        after_step=lambda step: faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt),
        progress=False,
    )
    print(faults[-1] - faults[3])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_steps_do_not_pay_for_new_pages():
    """Each of the five steps counted makes 16 MB (4,000 pages) three times over."""
    as_it_comes, kept = map(int, output_of(FAULTS).split())
    assert kept < 4000 < as_it_comes
