"""The two readers: what each sees, and that the stored ones are what the recipe gives."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Generator

from course_lib import readers
from course_lib.decoder import GPT, LlamaConfig


@pytest.fixture(scope="module")
def gaps() -> torch.Tensor:
    _, held_out = readers.texts()
    return readers.pieces(held_out, 512, Generator().manual_seed(1))


def test_a_text_survives_but_for_what_is_not_in_the_alphabet() -> None:
    text = "Zeile 1:\n\tx = {~}"
    assert readers.decode(readers.encode(text)) == text.replace("\t", "")


def test_a_hidden_character_is_shown_as_a_gap() -> None:
    ids = readers.encode("abc")
    ids[1] = readers.MASK_ID
    assert readers.decode(ids) == "a▢c"


def test_the_last_tenth_is_held_out() -> None:
    learned, held_out = readers.texts()
    assert len(held_out) == pytest.approx(len(learned) / 9, abs=1)
    assert learned.max() < readers.MASK_ID


def test_both_kinds_start_from_the_same_weights() -> None:
    before, both = (readers.make_reader(causal=causal, seed=3).state_dict() for causal in (True, False))
    assert all(torch.equal(before[name], both[name]) for name in before)
    other = readers.make_reader(causal=True, seed=4).state_dict()
    assert not torch.equal(before["token_embedding.weight"], other["token_embedding.weight"])


@pytest.mark.parametrize(
    ("causal", "changed", "matters"),
    [
        (True, readers.GAP - 1, True),
        (True, readers.GAP + 1, False),
        (True, 0, True),
        (False, readers.GAP - 1, True),
        (False, readers.GAP + 1, True),
        (False, readers.GAP - 17, False),
        (False, readers.GAP + 16, False),
    ],
)
def test_each_kind_sees_its_side(gaps: torch.Tensor, causal: bool, changed: int, matters: bool) -> None:
    model = readers.make_reader(causal=causal, seed=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    other = gaps.clone()
    other[:, changed] = (other[:, changed] + 1) % readers.MASK_ID
    moved = (readers.gap_losses(model, gaps) - readers.gap_losses(model, other)).abs().max().item()
    assert (moved > 1e-3) is matters


def test_the_answer_itself_is_hidden(gaps: torch.Tensor) -> None:
    model = readers.make_reader(causal=False, seed=0)
    seen = []
    model.token_embedding.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    readers.gap_losses(model, gaps)
    assert seen[0].shape == (512, readers.CONTEXT)
    assert (seen[0] == readers.MASK_ID).sum(0).tolist() == [512 * (place == 16) for place in range(32)]


def test_fifteen_percent_are_asked_of_one_and_all_of_the_other() -> None:
    model = readers.make_reader(causal=True, seed=0)
    ids = readers.texts()[0][: 33 * 64].reshape(64, 33)
    asked: list[int] = []
    model.lm_head.register_forward_hook(lambda module, args, logits: asked.append(logits[..., 0].numel()))
    readers.next_character_loss(model, ids)
    assert asked == [64 * 32]
    loss = readers.hidden_character_loss(model, ids[:, :32], Generator().manual_seed(0))
    assert loss.item() == pytest.approx(math.log(readers.MASK_ID + 1), rel=0.1)  # nothing is known yet


def test_the_stored_readers_are_those_of_the_curves(gaps: torch.Tensor) -> None:
    before, both, made = readers.load_readers()
    assert readers.is_causal(before)
    assert not readers.is_causal(both)
    for model, name in ((before, "before"), (both, "both")):
        bits = readers.gap_losses(model, gaps).mean().item() / math.log(2)
        assert bits == pytest.approx(made["bits"][name][0][-1], abs=0.3)  # other gaps
        assert len(made["bits"][name]) == len(made["seeds"])
        assert all(len(curve) == len(made["steps"]) for curve in made["bits"][name])
    assert made["steps"][-1] == readers.STEPS


@pytest.mark.parametrize("name", readers.KINDS)
def test_a_short_training_follows_the_stored_curves(name: str) -> None:
    _, _, made = readers.load_readers()
    steps = 50
    learned, held_out = readers.texts()
    some = readers.pieces(held_out, 1024, Generator().manual_seed(0))
    model = readers.make_reader(causal=readers.KINDS[name], seed=7)
    history = readers.train_reader(model, learned, seed=7, steps=steps)
    bits = readers.gap_losses(model, some).mean().item() / math.log(2)
    place = made["steps"].index(steps)
    stored = [curve[place] for curve in made["bits"][name]]
    assert len(history.losses) == steps
    assert bits == pytest.approx(sum(stored) / len(stored), abs=0.12)


def test_torchs_own_random_numbers_go_on_when_readers_are_made_or_loaded() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    readers.load_readers()
    readers.make_reader(causal=True, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_longer_training_than_the_stored_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "STEPS", 22)
    learned, _ = readers.texts()
    model = readers.make_reader(causal=True, seed=1)

    def short(model: GPT, ids: torch.Tensor) -> torch.Tensor:
        """Quick to compute: only the learning rates matter."""
        return model.token_embedding.weight.square().mean()

    rates = {
        steps: readers.train_reader(model, learned, seed=5, steps=steps, loss=short).learning_rates
        for steps in (21, 22, 24)
    }
    assert [len(rates[steps]) for steps in rates] == [21, 22, 24]
    assert rates[21] == rates[22][:21]
    assert rates[22][20:] == pytest.approx([3e-3, 1.5e-3])
    assert rates[24][20:] == pytest.approx([3e-3, 2.25e-3, 1.5e-3, 0.75e-3])


# ------------------------------------------------------------------------------------------------ the filler


def test_beside_a_large_matrix_two_small_ones_are_added() -> None:
    large, x = torch.nn.Linear(5, 7, bias=False), torch.randn(2, 3, 5)
    down, up = torch.randn(2, 5), torch.randn(7, 2)
    beside = readers.Beside(large, down, up)
    torch.testing.assert_close(beside(x), x @ (large.weight + up @ down).T)
    assert {name for name, _ in beside.named_parameters()} == {"large.weight", "down", "up"}


@pytest.mark.usefixtures("own_errors")
def test_small_matrices_that_do_not_fit_are_refused() -> None:
    large = torch.nn.Linear(5, 7, bias=False)
    with pytest.raises(ValueError, match=r"must be \(7, 5\), .* got down \(2, 7\), up \(5, 2\)"):
        readers.Beside(large, torch.zeros(2, 7), torch.zeros(5, 2))


@pytest.fixture
def small() -> GPT:
    torch.manual_seed(0)
    return GPT(LlamaConfig(17, 11, d_model=6, n_layers=2, n_heads=3)).requires_grad_(False).eval()


def stored(folder: Path, n_layers: int = 2) -> Path:
    """Small matrices for `small`, which are no zeros."""
    random = Generator().manual_seed(1)
    tensors = {"gap": torch.randn(6, generator=random)}
    for layer in range(n_layers):
        for name in readers.PROJECTIONS:
            tensors[f"{layer}.{name}.down"] = torch.randn(2, 6, generator=random)
            tensors[f"{layer}.{name}.up"] = torch.randn(6, 2, generator=random)
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, folder / "small.safetensors")
    return folder / "small.safetensors"


def test_the_filler_sees_both_sides_and_leaves_no_trace(small: GPT, tmp_path: Path) -> None:
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    before, names = small(ids), [name for name, _ in small.named_parameters()]
    with readers.filler(small, stored(tmp_path)) as gap:
        assert gap.shape == (6,)
        assert gap.dtype == torch.float32
        other = small(ids)
        changed = small(torch.tensor([[3, 1, 4, 1, 6]]))
        assert not (other == changed)[0, :-1].all(-1).any()
    assert not torch.allclose(other, before)
    assert torch.equal(small(ids), before)
    assert [name for name, _ in small.named_parameters()] == names
    assert readers.is_causal(small)


def test_an_error_inside_takes_the_filler_away_too(small: GPT, tmp_path: Path) -> None:
    before = small(torch.tensor([[3, 1, 4]]))
    with pytest.raises(RuntimeError, match="in between"), readers.filler(small, stored(tmp_path)):
        raise RuntimeError("in between")
    assert torch.equal(small(torch.tensor([[3, 1, 4]])), before)


def test_the_filler_adds_what_was_stored(small: GPT, tmp_path: Path) -> None:
    path = stored(tmp_path)
    tensors, large = load_file(path), small.stack.blocks[1].attention.v_proj
    x = torch.randn(5, 6)
    expected = large(x) + x @ tensors["1.v_proj.down"].float().T @ tensors["1.v_proj.up"].float().T
    with readers.filler(small, path):
        torch.testing.assert_close(small.stack.blocks[1].attention.v_proj(x), expected)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("n_layers", [1, 3])
def test_matrices_of_another_model_are_refused(small: GPT, tmp_path: Path, n_layers: int) -> None:
    path = stored(tmp_path, n_layers)
    with (
        pytest.raises(ValueError, match=r"small\.safetensors is for another number of layers than 2"),
        readers.filler(small, path),
    ):
        pass


@pytest.mark.usefixtures("own_errors")
def test_packed_weights_are_refused(small: GPT, tmp_path: Path) -> None:
    small.stack.blocks[0].attention.k_proj = torch.nn.Identity()
    path = stored(tmp_path)
    with (
        pytest.raises(ValueError, match="needs unpacked weights; k_proj is a Identity"),
        readers.filler(small, path),
    ):
        pass


def test_a_filler_answers_for_a_place_one_place_before(small: GPT, tmp_path: Path) -> None:
    path, ids = stored(tmp_path), torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    hidden = torch.tensor([[False, True, False, True, False], [True, False, False, False, False]])
    scores = readers.Filler(small, path)(ids, hidden, torch.tensor([3, 0]))
    with readers.filler(small, path) as gap:
        rows = small.token_embedding(torch.tensor([[0, 3, 1, 4, 1, 5], [0, 9, 2, 6, 5, 3]])).clone()
        rows[0, 2] = rows[0, 4] = rows[1, 1] = gap
        out = small.lm_head(small.stack(rows))
    torch.testing.assert_close(scores, torch.stack([out[0, 3], out[1, 0]]))


def test_what_is_hidden_does_not_matter(small: GPT, tmp_path: Path) -> None:
    filling, hidden = readers.Filler(small, stored(tmp_path)), torch.tensor([[False, True, False]])
    one, other, seen = (
        filling(torch.tensor([row]), hidden, torch.tensor([1])) for row in ([3, 1, 4], [3, 9, 4], [3, 1, 5])
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, seen)
