"""RNN and LSTM: the loop against torch's own modules, and a language model."""

import pytest
import regex
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib import costs
from course_lib.recurrent import LSTM, RNN, RecurrentLM, linear_recurrence, linear_scan, unroll

B, T, D, LAYERS, V = 2, 7, 5, 3, 23
both_cells = pytest.mark.parametrize("cell", ["rnn", "lstm"])
both_ways = pytest.mark.parametrize("fused", [False, True], ids=["loop", "fused"])
OURS = {"rnn": RNN, "lstm": LSTM}
THEIRS = {"rnn": nn.RNN, "lstm": nn.LSTM}


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(ours, theirs, atol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def pair(cell, n_layers=LAYERS, fused=False):
    """Ours and theirs, with the same weights, large enough to bend."""
    theirs = THEIRS[cell](D, D, n_layers, batch_first=True).double()
    for n, parameter in enumerate(theirs.parameters()):
        parameter.data = numbers(*parameter.shape, seed=n)
    ours = OURS[cell](D, n_layers, fused=fused).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def random_state(cell, n_layers=LAYERS, b=B):
    return tuple(numbers(n_layers, b, D, seed=n + 40) for n in range(2 if cell == "lstm" else 1))


# ------------------------------------------------------------------------------------------- RNN and LSTM


@both_cells
@both_ways
@pytest.mark.parametrize("n_layers", [1, LAYERS])
def test_equals_torch(cell, fused, n_layers):
    ours, theirs = pair(cell, n_layers, fused)
    x = numbers(B, T, D)
    outputs, last = ours(x)
    their_outputs, their_last = theirs(x)
    close(outputs, their_outputs)
    assert isinstance(last, tuple)
    for part, their_part in zip(last, (their_last,) if cell == "rnn" else their_last, strict=True):
        close(part, their_part)
    close(last[0][-1], outputs[:, -1])  # the state is the last output, of the highest layer


def from_state(ours, x, state):
    """The loop from another state than zeros."""
    return unroll(ours.step, x, state, ours.all_weights)


@both_cells
def test_the_loop_from_a_state_equals_torch(cell):
    ours, theirs = pair(cell)
    x, state = numbers(B, T, D), random_state(cell)
    close(from_state(ours, x, state)[0], theirs(x, state[0] if cell == "rnn" else state)[0])


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
        close(loop, fused)


@both_cells
def test_one_cell_equals_torchs_cell(cell):
    ours, theirs = pair(cell, 1)
    torch_cell = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell}[cell](D, D).double()
    torch_cell.load_state_dict({name[:-3]: value for name, value in theirs.state_dict().items()})
    x, state = numbers(B, 1, D), random_state(cell, 1)
    expected = torch_cell(x[:, 0], state[0][0] if cell == "rnn" else tuple(part[0] for part in state))
    _, last = from_state(ours, x, state)
    for part, expected_part in zip(last, (expected,) if cell == "rnn" else expected, strict=True):
        close(part[0], expected_part)


def test_the_formulas_with_plain_numbers():
    rnn, lstm = RNN(1).double(), LSTM(1).double()
    for module in (rnn, lstm):
        for n, parameter in enumerate(module.parameters()):
            parameter.data = numbers(*parameter.shape, seed=n)
    x, h, c = 0.3, -0.7, 1.1
    as_state = torch.tensor([[[h]]], dtype=torch.float64), torch.tensor([[[c]]], dtype=torch.float64)
    x_tensor = torch.tensor([[[x]]], dtype=torch.float64)

    w, u, b, b_u = (parameter.squeeze() for parameter in rnn.parameters())
    close(from_state(rnn, x_tensor, as_state[:1])[0].squeeze(), (w * x + u * h + b + b_u).tanh())

    w, u, b, b_u = (parameter.squeeze() for parameter in lstm.parameters())
    take_in, forget, candidate, show = w * x + u * h + b + b_u
    memory = forget.sigmoid() * c + take_in.sigmoid() * candidate.tanh()
    _, (new_h, new_c) = from_state(lstm, x_tensor, as_state)
    close(new_c.squeeze(), memory)
    close(new_h.squeeze(), show.sigmoid() * memory.tanh())


