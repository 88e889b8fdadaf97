"""The experiments of notebook 08, from another seed and with something broken; what they are made of."""

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from judged import judged

from course_lib import claims, costs, probing, readers
from course_lib.attention import scaled_dot_product_attention
from course_lib.checks import find_task, try_it
from course_lib.claims import Label
from course_lib.concepts.c08_rnn_comparison import experiments
from course_lib.concepts.c08_rnn_comparison.experiments import PLANS, FarMemory, Plan, Training
from course_lib.data import windows
from course_lib.decoder import GPT
from course_lib.objectives import token_loss
from course_lib.recurrent import RecurrentLM, unroll

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "08_rnn_comparison.ipynb"
SEED = 11
TINY = Training((3, 2), 2, 5, 0.01)


# ------------------------------------------------------------------------------------------ the name


def test_the_name_is_found_and_the_cut_takes_only_the_far_one(smollm2):
    hide = experiments.only_last
    assert experiments.name_found(smollm2, 284, 16, hide(64)) > 0.3
    far = experiments.name_found(smollm2, 100, 300)
    assert far > 0.3
    assert experiments.name_found(smollm2, 100, 300, hide(64)) < 0.01
    assert experiments.name_found(smollm2, 100, 300, hide(500)) == pytest.approx(far, abs=1e-3)
    assert experiments.name_said(smollm2, 100, 300).startswith(" Marianne")
    assert "Marianne" not in experiments.name_said(smollm2, 100, 300, hide(64))
    blocks = smollm2[0].stack.blocks
    assert all(block.attention.attend is scaled_dot_product_attention for block in blocks)


def test_only_the_last_are_seen_whether_all_tokens_ask_or_one():
    weights = torch.full((1, 1, 13, 13), 1 / 13)
    seen = experiments.only_last(3)(weights)[0, 0]
    assert seen[12].nonzero().flatten().tolist() == [0, 1, 2, 3, 10, 11, 12]
    torch.testing.assert_close(seen.sum(-1), torch.ones(13))
    torch.testing.assert_close(experiments.only_last(3)(weights[:, :, -1:])[0, 0, 0], seen[12])


# ------------------------------------------------------------------------------------------ the learner's


def defined(*cells, keep_faults=False):
    """What cells of the notebook define."""
    sources = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    names = {"torch": torch, "nn": torch.nn, "pad": torch.nn.functional.pad}
    names["try_it"] = partial(try_it, keep_faults=keep_faults)
    for cell in cells:
        exec(sources[cell], names)
    return names


def test_an_lstms_error_comes_from_far_only_where_its_cell_is_added_to():
    found = experiments.cell_gradients(find_task("08_rnn_comparison/lstm_step").answer, 3, starts=1)
    known = experiments.gradients(3, starts=1)
    assert found["LSTM, gate half open"][0] == pytest.approx(known["LSTM"][0], rel=1e-6)
    assert found["LSTM, gate open"][0] == pytest.approx(known["LSTM, forget bias 5"][0], rel=1e-6)
    wrong = defined("reach-naive", keep_faults=True)["lstm_step"]
    naive = experiments.cell_gradients(wrong, 3, starts=1)
    assert naive["LSTM, gate open"][0][-1] < 1e-20 < 0.1 < found["LSTM, gate open"][0][-1]


@pytest.mark.parametrize(
    ("look", "low", "high"), [("right", 0.9, 1.0), ("naive", 0.0, 0.7), (None, 0.0, 0.3)]
)
def test_what_comes_through_depends_on_the_look_back_that_the_learner_wrote(look, low, high):
    names = defined("vector-define", "look-naive", "look-define", keep_faults=look == "naive")
    network = experiments.taught(names["LooksBack" if look else "Repeater"], 11, steps=300)
    assert low <= experiments.right(network, 11) <= high


def test_an_lstm_gets_further_through_one_vector_than_an_rnn():
    repeater = defined("vector-define")["Repeater"]
    lstm = type("Lstm", (repeater,), {"kind": torch.nn.LSTM})
    shares = [experiments.right(experiments.taught(make, 8), 8) for make in (repeater, lstm)]
    assert shares[0] < 0.4 < 0.8 < shares[1]


