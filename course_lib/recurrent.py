"""Recurrent networks: one state, handed on from token to token."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.blocks import check_ids

State = tuple[Float[Tensor, "n_layers B D"], ...]  # (h,) of an RNN, (h, c) of an LSTM


class Recurrent(nn.Module):
    """What `RNN` and `LSTM` share: torch's parameters under torch's names, and the loop written out.
    Args: d_model: width of inputs, states and outputs alike. n_layers: each layer reads what the one below
        writes. fused: torch's kernel does the work, not the loop; both give equal results.
    """

    def __init__(self, d_model: int, n_layers: int = 1, *, fused: bool = False) -> None:
        super().__init__(d_model, d_model, n_layers, batch_first=True)
        self.d_model, self.n_layers, self.fused = d_model, n_layers, fused
        self.n_parts = 2 if self.mode == "LSTM" else 1  # tensors in a state

    def forward(
        self, x: Float[Tensor, "B T D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """In each layer, token after token: sums = W x_t + U h + b, of which `step` makes the next h.
        Args: state: where an earlier call ended, to go on from there; default: zeros.
        Returns: an output for each token, and the state after the last.
        Raises: ValueError: no tokens, another width, or a state that does not fit.
        """
        if x.shape[1] == 0 or x.shape[2] != self.d_model:
            raise ValueError(f"x must be (batch, 1 or more tokens, {self.d_model}); got {tuple(x.shape)}")
        expected = [(self.n_layers, len(x), self.d_model)] * self.n_parts
        state = tuple(x.new_zeros(shape) for shape in expected) if state is None else state
        if (shapes := [tuple(part.shape) for part in state]) != expected:
            raise ValueError(f"state must have shapes {expected} (layers, batch, width); got {shapes}")
        if self.fused:
            x, last = super().forward(x, state if self.n_parts > 1 else state[0])
            return x, last if self.n_parts > 1 else (last,)
        ends = []
        for (w, u, b, b_u), *now in zip(self.all_weights, *state, strict=True):  # type: ignore[arg-type]
            outputs = []
            for from_x in F.linear(x, w, b).unbind(1):  # W x needs no state: all tokens at once
                now = self.step(from_x + F.linear(now[0], u, b_u), *now)  # type: ignore[operator]
                outputs.append(now[0])
            x = torch.stack(outputs, dim=1)
            ends.append(now)
        return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))


class RNN(Recurrent, nn.RNN):  # type: ignore[misc]
    """h = tanh(sums)      (Elman 1990; layers on top of each other as in torch.nn.RNN); see `Recurrent`."""

    def step(self, sums: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return (sums.tanh(),)


class LSTM(Recurrent, nn.LSTM):  # type: ignore[misc]
    """Beside h a memory cell c; gates decide what it forgets, takes in and shows; see `Recurrent`.

    i, f, g, o = sums;  c = sigmoid(f) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)
    (Hochreiter and Schmidhuber 1997; the forget gate f: Gers et al. 2000)
    """

    def step(self, sums: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = sums.chunk(4, dim=-1)  # (B, D) each
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class RecurrentLM(nn.Module):
    """Token ids in, a score for every possible next token out, at every position, as `GPT`.
    Args: d_model, n_layers, fused: see `Recurrent`. cell: "rnn" or "lstm".
        tied: one table embeds the tokens and scores them.
    """

    def __init__(
        self, vocab_size: int, d_model: int, n_layers: int, cell: str, fused: bool = True, tied: bool = False
    ) -> None:
        super().__init__()
        if cell not in ("rnn", "lstm"):
            raise ValueError(f"cell must be 'rnn' or 'lstm'; got {cell!r}")
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.cell = (RNN if cell == "rnn" else LSTM)(d_model, n_layers, fused=fused)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        if tied:
            nn.init.normal_(self.token_embedding.weight, std=d_model**-0.5)  # scores near 0 at first
            self.lm_head.weight = self.token_embedding.weight

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        return self.read(ids)[0]

    def read(self, ids: Int[Tensor, "B T"], state: State | None = None) -> tuple[Tensor, State]:
        """Scores (B, T, V) and the state to go on from: to generate, read the prompt, then each new token."""
        check_ids(ids, self.token_embedding.num_embeddings)
        outputs, state = self.cell(self.token_embedding(ids), state)
        return self.lm_head(outputs), state
