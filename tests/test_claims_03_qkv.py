"""The claims of notebook 03: each experiment again, in small, against the criterion that judges the notebook.

A counter-test shows where the criterion would have said no.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import maths
from course_lib.attention import MultiHeadAttention, attention_weights, scaled_dot_product_attention
from course_lib.blocks import FeedForward
from course_lib.claims import ClaimError, load

Task = Callable[[int, torch.Generator], tuple[Tensor, ...]]
SEEDS = (0, 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """For matrices this small, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def judge(claim: str, **evidence: object) -> None:
    load()[claim].judge(evidence)


def refused(claim: str, **evidence: object) -> bool:
    with pytest.raises(ClaimError, match="is not supported"):
        judge(claim, **evidence)
    return True


def train(model: nn.Module, task: Task, seed: int) -> nn.Module:
    random, optimizer = torch.Generator().manual_seed(seed), torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(150):
        *inputs, answers = task(64, random)
        optimizer.zero_grad()
        F.cross_entropy(model(*inputs).flatten(0, -2), answers.flatten()).backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, task: Task) -> float:
    *inputs, answers = task(1000, torch.Generator().manual_seed(99))
    return (model(*inputs).argmax(-1) == answers).float().mean().item()


# ---------------------------------------------------------------------- why the MLP is not enough


@torch.no_grad()
def neighbour_effects(layer: nn.Module) -> Tensor:
    x = torch.randn(1, 5, 8)
    changed = x.clone()
    changed[0, 2] += 1
    return (layer(changed) - layer(x))[0, [0, 1, 3, 4]].abs().amax(-1)


@torch.no_grad()
def test_per_token_mlp():
    mlp, attention, x = FeedForward(8, 32), MultiHeadAttention(8, 1), torch.randn(1, 5, 8)
    evidence = {
        "alone_difference": (mlp(x[:, 2:3]) - mlp(x)[:, 2:3]).abs().max(),
        "neighbour_effect": neighbour_effects(mlp).max(),
        "attention_neighbour_effect": neighbour_effects(attention).min(),
    }
    judge("per-token-mlp", **evidence)
    assert refused("per-token-mlp", **{**evidence, "neighbour_effect": neighbour_effects(attention).max()})


def test_mlp_parallel():
    """The notebook reads the clock; here a call is a tick, the same on every machine, busy or not."""
    mlp, tokens = FeedForward(64, 256).requires_grad_(False), torch.randn(512, 64)
    ticks: list[int] = []
    mlp.register_forward_hook(lambda module, args, output: ticks.append(1))
    one_by_one = torch.cat([mlp(token) for token in tokens.split(1)])
    slow = len(ticks)
    at_once = mlp(tokens)
    fast = len(ticks) - slow
    difference = (one_by_one - at_once).abs().max()
    judge("mlp-parallel", largest_difference=difference, speed_up=slow / fast)
    assert refused("mlp-parallel", largest_difference=difference, speed_up=slow / slow)
    mixed = (MultiHeadAttention(64, 1).requires_grad_(False)(tokens[None])[0] - at_once).abs().max()
    assert refused("mlp-parallel", largest_difference=mixed, speed_up=slow / fast)