@torch.no_grad()
def test_the_writer_finds_its_place_by_the_last_symbols_and_hardly_by_counting():
    names = defined("vector-define", "look-naive", "look-define")
    with torch.enable_grad():
        network = experiments.taught(names["LooksBack"], 16)
    read, others = torch.randint(1, 9, (2, 200, 16), generator=torch.Generator().manual_seed(5))
    states, last = network.reader(network.embed(read))

    def found(n_right):
        given = others.clone()
        given[:, 12 - n_right : 12] = read[:, 12 - n_right : 12]
        written, _ = network.writer(network.embed(torch.nn.functional.pad(given[:, :-1], (1, 0))), last)
        _, weights = names["look_back"](written, states)
        return (weights[:, 12].argmax(-1) == 12).float().mean().item()

    assert found(0) < 0.25 < 0.8 < found(3)


def test_repeats_teaches_each_length_anew():
    def guessing():
        return torch.nn.Embedding(9, 9)

    found = experiments.repeats(guessing, (2, 3))
    assert len(found.shares) == 2
    assert isinstance(found.longest, torch.nn.Embedding)
    assert min(found.shares) > 0.3  # it is given what it has to say


# ------------------------------------------------------------------------------------------ two that write


def test_the_stored_writers_are_those_that_are_said():
    made = yaml.safe_load(experiments.WRITERS_MADE.read_text("utf-8"))
    _, unread = readers.texts()
    pieces = next(windows(unread, 191, 64, torch.Generator().manual_seed(99)))
    for name, model in experiments.load_writers().items():
        assert experiments.n_weights(model) == made[name]["weights"]
        with torch.no_grad():
            bits = token_loss(model(pieces[:, :-1]), pieces[:, 1:]).item() / math.log(2)
        assert bits == pytest.approx(made[name]["bits"], abs=0.01)


def test_what_is_written_goes_on_from_the_prompt_and_follows_the_seed():
    model = experiments.load_writers()["LSTM"]
    text = experiments.written(model, "A class ", 13)
    assert text.startswith("A class ")
    assert len(text) == 8 + 13
    assert text == experiments.written(model, "A class ", 13) != experiments.written(model, "A class ", 13, 5)
    assert len(experiments.written(model, "é", 5)) == 6  # a letter that it does not know


def test_the_unsigned_texts_are_those_of_the_stored_models():
    texts, letter = experiments.unsigned("A class ")
    assert texts[letter] == experiments.written(experiments.load_writers()["LSTM"], "A class ")
    assert sorted(texts) == ["A", "B"]


def test_what_is_said_twice_is_as_new_to_the_writers_and_not_to_a_model_of_today(smollm2):
    for first, second in experiments.said_twice().values():
        assert second > 0.9 * first
    first, second = experiments.said_twice_to(smollm2, 60)
    assert second < first / 2


@pytest.mark.parametrize("text", ["", "é", "a", "spam and eggs " * 30])
def test_any_text_can_be_said_twice(text):
    for bits in experiments.said_twice(text).values():
        assert all(0 < each < 30 for each in bits)


def test_a_writer_is_trained_in_place():
    for model in experiments.make_writers(3).values():
        before = [weight.clone() for weight in model.parameters()]
        seconds, bits = experiments.train_writer(model, 2)
        assert seconds > 0
        assert 1 < bits < 10
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


# ------------------------------------------------------------------------------------------ far-memory


@pytest.fixture(scope="module")
def memory() -> FarMemory:
    return experiments.far_memory(SEED, starts=1)


def test_far_memory(memory):
    assert judged("far-memory", memory) == (Label.NOT_ONLY_WAY, [])


def test_attention_that_sees_the_last_eight_tokens_alone_reaches_no_further(memory):
    model = experiments.gpt()
    with probing.weights_changed(model, experiments.only_last(8)):
        cut = experiments.reach(model, torch.Generator().manual_seed(SEED))
    broken = replace(memory, gradients=memory.gradients | {"Transformer": (tuple(cut.tolist()),)})
    assert judged("far-memory", broken) == (Label.WRONG, ["direct"])


def test_started_as_pytorch_does_neither_rival_soon_brings_a_symbol_from_far(memory):
    """So it is the start, not the network; with three times the steps an LSTM does it from here, too."""
    right = {}
    for name, make in (("RNN", experiments.rnn), ("LSTM", experiments.lstm)):
        soon = PLANS[name].one._replace(steps=240)
        model = experiments.trained(make, experiments.one_symbol, *soon, seed=SEED)
        far = experiments.share(model, experiments.one_symbol, experiments.FARTHEST)
        right[name] = (memory.right[name][0], far, *memory.right[name][2:])
    assert judged("far-memory", replace(memory, right=memory.right | right)).label == Label.TRUE


