"""Answers to mask_tokens, as learners write them."""

import numpy as np
import torch

from course_lib import objectives as library


def masked_by_one_throw(ids, mask_id, vocab_size, special_ids, generator):
    dice = torch.rand(ids.shape, generator=generator)
    dice[torch.isin(ids, torch.tensor(special_ids))] = 1
    inputs, targets = ids.clone(), torch.full_like(ids, -100)
    targets[dice < 0.15] = ids[dice < 0.15]
    other = (dice >= 0.12) & (dice < 0.135)
    inputs[dice < 0.12] = mask_id
    inputs[other] = torch.randint(0, vocab_size, (int(other.sum()),), generator=generator)
    return inputs, targets


def masked_as_hugging_face(ids, mask_id, vocab_size, special_ids, generator):
    """The collator's way: half of the rest becomes another token."""
    targets, inputs = ids.clone(), ids.clone()
    share = torch.full(ids.shape, 0.15)
    for token in special_ids:
        share.masked_fill_(ids == token, 0.0)
    asked = torch.bernoulli(share, generator=generator).bool()
    targets[~asked] = -100
    hidden = torch.bernoulli(torch.full(ids.shape, 0.8), generator=generator).bool() & asked
    inputs[hidden] = mask_id
    other = torch.bernoulli(torch.full(ids.shape, 0.5), generator=generator).bool() & asked & ~hidden
    inputs[other] = torch.randint(vocab_size, ids.shape, generator=generator)[other]
    return inputs, targets


def masked_exactly(ids, mask_id, vocab_size, special_ids, generator):
    """So many as 15 % are, by shuffling, as BERT's first program."""
    flat = ids.reshape(-1)
    places = (~torch.isin(flat, torch.tensor(special_ids))).nonzero()[:, 0]
    places = places[torch.randperm(len(places), generator=generator)]
    n = round(0.15 * len(places))
    chosen, n_mask, n_other = places[:n], round(0.8 * n), round(0.1 * n)
    inputs, targets = flat.clone(), torch.full_like(flat, -100)
    targets[chosen] = flat[chosen]
    inputs[chosen[:n_mask]] = mask_id
    inputs[chosen[n_mask : n_mask + n_other]] = torch.randint(vocab_size, (n_other,), generator=generator)
    return inputs.view(ids.shape), targets.view(ids.shape)


def masked_by_numpy(ids, mask_id, vocab_size, special_ids, generator):
    """NumPy's generator, with a seed from torch's."""
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    before = ids.numpy()
    inputs, targets = before.copy(), np.full(before.shape, -100)
    chosen = (rng.random(before.shape) < 0.15) & ~np.isin(before, special_ids)
    targets[chosen] = before[chosen]
    kind = rng.choice(3, size=before.shape, p=[0.8, 0.1, 0.1])
    inputs[chosen & (kind == 0)] = mask_id
    other = chosen & (kind == 1)
    inputs[other] = rng.integers(vocab_size, size=other.sum())
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def masked_with_ordinary_tokens(ids, mask_id, vocab_size, special_ids, generator):
    """No special token and no mask is put in; each row is drawn alone."""
    tokens = torch.tensor([i for i in range(vocab_size) if i not in {*special_ids, mask_id}])
    pieces = []
    for row in ids:
        throw = torch.rand(len(row), generator=generator)
        chosen = (throw > 0.85) & torch.tensor([int(i) not in special_ids for i in row])
        kinds = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), len(row), True, generator=generator)
        new = torch.stack(
            [
                torch.full_like(row, mask_id),
                tokens[torch.randint(len(tokens), (len(row),), generator=generator)],
                row,
            ]
        )
        pieces.append((new.gather(0, kinds[None])[0].where(chosen, row), row.where(chosen, -100)))
    return tuple(map(torch.stack, zip(*pieces, strict=True)))


def hiding(
    share=0.15, kinds=(0.8, 0.9), throw=lambda ids, generator: torch.rand(ids.shape, generator=generator)
):
    """An answer with one thing exchanged."""

    def answer(ids, mask_id, vocab_size, special_ids, generator):
        chosen = ~torch.isin(ids, torch.tensor(special_ids)) & (throw(ids, generator) < share)
        second = torch.rand(ids.shape, generator=generator)
        inputs = ids.clone()
        other = chosen & (second < kinds[1])
        inputs[other] = torch.randint(vocab_size, ids.shape, generator=generator)[other]
        inputs[chosen & (second < kinds[0])] = mask_id
        return inputs, torch.where(chosen, ids, -100)

    return answer


def more_than_ordinary(ids, mask_id, vocab_size, special_ids, generator):
    """15 % of all places, taken from the ordinary ones, or as many as there are."""
    chosen = torch.zeros(ids.numel(), dtype=torch.bool)
    places = (~torch.isin(ids.reshape(-1), torch.tensor(special_ids))).nonzero()[:, 0]
    n = int(0.15 * ids.numel())
    chosen[places[torch.randperm(len(places), generator=generator)[:n]]] = True
    chosen = chosen.view(ids.shape)
    return hiding(throw=lambda ids, generator: (~chosen).float())(
        ids, mask_id, vocab_size, special_ids, generator
    )


def masked_by_library(ids, mask_id, vocab_size, special_ids, generator):
    return library.mask_tokens(ids, mask_id, vocab_size, special_ids=special_ids, generator=generator)


def overwritten(ids, mask_id, vocab_size, special_ids, generator):
    """10 % of the chosen become another token, the masks among them too."""
    chosen = ~torch.isin(ids, torch.tensor(special_ids)) & (torch.rand(ids.shape, generator=generator) < 0.15)
    inputs = ids.masked_fill(chosen & (torch.rand(ids.shape, generator=generator) < 0.8), mask_id)
    other = chosen & (torch.rand(ids.shape, generator=generator) < 0.1)
    return torch.where(other, torch.randint(vocab_size, ids.shape, generator=generator), inputs), torch.where(
        chosen, ids, -100
    )


def at_least_one(ids, mask_id, vocab_size, special_ids, generator):
    inputs, targets = masked_exactly(ids, mask_id, vocab_size, special_ids, generator)
    if not (targets != -100).any():
        targets[0, 0], inputs[0, 0] = ids[0, 0], mask_id
    return inputs, targets


RIGHT = [
    masked_by_one_throw,
    masked_as_hugging_face,
    masked_exactly,
    masked_by_numpy,
    masked_with_ordinary_tokens,
]
WRONG = [
    ("share of all places", more_than_ordinary),
    ("not the generator", hiding(throw=lambda ids, generator: torch.rand(ids.shape))),
    (None, masked_by_library),
    ("masks overwritten", overwritten),
    ("at least one token chosen", at_least_one),
    (None, hiding(share=0.12)),
    (None, hiding(share=0.2)),
    (None, hiding(kinds=(0.7, 0.85))),
    (None, lambda *given: masked_by_one_throw(*given)[0]),
    (None, lambda *given: masked_by_one_throw(*given)[::-1]),
    (None, lambda *given: [x.reshape(-1) for x in masked_by_one_throw(*given)]),
    (None, lambda ids, mask_id, v, *given: masked_by_one_throw(ids, mask_id, 3 * v, *given)),
    (
        "-1 where nothing is asked",
        lambda *given: [x.masked_fill(x == -100, -1) for x in masked_by_one_throw(*given)],
    ),
]