class Reader(nn.Module):
    """Says whether a sentence contains word 7, from what stands at its first token."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 32)
        self.mixer, self.mlp, self.head = mixer, FeedForward(32, 128), nn.Linear(32, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        x = x + self.mixer(x)
        return self.head(x + self.mlp(x))[:, 0]


def sentences(n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    ids = torch.randint(1, 7, (n, 7), generator=random)
    negated = torch.randint(0, 2, (n,), generator=random)
    place = torch.randint(1, 7, (n,), generator=random)
    ids[:, 0] = 0
    ids[torch.arange(n), place] = torch.where(negated == 1, 7, ids[torch.arange(n), place])
    return ids, negated


def test_mlp_blind():
    right = {"mlp": [], "attention": []}
    for seed in SEEDS:
        torch.manual_seed(seed)
        right["mlp"].append(accuracy(train(Reader(FeedForward(32, 64)), sentences, seed), sentences))
        right["attention"].append(
            accuracy(train(Reader(MultiHeadAttention(32, 1)), sentences, seed), sentences)
        )
    judge("mlp-blind", best_with_mlps_alone=max(right["mlp"]), worst_with_attention=min(right["attention"]))


def test_mlp_blind_would_notice_a_task_that_cls_alone_can_solve():
    def leaking(n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        ids, negated = sentences(n, random)
        ids[:, 0] = negated
        return ids, negated

    best = accuracy(train(Reader(FeedForward(32, 64)), leaking, 0), leaking)
    assert refused("mlp-blind", best_with_mlps_alone=best, worst_with_attention=1.0)


def off_diagonal_links(layer: nn.Module) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(layer, torch.randn(1, 5, 8))[0, :, :, 0]
    return (jacobian.norm(dim=(1, 3))[~torch.eye(5, dtype=torch.bool)] > 0).float().mean()


def test_information_flow():
    without, with_attention = (
        off_diagonal_links(FeedForward(8, 32)),
        off_diagonal_links(MultiHeadAttention(8, 1)),
    )
    judge("information-flow", links_without_attention=without, links_with_attention=with_attention)
    half = off_diagonal_links(MultiHeadAttention(8, 1, causal=True))
    assert half == 0.5
    assert refused("information-flow", links_without_attention=without, links_with_attention=half)


# ---------------------------------------------------------------------- from queries to the mix

X = np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
W_Q = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
W_K = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
W_V = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
Q, K, V = X @ W_Q, X @ W_K, X @ W_V


def test_multiplication_order():
    first, linear = X[:1], nn.Linear(3, 3, bias=False).double()
    linear.weight.data = torch.from_numpy(W_Q.T.copy())
    with pytest.raises(ValueError, match="mismatch"):
        W_Q @ first
    from_torch = linear(torch.from_numpy(first)).detach().numpy()
    evidence = {
        "x_W_fits": (first @ W_Q).shape == (1, 3),
        "W_x_fits": False,
        "linear_difference": np.abs(from_torch - first @ W_Q).max(),
        "wrong_order_difference": np.abs((W_Q @ first.T).T - first @ W_Q).max(),
    }
    judge("multiplication-order", **evidence)
    linear.weight.data = torch.from_numpy(W_Q.copy())  # as if torch stored W, not its transpose
    wrong = np.abs(linear(torch.from_numpy(first)).detach().numpy() - first @ W_Q).max()
    assert refused("multiplication-order", **{**evidence, "linear_difference": wrong})


def test_dot_products():
    by_hand, other = np.array([[5, 4, 4], [2, 0, 2], [4, 2, 3]]), K.copy()
    other[2] += 1
    moved = (Q @ other.T != Q @ K.T).sum(axis=0)
    assert moved.tolist() == [0, 0, 3]
    judge("dot-products", hand_difference=np.abs(Q @ K.T - by_hand).max(), scores_that_use_a_key=moved[2])
    wrong = np.abs(K @ Q.T - by_hand).max()
    assert refused("dot-products", hand_difference=wrong, scores_that_use_a_key=3)


def random_scores(d_k: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((200, d_k)) @ rng.standard_normal((200, d_k)).T


def keys_in_use(scores: np.ndarray) -> float:
    weights = maths.softmax(scores)
    return np.exp(-(weights * np.log(weights + 1e-300)).sum(-1)).mean()


def gradient(scores: np.ndarray) -> float:
    nudged = maths.softmax(scores[:, None] + 1e-4 * np.eye(scores.shape[-1]))
    return np.diagonal(nudged - maths.softmax(scores)[:, None], axis1=1, axis2=2).sum(-1).mean() / 1e-4


def scaling_evidence(power: float) -> dict[str, float]:
    widths = [4, 16, 64, 256, 1024]
    raw = [random_scores(d_k) for d_k in widths]
    scaled = [scores / d_k**power for scores, d_k in zip(raw, widths, strict=True)]
    exponents = [np.polyfit(np.log(widths), np.log([s.var() for s in each]), 1)[0] for each in (raw, scaled)]
    return {
        "raw_exponent": exponents[0],
        "scaled_exponent": exponents[1],
        "scaled_variance": np.mean([scores.var() for scores in scaled]),
        "keys_in_use_ratio": keys_in_use(scaled[-1][:, :32]) / keys_in_use(raw[-1][:, :32]),
        "gradient_ratio": gradient(scaled[-1][:, :32]) / gradient(raw[-1][:, :32]),
    }


def test_sqrt_scaling():
    judge("sqrt-scaling", **scaling_evidence(power=0.5))
    assert refused("sqrt-scaling", **scaling_evidence(power=1.0))
    assert refused("sqrt-scaling", **scaling_evidence(power=0.25))


def test_sqrt_scaling_gradient_is_the_softmax_derivative():
    scores = torch.from_numpy(random_scores(16)[:2, :7])
    exact = [
        torch.autograd.functional.jacobian(lambda s: s.softmax(-1), row).diagonal().sum() for row in scores
    ]
    assert gradient(scores.numpy()) == pytest.approx(np.mean(exact), rel=1e-4)


def test_softmax_importance():
    percent = 100 * maths.softmax([2.0, 3.75, 1.4])
    rows = maths.softmax(np.random.default_rng(0).normal(scale=30, size=(1000, 7)))
    down, error = [math.floor(p) for p in percent], np.abs(rows.sum(-1) - 1).max()
    names = ("first", "second", "third", "printed_sum")
    judge("softmax-importance", **dict(zip(names, [*down, sum(down)], strict=True)), largest_row_error=error)
    nearest = [round(p) for p in percent]
    assert sum(nearest) == 101
    evidence = dict(zip(names, [*nearest, sum(nearest)], strict=True))
    assert refused("softmax-importance", **evidence, largest_row_error=error)
    columns = maths.softmax(np.random.default_rng(0).normal(scale=30, size=(1000, 7)), axis=0)
    evidence = dict(zip(names, [*down, sum(down)], strict=True))
    assert refused("softmax-importance", **evidence, largest_row_error=np.abs(columns.sum(-1) - 1).max())


def test_weighted_sum():
    powers = [math.exp(score / math.sqrt(3)) for score in (4, 2, 3)]
    w = [power / sum(powers) for power in powers]
    by_hand = [2 * w[0] + 2 * w[2], 2 * w[1] + w[2], 3 * w[0] + w[2]]
    q, k, v = (torch.from_numpy(part) for part in (Q, K, V))
    judge(
        "weighted-sum",
        hand_difference=np.abs(scaled_dot_product_attention(q, k, v)[2].numpy() - by_hand).max(),
    )
    unscaled = scaled_dot_product_attention(q, k, v, scale=1.0)[2].numpy()
    assert refused("weighted-sum", hand_difference=np.abs(unscaled - by_hand).max())


def test_mixing_weights():
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [4.0, 1.0], [1.0, 3.0]])
    queries, keys = rng.standard_normal((300, 2)), 2 * rng.standard_normal((3, 2))
    weights = attention_weights(torch.from_numpy(queries), torch.from_numpy(keys)).numpy()
    angles = np.linspace(0, 2 * math.pi, 360)
    directions = np.array([np.cos(angles), np.sin(angles)])

    def outside(outputs: np.ndarray) -> float:
        return ((outputs @ directions).max(0) - (corners @ directions).max(0)).max()

    scores = queries @ keys.T / math.sqrt(2)
    evidence = {
        "smallest_weight": weights.min(),
        "largest_row_error": np.abs(weights.sum(-1) - 1).max(),
        "outside_hull": max(0, outside(weights @ corners)),
        "outside_without_softmax": outside(scores @ corners),
    }
    judge("mixing-weights", **evidence)
    # Weights that are positive but do not add up to 1 leave the triangle.
    leaves = outside(np.exp(scores) @ corners)
    assert refused("mixing-weights", **{**evidence, "outside_hull": leaves})


def test_three_projections():
    rng = np.random.default_rng(0)
    x, (to_q, to_k, to_v) = rng.standard_normal((7, 11)), rng.standard_normal((3, 11, 11)) / 3
    by_loops = maths.attention_loops(x @ to_q, x @ to_k, x @ to_v)
    q, k, v = (torch.from_numpy(x @ W) for W in (to_q, to_k, to_v))
    fused, one_map = (F.scaled_dot_product_attention(q, key, v).numpy() for key in (k, q))
    layer = MultiHeadAttention(11, 1, bias=False).double().requires_grad_(False)
    for name, W in {"q_proj": to_q, "k_proj": to_k, "v_proj": to_v, "out_proj": np.eye(11)}.items():
        getattr(layer, name).weight.copy_(torch.from_numpy(W.T))
    from_x = layer(torch.from_numpy(x)[None])[0].numpy()
    layer.k_proj.weight.copy_(layer.q_proj.weight)
    from_one_map = layer(torch.from_numpy(x)[None])[0].numpy()
    evidence = {
        "largest_difference": np.abs(fused - by_loops).max(),
        "layer_difference": np.abs(from_x - by_loops).max(),
    }
    judge("three-projections", **evidence)
    assert refused(
        "three-projections", **{**evidence, "largest_difference": np.abs(one_map - by_loops).max()}
    )
    wrong = np.abs(from_one_map - by_loops).max()
    assert refused("three-projections", **{**evidence, "layer_difference": wrong})


# ---------------------------------------------------------------------- self and cross


def lookup(n: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    letters = torch.rand(n, 8, generator=random).argsort(-1)[:, :5]
    colours = torch.randint(0, 4, (n, 5), generator=random)
    asked = torch.rand(n, 5, generator=random).argsort(-1)[:, :3]
    return letters.gather(1, asked), letters, colours, colours.gather(1, asked)


class Asker(nn.Module):
    """Looks up the colour of each letter asked for, in a list of (letter, colour)."""

    def __init__(self, cross: bool) -> None:
        super().__init__()
        self.cross = cross
        self.letter, self.colour = nn.Embedding(8, 32), nn.Embedding(4, 32)
        self.attention, self.head = MultiHeadAttention(32, 1), nn.Linear(32, 4)

    def forward(self, asked: Tensor, letters: Tensor, colours: Tensor) -> Tensor:
        question, items = self.letter(asked), self.letter(letters) + self.colour(colours)
        return self.head(self.attention(question, items if self.cross else question))


def make_asker(cross: bool, seed: int) -> Asker:
    torch.manual_seed(seed)
    return Asker(cross)


@pytest.fixture(scope="module")
def askers() -> dict[str, list[nn.Module]]:
    kinds = {"self": False, "cross": True}
    return {
        name: [train(make_asker(cross, seed), lookup, seed) for seed in SEEDS]
        for name, cross in kinds.items()
    }


def test_self_versus_cross(askers):
    q, k, v = torch.randn(3, 7), torch.randn(5, 7), torch.randn(5, 11)
    outputs = scaled_dot_product_attention(q, k, v)
    right = {name: [accuracy(model, lookup) for model in models] for name, models in askers.items()}
    evidence = {"outputs_per_query": len(outputs) / 3, "best_with_self": max(right["self"])}
    judge("self-versus-cross", **evidence, worst_with_cross=min(right["cross"]))

    def another_list(n: int, random: torch.Generator) -> tuple[Tensor, ...]:
        asked, letters, colours, answers = lookup(n, random)
        return asked, letters, colours.roll(1, dims=0), answers

    misled = accuracy(askers["cross"][0], another_list)
    assert refused("self-versus-cross", **evidence, worst_with_cross=misled)


def right_item(model: Asker) -> Tensor:
    seen: list[Tensor] = []
    hook = model.attention.pattern.register_forward_hook(lambda module, args, weights: seen.append(weights))
    asked, letters, colours, _ = lookup(200, torch.Generator().manual_seed(99))
    with torch.no_grad():
        model(asked, letters, colours)
    hook.remove()
    return seen[0][:, 0][asked.unsqueeze(2) == letters.unsqueeze(1)].mean()


def test_shared_and_learned(askers):
    fresh = make_asker(cross=True, seed=0)
    *inputs, answers = lookup(200, torch.Generator().manual_seed(99))
    F.cross_entropy(fresh(*inputs).flatten(0, 1), answers.flatten()).backward()
    attention = fresh.attention
    gradients = [proj.weight.grad.norm() for proj in (attention.q_proj, attention.k_proj, attention.v_proj)]
    sizes = []
    for length in (5, 503):
        attention(torch.randn(1, 3, 32), torch.randn(1, length, 32))
        sizes.append(sum(p.numel() for p in attention.parameters()))
    evidence = {
        "smallest_gradient": min(gradients),
        "extra_parameters": sizes[1] - sizes[0],
        "growth_side_by_side": sum(p.numel() for p in nn.Linear(503 * 32, 32).parameters()) / sizes[0],
        "right_item_before": right_item(fresh),
        "right_item_after": right_item(askers["cross"][0]),
    }
    judge("shared-and-learned", **evidence)
    assert refused("shared-and-learned", **{**evidence, "right_item_after": right_item(fresh)})
    assert refused("shared-and-learned", **{**evidence, "smallest_gradient": 0.0})
    assert refused("shared-and-learned", **{**evidence, "extra_parameters": 503 * 32})


def test_every_claim_of_the_notebook_is_tested_here():
    own = {claim.id for claim in load().values() if claim.notebook == "03_qkv"}
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert own <= tested
    assert len(own) == 13
