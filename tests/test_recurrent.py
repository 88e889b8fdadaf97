"""RNN and LSTM: the loop against torch's own modules, and a language model."""

import pytest
import regex
import torch
import torch.nn.functional as F
from tensors import assert_close, numbers, randomise
from torch import nn

from course_lib import costs
from course_lib.recurrent import LSTM, RNN, RecurrentLM, linear_recurrence, linear_scan, unroll

B, T, D, LAYERS, V = 2, 7, 5, 3, 23
both_cells = pytest.mark.parametrize("cell", ["rnn", "lstm"])
both_ways = pytest.mark.parametrize("fused", [False, True], ids=["loop", "fused"])
OURS = {"rnn": RNN, "lstm": LSTM}
THEIRS = {"rnn": nn.RNN, "lstm": nn.LSTM}


def pair(cell, n_layers=LAYERS, fused=False):
    """Ours and theirs, with the same weights, large enough to bend."""
    theirs = randomise(THEIRS[cell](D, D, n_layers, batch_first=True).double(), std=0.5)
    ours = OURS[cell](D, n_layers, fused=fused).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def random_state(cell):
    return tuple(numbers(LAYERS, B, D, seed=n + 40) for n in range(2 if cell == "lstm" else 1))


# ------------------------------------------------------------------------------------------- RNN and LSTM


@both_cells
@both_ways
@pytest.mark.parametrize("n_layers", [1, LAYERS])
def test_equals_torch(cell, fused, n_layers):
    ours, theirs = pair(cell, n_layers, fused)
    x = numbers(B, T, D)
    outputs, last = ours(x)
    their_outputs, their_last = theirs(x)
    assert_close(outputs, their_outputs)
    assert isinstance(last, tuple)
    for part, their_part in zip(last, (their_last,) if cell == "rnn" else their_last, strict=True):
        assert_close(part, their_part)
    assert_close(last[0][-1], outputs[:, -1])  # the state is the last output, of the highest layer


@both_cells
def test_the_loop_from_a_state_equals_torch(cell):
    ours, theirs = pair(cell)
    x, state = numbers(B, T, D), random_state(cell)
    outputs, last = unroll(ours.step, x, state, ours.all_weights)
    expected, their_last = theirs(x, state[0] if cell == "rnn" else state)
    assert_close(outputs, expected)
    assert_close(torch.stack(last), their_last[None] if cell == "rnn" else torch.stack(their_last))


@both_cells
@both_ways
def test_the_loop_steps_and_the_kernel_does_not(cell, fused, monkeypatch):
    ours, steps = pair(cell, fused=fused)[0], []
    step = ours.step
    monkeypatch.setattr(ours, "step", lambda *args: steps.append(args) or step(*args))
    ours(numbers(B, T, D))
    assert len(steps) == (0 if fused else LAYERS * T)


@both_cells
def test_loop_and_fused_give_equal_gradients(cell):
    gradients = []
    for fused in (False, True):
        ours, _ = pair(cell, fused=fused)
        x = numbers(B, T, D).requires_grad_()
        outputs, last = ours(x)
        (outputs.sin().sum() + sum(part.cos().sum() for part in last)).backward()
        gradients.append([p.grad for p in [x, *ours.parameters()]])
    for loop, fused in zip(*gradients, strict=True):
        assert_close(loop, fused)


@both_cells
def test_parameters_are_torchs(cell):
    torch.manual_seed(3)
    ours = OURS[cell](D, LAYERS)
    torch.manual_seed(3)
    theirs = THEIRS[cell](D, D, LAYERS)
    assert isinstance(ours, nn.RNNBase)
    assert ours.fused is False
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


@both_cells
@both_ways
def test_mixed_precision(cell, fused):
    """Under autocast, near the exact result."""
    if fused and cell == "lstm" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("torch's LSTM kernel computes in bfloat16 only where the processor has AVX-512")
    ours = pair(cell, fused=fused)[0].float()
    x = numbers(B, T, D).float()
    exact, _ = ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = ours(x)
    torch.testing.assert_close(outputs.float(), exact, rtol=0, atol=0.2)


# ----------------------------------------------------------------------------------------- language model


