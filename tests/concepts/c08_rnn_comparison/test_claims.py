"""The claims of notebook 08: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no: something takes the mechanism away, or a number says the opposite.
"""

from collections.abc import Callable

import pytest
import torch
from notebook_cells import NotebookCells

from course_lib.attention import scaled_dot_product_attention
from course_lib.plots import Unsupported
from course_lib.recurrent import LSTM

CELLS = NotebookCells("08_rnn_comparison")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
NOT_HERE = {"explore"}  # the explorer has tests of its own, as the checks have
NOT_RECORDED = {"far-memory": ("rnn", "lstm")}  # trained for less than in the notebook
LSTM_STEP = 'try_it("08_rnn_comparison/lstm_step", lstm_step)'


def left_behind(seed: int, minilm: Callable, smollm2: Callable) -> dict:
    """What the notebook's cells leave behind, all verdicts included, from this seed on.

    One start, not three, where characters are learned; each step is timed once; and what does not learn to
    repeat is given fewer steps.
    """
    changes = {
        "reach-rnn": {"seed": ("SEED = 0", f"SEED = {seed}")},
        "reach-naive": {"check": (LSTM_STEP, "")},
        "recall-plan": {"rnn": ("(MANY, 750", "(MANY, 300"), "lstm": ("(MANY, 900", "(MANY, 500")},
        "speed-define": {"rounds": ("ROUNDS = 3", "ROUNDS = 1")},
        "learn-run": {"starts": ("for seed in SEEDS]", "for seed in SEEDS[:1]]")},
    }
    try:
        return CELLS.run_all(changes, NOT_HERE, minilm=minilm, smollm2=smollm2)
    finally:
        torch.set_flush_denormal(False)


# ---------------------------------------------------------------------- the name


def test_the_name_is_found_and_the_cut_takes_only_the_far_one(real_names: dict) -> None:
    near, near_cut, far, far_cut = real_names["kept"].values()
    assert min(near, near_cut) > 0.3
    assert far > 0.3
    assert far_cut < 0.01
    assert real_names["asked"](100, 300, 500) == pytest.approx(far, abs=1e-3)  # nothing is that far away


def test_the_cut_leaves_the_model_as_it_was(real_names: dict) -> None:
    blocks = real_names["smollm2"].stack.blocks
    assert all(block.attention.attend is scaled_dot_product_attention for block in blocks)


def test_what_a_cut_token_sees(names: dict) -> None:
    weights = torch.rand(1, 2, 11, 11).tril()
    seen = names["cut"](3)(weights / weights.sum(-1, keepdim=True))
    assert (seen[0, 0, 9] > 0).nonzero()[:, 0].tolist() == [0, 1, 2, 3, 7, 8, 9]
    torch.testing.assert_close(seen.sum(-1), torch.ones(1, 2, 11))


# ---------------------------------------------------------------------- how far back the error reaches


def test_the_mended_step_is_the_librarys(names: dict) -> None:
    torch.manual_seed(3)
    x, cell = torch.randn(2, 1, 5), LSTM(5)
    w, u, b, b_u = cell.parameters()
    state = torch.randn(2, 5), torch.randn(2, 5)
    outputs, (_, c) = cell(x, tuple(part[None] for part in state))
    naive = names["lstm_step"](x[:, 0], *state, w, u, b + b_u)
    assert (naive[0] - outputs[:, 0]).abs().max() > 0.01
    order = torch.cat([torch.arange(5) + 5 * part for part in (0, 1, 3, 2)])  # to where it looks for them
    mended = names["lstm_step"](x[:, 0], *state, w[order], u[order], (b + b_u)[order])
    torch.testing.assert_close(mended[0], outputs[:, 0])
    torch.testing.assert_close(mended[1], c[0])


