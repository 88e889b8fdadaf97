"""Answers to truncated_loss, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn


def loop_over_tokens(x, targets, w, u, k):
    h = torch.zeros(x.shape[0], u.shape[0], dtype=x.dtype)
    loss = 0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w + (h.detach() if t % k == 0 else h) @ u)
        loss += ((h - targets[:, t]) ** 2).sum()
    return loss


def piece_by_piece(x, targets, w, u, k):
    h, losses = x.new_zeros(len(x), len(u)), []
    for piece, wanted in zip(x.split(k, dim=1), targets.split(k, dim=1), strict=True):
        h, states = h.detach(), []
        for token in piece.unbind(1):
            h = (token @ w + h @ u).tanh()
            states.append(h)
        losses.append(F.mse_loss(torch.stack(states, 1), wanted, reduction="sum"))
    return torch.stack(losses).sum()


def all_states_first(x, targets, w, u, k):
    from_x = torch.einsum("btd,dh->bth", x, w)
    h, states = torch.zeros_like(from_x[:, 0]), []
    for t, part in enumerate(from_x.split(1, 1)):
        if t and t % k == 0:
            h = h.clone().detach()
        h = torch.tanh(part.squeeze(1) + h.matmul(u))
        states.append(h)
    return (torch.stack(states, dim=1) - targets).pow(2).sum()


def by_torchs_layer(x, targets, w, u, k):
    """torch's own layer for each piece, from which the fused one is far away."""
    layer = nn.RNNCell(w.shape[0], w.shape[1], bias=False).to(x.dtype)
    del layer.weight_ih, layer.weight_hh
    h = x.new_zeros(x.shape[0], u.shape[1])
    loss = x.new_zeros(())
    for start in range(0, x.shape[1], k):
        h = h.data
        for t in range(start, min(start + k, x.shape[1])):
            layer.weight_ih, layer.weight_hh = w.mT, u.mT
            h = torch.tanh(F.linear(x[:, t], layer.weight_ih) + F.linear(h, layer.weight_hh))
            loss = loss + torch.sum(torch.square(targets[:, t] - h))
    return loss


def backwards_in_pieces(x, targets, w, u, k):
    """One text after the other."""
    total = torch.zeros((), dtype=x.dtype)
    for text, wanted in zip(x, targets, strict=True):
        state = torch.zeros(u.shape[0], dtype=x.dtype)
        for i in range(len(text)):
            if not i % k:
                state = state.detach()
            state = torch.tanh(text[i] @ w + state @ u)
            off = state - wanted[i]
            total = total + off @ off
    return total


def whole_pieces_and_the_rest(x, targets, w, u, k):
    """Where no piece is whole, `unfold` is an error."""
    n = x.shape[1] // k * k
    pieces = x.unfold(1, k, k).permute(1, 0, 3, 2)
    h, states = x.new_zeros(len(x), len(u)), []
    for piece in (*pieces, x[:, n:]):
        h = h.detach()
        for token in piece.unbind(1):
            h = torch.tanh(token @ w + h @ u)
            states.append(h)
    return (torch.stack(states, 1) - targets).square().sum()


def unrolled(before=lambda h, t, k: h, each=lambda off: (off**2).sum()):
    def loss_of(x, targets, w, u, k):
        h, loss = x.new_zeros(len(x), len(u)), 0 * (x.sum() + w.sum() + u.sum())
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ w + before(h, t, k) @ u)
            loss = loss + each(h - targets[:, t])
        return loss

    return loss_of


def right(h, t, k):
    return h.detach() if t % k == 0 else h


RIGHT = [loop_over_tokens, piece_by_piece, all_states_first, by_torchs_layer, backwards_in_pieces]
WRONG = [
    (None, lambda x, targets, w, u, k: piece_by_piece(x.detach(), targets, w, u, k)),
    ("no cut between single tokens", unrolled(lambda h, t, k: h.detach() if k > 1 and t % k == 0 else h)),
    ("no piece is whole", whole_pieces_and_the_rest),
    (None, unrolled(right, each=lambda off: off.sum())),
]