def test_a_transformer_that_has_learned_nothing_recalls_nothing(memory):
    model = experiments.gpt()
    far = experiments.share(model, experiments.one_symbol, experiments.FARTHEST)
    guesses = replace(memory, right=memory.right | {"Transformer": (far, far, far, far)})
    assert judged("far-memory", guesses).label == Label.WRONG


@pytest.mark.parametrize(
    ("raw", "model", "given", "number"),
    [
        ("gradients", "RNN", "RNN, identity", "vanishes"),
        ("gradients", "LSTM", "LSTM, forget bias 5", "gated"),
        ("gradients", "RNN, identity", "RNN", "started"),
        ("gradients", "LSTM, forget bias 5", "LSTM", "started"),
        ("right", "LSTM", "Transformer", "ahead"),
        ("right", "RNN", "Transformer", "ahead"),
    ],
)
def test_another_mechanism_in_its_place_is_noticed(memory, raw, model, given, number):
    found = getattr(memory, raw)
    changed = replace(memory, **{raw: found | {model: found[given]}})
    assert judged("far-memory", changed).missed == [number]


def test_who_trains_rivals_on_less_has_not_tested_it(memory):
    hurried = replace(memory, texts=memory.texts | {"LSTM": memory.texts["Transformer"] // 2})
    assert judged("far-memory", hurried).label == Label.NOT_TESTED


def test_far_memory_of_other_sizes_follows_the_seed_and_leaves_torch_as_it_was():
    def run(seed):
        tiny = {name: Plan(plan.make, TINY, TINY) for name, plan in PLANS.items()}
        return experiments.far_memory(seed, starts=2, distance=7, plans=tiny)

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = run(3)
    assert found == run(3) != run(5)
    assert {len(start) for starts in found.gradients.values() for start in starts} == {7}
    assert found.trained == 1
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert torch.tensor(1e-39).mul(1.0) > 0  # denormal numbers are numbers again


# ------------------------------------------------------------------------------------------ its parts


def test_the_forget_gate_is_the_second_part():
    """With all weights zero it alone decides what stays of the cell."""
    cell = experiments.lstm(forget=5.0).cell
    for weight in (cell.weight_ih_l0, cell.weight_hh_l0):
        torch.nn.init.zeros_(weight)
    start = torch.ones(1, 1, 40)
    i, _, g, _ = (cell.bias_ih_l0 + cell.bias_hh_l0).chunk(4)
    _, (_, c) = unroll(cell.step, torch.zeros(1, 1, 40), (start, start), cell.all_weights)
    expected = torch.sigmoid(torch.tensor(5.0)) + i.sigmoid() * g.tanh()
    torch.testing.assert_close(c[0, 0], expected)


def test_models_have_equally_many_weights_and_other_starts_are_the_same_models():
    made = {name: make() for name, make in experiments.MODELS.items()}
    sizes = [experiments.n_weights(model) for model in made.values()]
    assert max(sizes) < 1.1 * min(sizes)
    for plain, started in (("RNN", "RNN, identity"), ("LSTM", "LSTM, forget bias 5")):
        shapes = [{k: v.shape for k, v in made[name].state_dict().items()} for name in (plain, started)]
        assert shapes[0] == shapes[1]
    _, u, b, b_u = made["RNN, identity"].cell.parameters()
    assert torch.equal(u, torch.eye(80))
    assert not b.any()
    assert not b_u.any()


def test_one_symbol_tells_the_answer():
    ids, answers = experiments.one_symbol(700, 5, torch.Generator().manual_seed(1))
    assert torch.equal(ids[:, :1], answers)
    assert set(answers.flatten().tolist()) == set(range(1, 9))
    assert set(ids[:, 1:5].flatten().tolist()) == set(range(9, 17))
    assert ids.shape == (700, 6)
    assert not ids[:, 5].any()


def test_all_symbols_are_said_again_each_after_the_one_before():
    ids, answers = experiments.all_symbols(700, 5, torch.Generator().manual_seed(1))
    assert torch.equal(ids[:, :5], answers)
    assert not ids[:, 5].any()
    assert torch.equal(ids[:, 6:], answers[:, :-1])
    assert set(answers.flatten().tolist()) == set(range(1, 9))
    scores = torch.randn(700, 10, 17)
    assert torch.equal(experiments.answered(lambda ids: scores, (ids, answers)), scores[:, 5:])


# ------------------------------------------------------------------------------------------ rnn-slower


def test_one_core_does_not_judge_whether_recurrent_networks_train_slower():
    assert judged("rnn-slower").label == Label.NOT_TESTED


def test_what_a_clock_had_decided_stays_on_record():
    """Ten runs of 29 November were replaced within three minutes; two of them found the opposite."""
    found = claims.runs()["rnn-slower"]
    assert len(found) == 45
    assert all(run.aside for run in found)
    replaced = [run for run in found if "replaced" in run.aside]
    assert sum(run.numbers["large"] > 0.9 for run in replaced) == 2
    assert len(replaced) == 10


def machine(processors=1, beside=1e6):
    """A clock that knows a machine instead of having one.

    A step takes as long as its work or its chain, and the time to fetch weights that do not fit.

    Args:
        processors: that share the work.
        beside: weights that fit beside a processor, where fetching them takes no time.
    """

    def seconds(model, ids):
        texts, length = ids.shape
        n = experiments.n_weights(model)
        if isinstance(model, RecurrentLM):
            chain, fetched, attending = (4 if model.cell.fused else 6) * length, length, 0
        else:
            chain, fetched, attending = 60, 1, 12 * model.config.n_layers * model.config.d_model * length / 2
        work = (6 * n + attending) * texts * length / 2e10
        fetching = 4 * n * fetched / 1e10 if n > beside else 0
        return max((work + fetching) / processors, 5e-6 * chain)

    def clock(functions, rounds):
        return [[seconds(*function.args)] * rounds for function in functions]

    return clock


def test_speeds_follow_the_machine():
    one, many, near = (
        experiments.speeds(SEED, lengths=(64, 256), clock=clock)
        for clock in (machine(), machine(processors=10_000), machine(beside=1e9))
    )
    assert one.small > 1 > many.small
    assert many.widest[512] < many.widest[64] < one.widest[64] < 1
    assert near.widest[512] > 1  # nothing has to be fetched
    assert one.chains["LSTM, loop"] > 20 * one.chains["Transformer"]


def test_widths_have_equally_many_weights():
    found = experiments.speeds(SEED, lengths=(5,), longer=(), clock=machine())
    assert all(max(pair) < 1.1 * min(pair) for pair in zip(*found.weights.values(), strict=True))


def test_speeds_and_learning_of_other_sizes_with_a_real_clock():
    found = experiments.speeds(3, lengths=(5, 11), widths=((8, 8),), longer=(7,))
    assert found.lengths == (5, 11)
    assert all(rate > 0 for of in found.rates.values() for rates in of.values() for rate in rates)
    assert found.widest.keys() == {7}
    learned = experiments.learning(3, starts=2, points=(1, 2))
    assert {len(of) for of in learned.bits.values()} == {2}
    for seconds in learned.seconds.values():
        assert all(0 < before < after for before, after in pairwise(seconds))
    again = experiments.learning(3, starts=2, points=(1, 2)).bits
    assert again == learned.bits != experiments.learning(5, starts=2, points=(1, 2)).bits


@pytest.mark.parametrize("optimiser", ["", ", Muon"])
def test_after_few_steps_the_lstm_is_ahead_in_bits(optimiser):
    """As the lesson says; where a Transformer stands in for the LSTM, nobody is."""
    learned = experiments.learning(SEED, starts=1)
    assert learned.end(f"Transformer{optimiser}") - learned.end(f"LSTM{optimiser}") > 0.05


# ------------------------------------------------------------------------------------------ the others


def test_rnn_chain():
    """As the notebook counts it, but for the writing one."""

    def each_token(model: RecurrentLM | GPT) -> float:
        short, long = (costs.longest_chain(model(torch.zeros(1, n, dtype=torch.long))) for n in (16, 64))
        return (long - short) / 48

    loops = {
        "rnn": each_token(experiments.rnn(fused=False)),
        "lstm": each_token(experiments.lstm(fused=False)),
    }
    rest = {"writes": 93, "depth": 39}
    assert judged("rnn-chain", **loops, reads=each_token(experiments.gpt()), **rest).label == Label.ONLY_IF
    assert judged("rnn-chain", **loops, reads=loops["rnn"], **rest).label == Label.WRONG


def test_what_a_token_adds_to_each_chain():
    chains = {"a": [10, 58, 250], "b": [10, 106, 490], "c": [90, 90, 90], "d": [7, 487]}
    found = experiments.each_token([16, 64, 256], chains)
    assert found == {"rnn": 1.0, "lstm": 2.0, "reads": 0.0, "writes": 10.0}