def test_the_forget_gate_is_the_second_part(names: dict) -> None:
    """With all weights zero it alone decides what stays of the cell."""
    cell = names["lstm"](5.0).cell
    for weight in (cell.weight_ih_l0, cell.weight_hh_l0):
        torch.nn.init.zeros_(weight)
    start = torch.ones(1, 1, 40)
    bias = cell.bias_ih_l0 + cell.bias_hh_l0
    i, _, g, _ = bias.chunk(4)
    _, (_, c) = cell(torch.zeros(1, 1, 40), (start, start))
    expected = torch.sigmoid(torch.tensor(5.0)) + i.sigmoid() * g.tanh()
    torch.testing.assert_close(c[0, 0], expected)


def test_models_have_equally_many_parameters(names: dict) -> None:
    sizes = [sum(p.numel() for p in make().parameters()) for make in names["MODELS"].values()]
    assert max(sizes) < 1.1 * min(sizes)


def test_far_memory(names: dict) -> None:
    gradients, right = names["gradients"], names["right"]
    shrinking = gradients["Transformer"] * torch.linspace(1, 0.1, 128)
    unlearned = [1.0, 0.13, 1.0, 1.0]
    for name, value, evidence in (
        ("gradients", gradients | {"RNN": gradients["Transformer"]}, "vanishes"),
        ("gradients", gradients | {"LSTM": gradients["LSTM, forget bias 5"]}, "gated"),
        ("gradients", gradients | {"RNN, identity": gradients["RNN"]}, "started"),
        ("gradients", gradients | {"LSTM, forget bias 5": gradients["LSTM"]}, "started"),
        ("gradients", gradients | {"Transformer": shrinking}, "direct"),
        *(("right", right | {model: unlearned}, "far") for model in right),
        ("right", right | {"RNN": right["Transformer"]}, "rnn"),
        ("right", right | {"LSTM": right["Transformer"]}, "lstm"),
        ("right", right | {"Transformer": right["LSTM"]}, "transformer"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("recall-verdict", names, evidence)
        names[name] = kept


def test_the_rnn_as_pytorch_starts_it_does_not_learn_what_the_other_start_does(without_models: dict) -> None:
    """So it is the start, not the network."""
    learned, share = without_models["learned"], without_models["share"]
    _, plan, _ = without_models["PLANS"]["RNN"]
    model = learned(without_models["rnn"], without_models["one"], *plan)
    assert share(model, without_models["one"], 128) < 0.4
    assert without_models["right"]["RNN"][1] > 0.8


def test_models_that_start_otherwise_are_the_same_models(names: dict) -> None:
    plain, started = names["rnn"](), names["rnn"](identity=True)
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in started.state_dict().items()
    }
    assert torch.equal(started.cell.weight_hh_l0, torch.eye(80))
    assert not started.cell.bias_ih_l0.any()
    assert not started.cell.bias_hh_l0.any()


def test_one_symbol_tells_the_answer(names: dict) -> None:
    ids, answers = names["one"](700, 5, torch.Generator().manual_seed(1))
    assert torch.equal(ids[:, :1], answers)
    assert set(answers.flatten().tolist()) == set(range(1, 9))
    assert set(ids[:, 1:5].flatten().tolist()) == set(range(9, 17))
    assert ids.shape == (700, 6)
    assert not ids[:, 5].any()


def test_all_symbols_are_said_again_each_after_the_one_before(names: dict) -> None:
    ids, answers = names["again"](700, 5, torch.Generator().manual_seed(1))
    assert torch.equal(ids[:, :5], answers)
    assert not ids[:, 5].any()
    assert torch.equal(ids[:, 6:], answers[:, :-1])
    assert set(answers.flatten().tolist()) == set(range(1, 9))
    scores = torch.randn(700, 10, 17)
    assert torch.equal(names["answered"](lambda ids: scores, (ids, answers)), scores[:, 5:])


# ---------------------------------------------------------------------- step after step


def test_rnn_chain(names: dict) -> None:
    chains = names["chains"]
    for name, value, evidence in (
        ("chains", chains | {"RNN, loop": chains["Transformer"]}, "rnn"),
        ("chains", chains | {"LSTM, loop": chains["LSTM, one kernel"]}, "lstm"),
        ("chains", chains | {"Transformer": chains["RNN, loop"]}, "reads"),
        ("chains", chains | {"Transformer, writing": chains["Transformer"][:2]}, "writes"),
        ("deeper", 0, "depth"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("chain-verdict", names, evidence)
        names[name] = kept


def test_attention_token_by_token_is_attention(names: dict) -> None:
    wx, k, v = names["wx"], names["k"], names["v"]
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    wx, k, v = (each[:, 0] for each in (wx, k, v))
    whole = (wx @ k.mT).masked_fill(~mask, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(torch.cat(names["mixes"]), whole)


# ---------------------------------------------------------------------- what trains faster


def test_rnn_slower(names: dict) -> None:
    chains, taken, ends = names["chains"], names["taken"], names["ends"]
    loop, transformer = "RNN, loop", "Transformer"
    one, many = taken[1][1024], taken[16][1024]
    for name, value, evidence in (
        ("chains", chains | {"LSTM, loop": chains["LSTM, one kernel"]}, "row"),
        ("taken", {**taken, 16: {**taken[16], 1024: many | {loop: 16 * one[loop]}}}, "overhead"),
        ("taken", {**taken, 16: {**taken[16], 1024: many | {transformer: 2 * one[transformer]}}}, "works"),
        ("fastest", 1.0, "fused"),
    ):
        kept, names[name] = names[name], value
        run_cell("speed-wait", names)  # its function reads the seconds of these names
        assert refused_by_cell("learn-verdict", names, evidence)
        names[name] = kept
    runs = names["runs"]
    for changed, evidence in (
        ({"LSTM": runs["Transformer"]}, "lead"),
        ({"LSTM, Muon": runs["Transformer"]}, "muon"),
    ):
        assert refused_by_cell("learn-verdict", names | {"runs": runs | changed}, evidence)
    assert ends.keys() == names["runs"].keys()


# ---------------------------------------------------------------------- a trillion tokens


def test_internet_scale(names: dict) -> None:
    for changed, evidence in (
        ({"WAIT": 0.0}, "longer"),
        ({"WAIT": 1e-7}, "lengthy"),
        ({"RATE": 1e20}, "alone"),
        ({"WAIT": 1e-2}, "batch"),
    ):
        others = names | changed
        run_cell("days-define", others)
        others.update(changed)  # the cell has set them anew
        run_cell("days-run", others, shown=('outcome("longer", ', "print("))
        assert refused_by_cell("days-verdict", others, evidence)


def test_the_days_are_those_of_the_work_where_nobody_waits(names: dict) -> None:
    """6 x 10^9 operations a token, 10^12 tokens, 10^14 a second: 6 x 10^7 seconds."""
    assert names["days"]("RNN", 1, 2048, 2**20) == pytest.approx(6e7 / 86_400)
    assert names["days"]("RNN", 1e9, 2048, 2**20) == pytest.approx(
        1e12 / 2**20 * 4 * (2048 + 24) * 5e-6 / 86_400
    )


# ---------------------------------------------------------------------- what came after


def test_a_bend_stops_the_scan(names: dict) -> None:
    """As the notebook's answer says: with a bend in both, the first two states agree, and no later one."""
    bent = {**names}
    changes = {
        "first": ("    reach = 1\n", "    reach, b = 1, torch.cat([b[:1].tanh(), b[1:]])\n"),
        "later": ("torch.cat([b[:reach], later])", "torch.cat([b[:reach], later.tanh()])"),
    }
    with pytest.raises(AssertionError):  # the cell compares with a loop without one
        run_cell("scan-define", bent, **changes)
    a, b = names["a"], names["b"]
    h, states = b[0] * 0, []
    for t in range(13):
        h = (a[t] * h + b[t]).tanh()
        states.append(h)
    off = (bent["scan"](a, b) - torch.stack(states)).abs().amax(1)
    assert (off < 1e-12).tolist() == [True, True, *[False] * 11]


def test_the_figure_refuses_a_loop_for_a_scan(names: dict) -> None:
    loop = names["by_way"]["loop"]
    with pytest.raises(Unsupported):
        names["figures"].scanned(names["lengths"], {"loop": loop, "scan": loop})
