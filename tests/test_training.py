"""One training loop: against torch's own parts, resumed to the bit, stopped in time."""

import dataclasses
import math
import os
import platform
import subprocess
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from course_lib import checkpoint, training
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
    """Not one of ours, and with random numbers of its own."""

    generator = None

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


# ------------------------------------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize("stop", [2, 5, 12])  # while warming up, on the way down, before the last step
@pytest.mark.parametrize("tied", [True, False])
def test_resumed_to_the_bit(tmp_path, stop, tied):
    whole = small_gpt(tied=tied)
    expected = train(whole, text, next_token, CONFIG)
    file = tmp_path / "run.safetensors"
    interrupt(small_gpt(tied=tied), text, next_token, CONFIG, file, stop)
    resumed = small_gpt(seed=1, tied=tied)
    batches = [text(step) for step in range(STEPS)] if tied else text
    history = train(resumed, batches, next_token, CONFIG, checkpoint=file, checkpoint_every=2)
    assert_same(resumed, whole)
    assert history == expected
    if tied:
        assert resumed.lm_head.weight is resumed.token_embedding.weight


def interrupt(model, batches, loss, config, file, stop, generator=None):
    """Train, and die in the middle of step `stop`."""
    calls = iter(range(10**6))

    def dies(model, batch):
        if next(calls) == stop:
            raise KeyboardInterrupt
        return loss(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(model, batches, dies, config, checkpoint=file, checkpoint_every=1, generator=generator)


class Denoiser(Network):
    """Its loss draws numbers: from torch's own generator, and from the one that its batches come from."""

    def __init__(self):
        super().__init__(p=0.5)
        self.generator = torch.Generator().manual_seed(7)

    def forward(self, x):
        return super().forward(x + torch.randn(x.shape, generator=self.generator))

    def batches(self):
        while True:
            yield torch.randn(B, 3, generator=self.generator), torch.randn(B)


class WithUnused(Network):
    def __init__(self):
        super().__init__(p=0.5)
        self.unused = nn.Linear(3, 5)


def drawn(model):
    return lambda step: (torch.randn(B, 3), torch.randn(B))


def stream_that_draws(model):
    for step in range(STEPS):
        torch.rand(1)
        yield points(step)


def shuffled(model):
    for step in torch.randperm(STEPS).tolist():
        yield points(step)


def loader(model):
    rows = torch.utils.data.TensorDataset(*points(0, rows=STEPS * B))
    return torch.utils.data.DataLoader(rows, batch_size=B, shuffle=True)


def of_its_kind(model):
    """The optimizers' averages too are numbers of this kind."""
    dtype = next(model.parameters()).dtype
    return lambda step: tuple(x.to(dtype) for x in points(step))


RESUMED = {
    "batches drawn from torch's generator": (lambda: Network(p=0.5), drawn, 99),
    "a stream that draws while it is skipped": (lambda: Network(p=0.5), stream_that_draws, 3),
    "a shuffle that the seed decides": (lambda: Network(p=0.5), shuffled, 3),
    "a shuffled loader": (lambda: Network(p=0.5), loader, 3),
    "a generator of its own": (Denoiser, Denoiser.batches, 3),
    "unused parameters": (WithUnused, drawn, 99),
    "bfloat16": (lambda: Network().bfloat16(), of_its_kind, 99),
    "float16": (lambda: Network().half(), of_its_kind, 99),
    "float64": (lambda: Network().double(), of_its_kind, 99),
}


@pytest.mark.parametrize("stop", [2, 6])
@pytest.mark.parametrize("case", RESUMED)
def test_resumed_to_the_bit_with_random_numbers(tmp_path, case, stop):
    """Most with dropout. What shuffles gets the same seed again, all else another one."""
    make, batches, seed = RESUMED[case]
    config, file = TrainingConfig(STEPS, muon_learning_rate=0.02), tmp_path / "run.safetensors"
    whole, first, resumed = make(), make(), make()
    first.load_state_dict(whole.state_dict())
    torch.manual_seed(3)
    expected = train(whole, batches(whole), squares, config, generator=whole.generator)
    torch.manual_seed(3)
    interrupt(first, batches(first), squares, config, file, stop, generator=first.generator)
    torch.manual_seed(seed)
    history = train(resumed, batches(resumed), squares, config, checkpoint=file, generator=resumed.generator)
    assert history == expected
    assert_same(resumed, whole)


def test_a_finished_run_is_not_trained_again_and_needs_no_place_to_write(tmp_path, monkeypatch):
    file = tmp_path / "missing" / "too" / "run.safetensors"
    model, again = network(), network(seed=1)
    history = train(model, points, squares, TrainingConfig(3), checkpoint=str(file))
    assert os.listdir(file.parent) == ["run.safetensors"]
    monkeypatch.setattr(checkpoint, "save_file", refuses)
    monkeypatch.setattr(checkpoint.tempfile, "TemporaryDirectory", refuses)
    assert train(again, [], squares, TrainingConfig(3), checkpoint=file) == history
    assert_same(again, model)


def half_written(tensors, path, header):
    path.write_bytes(b"half of it")
    raise OSError("no space left")


def refuses(*args):
    raise OSError("no space left")


@pytest.mark.parametrize("where", ["save_file", "os.fsync", "os.replace"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch, where):
    file = tmp_path / "run.safetensors"
    interrupt(network(), points, squares, TrainingConfig(STEPS), file, stop=4)
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        if where == "save_file":
            patch.setattr(checkpoint, "save_file", half_written)
        else:
            patch.setattr(os, where.split(".")[1], refuses)
        with pytest.raises(OSError, match="no space left"):
            train(
                network(seed=1), points, squares, TrainingConfig(STEPS), checkpoint=file, checkpoint_every=1
            )
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.safetensors"]
    whole, resumed = network(), network(seed=1)
    train(whole, points, squares, TrainingConfig(STEPS))
    train(resumed, points, squares, TrainingConfig(STEPS), checkpoint=file)
    assert_same(resumed, whole)


class Complex(Network):
    def __init__(self):
        super().__init__()
        self.register_buffer("turns", torch.ones(3, dtype=torch.complex128))


class Overlapping(Network):
    def __init__(self):
        super().__init__()
        self.register_buffer("part", self.layers[0].weight.detach()[1:])


class Activated(Network):
    def __init__(self, activation):
        super().__init__()
        self.config = types.SimpleNamespace(width=3, activations=[activation])


HOLDS = "^a checkpoint cannot hold this model: "
ADDRESS = "^a checkpoint cannot compare model.config.activations: <function .*lambda.* has another address"


@pytest.mark.parametrize(("make", "name", "every", "error", "message"), [
    (Network, "file/run.safetensors", 5, OSError, r"file'$"),
    (Network, "folder", 5, ValueError, "^checkpoint must be a file; .*folder is a folder$"),
    (Network, None, 0, ValueError, "^checkpoint_every must be at least 1; got 0$"),
    (Complex, "run.st", 5, ValueError, HOLDS + ".*torch.complex128"),
    (Overlapping, "run.st", 5, ValueError, HOLDS + ".*\\n.*share memory.*'part'"),
    (lambda: Activated(lambda x: x), "run.st", 5, ValueError, ADDRESS),
])  # fmt: skip
def test_what_cannot_be_saved_is_refused_before_the_first_step(tmp_path, make, name, every, error, message):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    steps, options = [], {"checkpoint": name and tmp_path / name, "checkpoint_every": every}
    with pytest.raises(error, match=message):
        train(make(), points, squares, TrainingConfig(3), after_step=steps.append, **options)
    assert steps == []
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_config_with_a_set_a_type_or_a_dataclass_is_equal_in_another_process(tmp_path):
    def model(numbers):
        activated = Activated(torch.float32)
        activated.config.tokens, activated.config.inner = numbers, TrainingConfig(7)
        return activated

    file = tmp_path / "run.safetensors"
    one, same = {0, 8}, {8, 0}
    assert list(one) != list(same)
    interrupt(model(one), points, squares, TrainingConfig(5), file, stop=3)
    train(model(same), points, squares, TrainingConfig(5), checkpoint=file)
    with pytest.raises(ValueError, match=r"model.config.tokens: \[0, 8\] there, \[0, 9\] here$"):
        train(model({9, 0}), points, squares, TrainingConfig(5), checkpoint=file)


MEMORY = """
import os, sys
import torch
from course_lib.training import TrainingConfig, train

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

def run():
    peaks = []
    model = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024) for _ in range(4)))
    state = 3 * sum(p.nbytes for p in model.parameters())
    batch = torch.randn(1, 1024)
    start = peak()
    train(
        model, lambda step: batch, lambda model, x: model(x).square().mean(), TrainingConfig(4),
        checkpoint=sys.argv[1], checkpoint_every=2, after_step=lambda step: peaks.append(peak()),
        progress=False,
    )
    print((peaks[2] - peaks[1] if peaks else peak() - start) / state, flush=True)

torch.optim.AdamW([torch.zeros(1)])  # the first optimizer imports what takes memory of its own
for _ in ("saving", "reading"):
    if os.fork() == 0:
        run()
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux says what a process took")
def test_a_checkpoint_does_not_need_a_copy_of_everything(tmp_path):
    """The state of 50 MB is written in the third step, and read by a second process."""
    saving, reading = map(float, output_of(MEMORY, tmp_path / "run.safetensors").split())
    assert saving < 0.5
    assert reading < 2.0  # the file as it is mapped, and the optimizer's two thirds


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
def test_a_loss_that_is_not_finite_stops_training(tmp_path, bad):
    file, config = tmp_path / "run.safetensors", TrainingConfig(STEPS)
    with pytest.raises(
        FloatingPointError, match=rf"loss {bad}, .* in step 6; .*safetensors keeps the state after 3 steps"
    ):
        train(network(), points, turns(bad, at=6), config, checkpoint=file, checkpoint_every=3)
    whole, resumed = network(), network(seed=1)
    train(whole, points, squares, config)
    train(resumed, points, squares, config, checkpoint=file)  # on from weights that gave a finite loss
    assert_same(resumed, whole)
    with pytest.raises(FloatingPointError, match=rf"loss {bad}.* in step 2; no checkpoint was kept"):
        train(network(), points, turns(bad, at=2), config, checkpoint=tmp_path / "other", checkpoint_every=3)
    assert os.listdir(tmp_path) == ["run.safetensors"]


def test_a_gradient_that_is_not_finite_stops_training():
    model = network()

    def loss(model, batch):
        return (
            sum(p.abs().sum() for p in model.parameters()) * 0
            + model.layers[0].bias.sub(model.layers[0].bias.detach()).abs().sqrt().sum()
        )

    before = weights(model)
    with pytest.raises(
        FloatingPointError, match=r"loss 0\.0, gradient norm nan in step 0; no checkpoint was kept"
    ):
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


@pytest.mark.parametrize(("make", "changes", "message"), [
    (small_gpt, {"steps": 17, "learning_rate": 0.5},
     "config.steps: 13 there, 17 here; config.learning_rate: 0.01 there, 0.5 here$"),
    (lambda: small_gpt(n_heads=2), {}, "model.config.n_heads: 3 there, 2 here$"),
    (lambda: small_gpt(d_ff=13), {},
     r"model.config.d_ff: 10 there, 13 here; stack.*up_proj.weight: \(10, 6\) .* there, \(13, 6\)"),
    (network, {}, r"model: GPT there, Network here; .*layers.0.weight: None there, \(7, 3\)"),
    (lambda: small_gpt().double(), {}, r".*\(11, 6\) torch.float32 there, \(11, 6\) torch.float64 here"),
], ids=["config", "model.config", "shapes", "kind", "numbers"])  # fmt: skip
def test_a_checkpoint_of_another_set_up(tmp_path, make, changes, message):
    file = tmp_path / "run.safetensors"
    train(small_gpt(), text, next_token, CONFIG, checkpoint=file)
    model = make()
    before = weights(model)
    with pytest.raises(ValueError, match=f"another set-up: {message}"):
        train(model, text, next_token, dataclasses.replace(CONFIG, **changes), checkpoint=file)
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())


def test_a_damaged_or_foreign_file(tmp_path):
    file = tmp_path / "run.safetensors"
    train(network(), points, squares, TrainingConfig(3), checkpoint=file)
    good = file.read_bytes()
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(3)}, foreign)
    for content in (
        b"",
        good[:-3],
        good[: len(good) // 2],
        good + b"more",
        b"hello" * 100,
        good.replace(b'"F32"', b'"F99"'),
        foreign.read_bytes(),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.safetensors is damaged, or no checkpoint of `train`: "):
            train(network(), points, squares, TrainingConfig(3), checkpoint=file)
        assert file.read_bytes() == content


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