@both_cells
@settings(deadline=None, max_examples=20)
@given(cut=st.integers(1, T - 1), b=st.integers(1, 3))
def test_two_halves_are_one_run(cell, cut, b):
    ours, _ = pair(cell)
    x = numbers(b, T, D)
    outputs, last = ours(x)
    first, middle = ours(x[:, :cut])
    second, end = from_state(ours, x[:, cut:], middle)
    close(torch.cat([first, second], dim=1), outputs)
    for part, expected in zip(end, last, strict=True):
        close(part, expected)


@both_cells
@both_ways
@settings(deadline=None, max_examples=20)
@given(changed=st.integers(0, T - 1), seed=st.integers(0, 1000))
def test_later_tokens_change_nothing_before(cell, fused, changed, seed):
    ours, _ = pair(cell, fused=fused)
    x = numbers(B, T, D, seed=seed)
    other = x.clone()
    other[:, changed] = other[:, changed] + 1
    before, after = ours(x)[0], ours(other)[0]
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert (before[:, changed] != after[:, changed]).any()


@both_cells
@both_ways
def test_gradcheck(cell, fused):
    ours, _ = pair(cell, 2, fused)

    def run(x):
        outputs, last = ours(x)
        return outputs, *last

    assert torch.autograd.gradcheck(run, (numbers(2, 3, D).requires_grad_(),))


@both_cells
def test_gradcheck_of_the_parameters(cell):
    ours, _ = pair(cell, 2)
    names, values = zip(*ours.named_parameters(), strict=True)
    x = numbers(2, 3, D)

    def run(*values):
        return torch.func.functional_call(ours, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(run, values)


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
def test_float32(cell):
    ours, theirs = (module.float() for module in pair(cell))
    x = numbers(B, T, D).float()
    close(ours(x)[0], theirs(x)[0], atol=1e-5)
    ours.fused = True
    close(ours(x)[0], theirs(x)[0], atol=1e-5)


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
    close(model(ids), logits)
    assert (model.lm_head.weight is model.token_embedding.weight) == tied
    assert model.cell.fused
    model.cell.fused = False
    close(model(ids), logits)


@both_cells
@pytest.mark.parametrize("tied", [False, True])
def test_first_loss_is_near_chance(cell, tied):
    model = RecurrentLM(101, 67, 2, cell, tied=tied)
    ids = torch.randint(101, (13, 17))
    loss = F.cross_entropy(model(ids).flatten(0, 1), torch.randint(101, (13 * 17,)))
    assert loss.item() == pytest.approx(torch.tensor(101.0).log().item(), abs=0.15)


@both_cells
@both_ways
def test_learns_what_came_before(cell, fused):
    """The next token is the one before the last: who forgets has a loss of log 5 at best."""
    model = RecurrentLM(5, 17, 1, cell, fused=fused, tied=True)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    ids = torch.randint(5, (32, 2)).repeat(1, 6)
    for _ in range(120):
        loss = F.cross_entropy(model(ids)[:, 1:-1].flatten(0, 1), ids[:, 2:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


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
    close(linear_scan(a, b), linear_recurrence(a, b))


def test_the_loop_by_hand():
    a = torch.tensor([[9.0], [0.5], [0.0], [-1.0]])
    b = torch.tensor([[4.0], [1.0], [5.0], [2.0]])
    assert linear_recurrence(a, b).tolist() == [[4.0], [3.0], [5.0], [-3.0]]


@pytest.mark.parametrize("function", [linear_recurrence, linear_scan])
def test_a_recurrence_without_a_bend_forgets_by_its_factor(function):
    a, b = torch.full((9, 1), 0.5), torch.zeros(9, 1)
    b[0] = 1.0
    assert function(a, b)[:, 0].tolist() == [0.5**n for n in range(9)]


def test_the_gradients_agree():
    found = []
    for function in (linear_recurrence, linear_scan):
        a, b = (part.requires_grad_() for part in gates(13))
        function(a, b)[..., -1, :].sum().backward()
        found.append((a.grad, b.grad))
    for one, other in zip(*found, strict=True):
        close(one, other)


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
