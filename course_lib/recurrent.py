"""Recurrent networks: one state, handed on from token to token.

`RNN` and `LSTM` have torch's parameters, under torch's names and with torch's start values; `unroll` is the
loop over the tokens, written out. A recurrence without a bend needs no loop: `linear_scan`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.blocks import check_ids

State = tuple[Float[Tensor, "n_layers B D"], ...]  # (h,) of an RNN, (h, c) of an LSTM


class RNN(nn.RNN):
    """Elman's network: what it has read is in h, which is also its output.

        h = tanh(sums), sums = W x_t + b + U h + b_u   (Elman 1990)

    Args:
        d_model: width of inputs, states and outputs alike.
        n_layers: each layer reads what the one below writes.
        fused: torch's kernel does the work, not the loop; both give equal results.
    """

    def __init__(self, d_model: int, n_layers: int = 1, *, fused: bool = False) -> None:
        super().__init__(d_model, d_model, n_layers, batch_first=True)
        self.d_model = d_model
        self.n_layers = n_layers
        self.fused = fused

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "B T D"]
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Read tokens, one after the other, from zeros.

        Args:
            x: the vectors of the tokens.
        Returns: an output for each token, and the state (h,) after the last.
        Raises: ValueError: no tokens, or another width.
        Example:
            >>> outputs, (h,) = RNN(d_model=2)(torch.zeros(1, 3, 2))
            >>> outputs.shape, torch.equal(h[-1], outputs[:, -1])
            (torch.Size([1, 3, 2]), True)
        """
        _check_inputs(x, self.d_model)
        if self.fused:
            outputs, h = super().forward(x)
            return outputs, (h,)
        h = x.new_zeros(self.n_layers, len(x), self.d_model)
        return unroll(self.step, x, (h,), self.all_weights)

    def step(self, sums: Float[Tensor, "B D"], h: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B D"]]:
        """The next state (h,); the last one is in the sums already.

        Example:
            >>> RNN(d_model=1).step(torch.tensor([[0.0]]), torch.tensor([[5.0]]))
            (tensor([[0.]]),)
        """
        return (sums.tanh(),)


class LSTM(nn.LSTM):
    """Beside h a memory cell c; gates decide what it forgets, takes in and shows.

        i, f, g, o = sums = W x_t + b + U h + b_u
        c = sigmoid(f) c + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(c)
        (Hochreiter and Schmidhuber 1997; the forget gate f: Gers et al. 2000)

    Args:
        d_model, n_layers, fused: as for `RNN`.
    """

    def __init__(self, d_model: int, n_layers: int = 1, *, fused: bool = False) -> None:
        super().__init__(d_model, d_model, n_layers, batch_first=True)
        self.d_model = d_model
        self.n_layers = n_layers
        self.fused = fused

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "B T D"]
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """As `RNN.forward`; its state is (h, c).

        Example:
            >>> outputs, (h, c) = LSTM(d_model=2)(torch.zeros(1, 3, 2))
            >>> outputs.shape, torch.equal(h[-1], outputs[:, -1])
            (torch.Size([1, 3, 2]), True)
        """
        _check_inputs(x, self.d_model)
        if self.fused:
            return super().forward(x)
        h = x.new_zeros(self.n_layers, len(x), self.d_model)
        return unroll(self.step, x, (h, torch.zeros_like(h)), self.all_weights)

    def step(
        self, sums: Float[Tensor, "B D4"], h: Float[Tensor, "B D"], c: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """The next state (h, c); the last h is in the sums already.

        Example:
            >>> h, c = LSTM(d_model=1).step(torch.zeros(1, 4), torch.tensor([[5.0]]), torch.tensor([[2.0]]))
            >>> c.item()  # half is forgotten, as the sum is 0 and sigmoid(0) = 1/2
            1.0
        """
        i, f, g, o = sums.chunk(4, dim=-1)  # (B, D) each
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


def unroll(
    step: Callable[..., tuple[Tensor, ...]],
    x: Float[Tensor, "B T D"],
    state: State,
    weights: list[list[nn.Parameter]],
) -> tuple[Float[Tensor, "B T D"], State]:
    """In each layer, token after token: of sums = W x_t + b + U h + b_u, `step` makes the next state.

    Args:
        step: sums and the parts of a state in, the parts of the next state out; the first is h.
        x: the vectors of the tokens.
        state: where to begin.
        weights: W, U, b and b_u of each layer.
    Returns: an output for each token, and the state after the last.
    Example:
        >>> one, zero = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.zeros(1))
        >>> x, state = torch.ones(1, 3, 1), (torch.zeros(1, 1, 1),)
        >>> outputs, _ = unroll(lambda sums, h: (sums,), x, state, [[one, one, zero, zero]])
        >>> outputs.flatten().tolist()
        [1.0, 2.0, 3.0]
    """
    ends = []
    for layer, (w, u, b, b_u) in enumerate(weights):
        now = tuple(part[layer] for part in state)
        outputs = []
        for from_x in F.linear(x, w, b).unbind(1):  # W x needs no state: all tokens at once
            sums = from_x + F.linear(now[0], u, b_u)
            now = step(sums, *now)
            outputs.append(now[0])
        x = torch.stack(outputs, dim=1)
        ends.append(now)
    last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    return x, last


def _check_inputs(x: Tensor, d_model: int) -> None:
    if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != d_model:
        raise ValueError(f"x must be (batch, 1 or more tokens, {d_model}); got {tuple(x.shape)}")


class RecurrentLM(nn.Module):
    """Token ids in, a score for every possible next token out, at every position, as `GPT`.

    Args:
        vocab_size: how many tokens there are.
        d_model, n_layers, fused: as for `RNN`.
        cell: "rnn" or "lstm".
        tied: one table embeds the tokens and scores them.
    Raises: ValueError: another cell.
    Example:
        >>> model = RecurrentLM(vocab_size=7, d_model=5, n_layers=1, cell="lstm")
        >>> model(torch.tensor([[3, 1, 4]])).shape
        torch.Size([1, 3, 7])
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        n_layers: int,
        cell: str,
        fused: bool = True,
        tied: bool = False,
    ) -> None:
        super().__init__()
        if cell not in ("rnn", "lstm"):
            raise ValueError(f"cell must be 'rnn' or 'lstm'; got {cell!r}")
        kind = RNN if cell == "rnn" else LSTM
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.cell = kind(d_model, n_layers, fused=fused)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        if tied:
            nn.init.normal_(self.token_embedding.weight, std=d_model**-0.5)  # scores near 0 at first
            self.lm_head.weight = self.token_embedding.weight

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Scores from zeros.

        Raises: ValueError: an id outside the vocabulary, or no tokens.
        """
        check_ids(ids, self.token_embedding.num_embeddings)
        outputs, _ = self.cell(self.token_embedding(ids))
        return self.lm_head(outputs)


def linear_recurrence(a: Float[Tensor, "*B T D"], b: Float[Tensor, "*B T D"]) -> Float[Tensor, "*B T D"]:
    """A recurrence without a bend: token after token.

        h_t = a_t h_(t-1) + b_t, from zero

    Args:
        a: how much of each number stays.
        b: what is added.
    Returns: h of each token.
    Raises: ValueError: no tokens, or a and b of unequal shapes.
    Example:
        >>> linear_recurrence(torch.tensor([[0.5], [0.5]]), torch.tensor([[4.0], [1.0]])).tolist()
        [[4.0], [3.0]]
    """
    _check_recurrence(a, b)
    h, outputs = torch.zeros_like(b[..., 0, :]), []
    for a_t, b_t in zip(a.unbind(-2), b.unbind(-2), strict=True):
        h = a_t * h + b_t
        outputs.append(h)
    return torch.stack(outputs, dim=-2)


def linear_scan(a: Float[Tensor, "*B T D"], b: Float[Tensor, "*B T D"]) -> Float[Tensor, "*B T D"]:
    """As `linear_recurrence`, in about log2 T rounds, each over all tokens at once.

        (a, b) and then (a', b') are one step: (a' a, a' b + b')  (Hillis and Steele 1986; Blelloch 1990)

    After a round each pair stands for twice as many steps, up to its own; at the end for all of them.

    Args:
        a, b: as for `linear_recurrence`.
    Returns: h of each token.
    Raises: ValueError: no tokens, or a and b of unequal shapes.
    Example:
        >>> linear_scan(torch.tensor([[0.5], [0.5]]), torch.tensor([[4.0], [1.0]])).tolist()
        [[4.0], [3.0]]
    """
    _check_recurrence(a, b)
    reach = 1
    while reach < a.shape[-2]:
        # The pairs of the first tokens reach to the start already.
        later = b[..., reach:, :] + a[..., reach:, :] * b[..., :-reach, :]
        b = torch.cat([b[..., :reach, :], later], dim=-2)
        a = torch.cat([a[..., :reach, :], a[..., reach:, :] * a[..., :-reach, :]], dim=-2)
        reach *= 2
    return b


def _check_recurrence(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim < 2 or a.shape[-2] == 0:
        what = "a and b must both be (..., 1 or more tokens, width)"
        raise ValueError(f"{what}, of the same shape; got {tuple(a.shape)} and {tuple(b.shape)}")