@both_cells
@pytest.mark.parametrize("tied", [False, True])
def test_language_model_from_torchs_parts(cell, tied):
    model = RecurrentLM(V, D, LAYERS, cell, tied=tied).double()
    theirs = THEIRS[cell](D, D, LAYERS, batch_first=True).double()
    theirs.load_state_dict(model.cell.state_dict())
    ids = torch.randint(V, (B, T))
    hidden, _ = theirs(F.embedding(ids, model.token_embedding.weight))
    logits = hidden @ (model.token_embedding if tied else model.lm_head).weight.T
    assert logits.shape == (B, T, V)
    assert_close(model(ids), logits)
    assert (model.lm_head.weight is model.token_embedding.weight) == tied
    assert model.cell.fused
    model.cell.fused = False
    assert_close(model(ids), logits)


@both_cells
@pytest.mark.parametrize("tied", [False, True])
def test_first_loss_is_near_chance(cell, tied):
    model = RecurrentLM(101, 67, 2, cell, tied=tied)
    ids = torch.randint(101, (13, 17))
    loss = F.cross_entropy(model(ids).flatten(0, 1), torch.randint(101, (13 * 17,)))
    assert loss.item() == pytest.approx(torch.tensor(101.0).log().item(), abs=0.15)


@both_cells
@both_ways
def test_nothing_is_made_on_another_device(cell, fused):
    """The meta device stands for an accelerator."""
    with torch.device("meta"):
        model = RecurrentLM(V, D, LAYERS, cell, fused=fused)
    assert model(torch.zeros(B, T, dtype=torch.long, device="meta")).is_meta


# ------------------------------------------------------------------------------------------ errors for humans


def test_unknown_cell():
    with pytest.raises(ValueError, match="cell must be 'rnn' or 'lstm'; got 'gru'"):
        RecurrentLM(V, D, LAYERS, "gru")


@both_cells
@both_ways
@pytest.mark.parametrize("shape", [(B, T, D + 2), (B, 0, D), (T, D)])
def test_inputs_that_do_not_fit(own_errors, cell, fused, shape):
    message = f"x must be (batch, 1 or more tokens, 5); got {shape}"
    with pytest.raises(ValueError, match=regex.escape(message, literal_spaces=True)):
        OURS[cell](D, fused=fused)(torch.zeros(shape))


@both_cells
@pytest.mark.parametrize("bad", [-1, V, 10**6])
def test_ids_outside_the_vocabulary(cell, bad):
    ids = torch.randint(V, (B, T))
    ids[1, 3] = bad
    model = RecurrentLM(V, D, LAYERS, cell)
    with pytest.raises(ValueError, match=f"token ids run from 0 to 22; got {bad}$"):
        model(ids)


# ------------------------------------------------------------------------------------- without a bend


def gates(n_tokens, seed=0):
    """Numbers of both signs, some zero: what divides by a product of them fails here."""
    a = numbers(B, n_tokens, D, seed=seed)
    return torch.where(a.abs() < 0.3, 0.0, a), numbers(B, n_tokens, D, seed=seed + 1)


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 7, 8, 9, 131])
def test_the_scan_is_the_loop(n_tokens):
    a, b = gates(n_tokens)
    assert_close(linear_scan(a, b), linear_recurrence(a, b))


def test_the_loop_by_hand():
    a = torch.tensor([[9.0], [0.5], [0.0], [-1.0]])
    b = torch.tensor([[4.0], [1.0], [5.0], [2.0]])
    assert linear_recurrence(a, b).tolist() == [[4.0], [3.0], [5.0], [-3.0]]


def test_the_scan_has_a_short_chain():
    a, b = (part.requires_grad_() for part in gates(256))
    assert costs.longest_chain(linear_scan(a, b).sum()) < 8 * 5 + 5
    assert costs.longest_chain(linear_recurrence(a, b).sum()) > 2 * 255


@pytest.mark.parametrize("function", [linear_recurrence, linear_scan])
@pytest.mark.parametrize(
    ("a", "b"), [((2, 0, 5), (2, 0, 5)), ((1, 5), (7, 5)), ((7, 1), (7, 5)), ((7, 5), (1, 5)), ((5,), (5,))]
)
def test_a_recurrence_needs_tokens_and_one_factor_for_each(own_errors, function, a, b):
    shapes = regex.escape(f"of the same shape; got {a} and {b}", literal_spaces=True)
    with pytest.raises(ValueError, match=rf"1 or more tokens, width\), {shapes}$"):
        function(torch.ones(a), torch.ones(b))
