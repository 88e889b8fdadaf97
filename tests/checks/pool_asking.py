"""Answers to the tasks on what a model is asked, written from the exercises' texts alone. See `pool`."""

import itertools
import math
import random
import statistics

import torch
import torch.nn.functional as F
from pool import Pool

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# ------------------------------------------------------------------------------------------------ hide tokens


@right("mask_tokens", "a kind for each place, drawn by multinomial")
def _(ids, mask_id, vocab_size, special_ids, generator):
    shares = torch.tensor([0.85, 0.15 * 0.8, 0.15 * 0.1, 0.15 * 0.1])
    kind = torch.multinomial(shares, ids.numel(), replacement=True, generator=generator).view(ids.shape)
    for special in special_ids:
        kind[ids == special] = 0
    any_token = torch.randint(0, vocab_size, ids.shape, generator=generator)
    inputs = ids.masked_fill(kind == 1, mask_id)
    inputs[kind == 2] = any_token[kind == 2]
    return inputs, ids.masked_fill(kind == 0, -100)


@right("mask_tokens", "special ids as a set, one row after the other")
def _(ids, mask_id, vocab_size, special_ids, generator):
    special = set(special_ids)
    inputs, targets = ids.clone(), torch.empty_like(ids).fill_(-100)
    for b, row in enumerate(ids.tolist()):
        throws = torch.rand(len(row), 2, generator=generator).tolist()
        for t, token in enumerate(row):
            if token in special or throws[t][0] >= 0.15:
                continue
            targets[b, t] = token
            if throws[t][1] < 0.8:
                inputs[b, t] = mask_id
            elif throws[t][1] < 0.9:
                inputs[b, t] = torch.randint(vocab_size, (1,), generator=generator)[0]
    return inputs, targets


@right("mask_tokens", "uniform_ in place, arithmetic instead of where")
def _(ids, mask_id, vocab_size, special_ids, generator):
    throw = torch.empty(ids.shape).uniform_(generator=generator)
    ordinary = torch.ones(ids.shape, dtype=torch.long)
    for special in special_ids:
        ordinary *= (ids != special).long()
    chosen = (throw < 0.15).long() * ordinary
    hidden = (throw < 0.12).long() * chosen
    other = chosen * (throw >= 0.135).long()
    noise = torch.randint(vocab_size, ids.shape, generator=generator)
    inputs = ids * (1 - hidden - other) + mask_id * hidden + noise * other
    return inputs, ids * chosen - 100 * (1 - chosen)


@right("mask_tokens", "the smallest 15 % of random numbers, by sorting")
def _(ids, mask_id, vocab_size, special_ids, generator):
    throw = torch.rand(ids.numel(), generator=generator)
    flat = ids.flatten()
    throw[torch.isin(flat, torch.tensor(special_ids))] = 2
    order = throw.argsort()[: int(0.15 * int((throw < 2).sum()) + 0.5)]
    first, second = int(0.8 * len(order)), int(0.9 * len(order))
    inputs, targets = flat.clone(), flat.new_full(flat.shape, -100)
    targets[order] = flat[order]
    inputs[order[:first]] = mask_id
    inputs[order[first:second]] = torch.randint(vocab_size, (second - first,), generator=generator)
    return inputs.reshape(ids.shape), targets.reshape(ids.shape)


@wrong("mask_tokens", "everything chosen becomes the mask")
def _(ids, mask_id, vocab_size, special_ids, generator):
    chosen = torch.rand(ids.shape, generator=generator) < 0.15
    chosen &= ~torch.isin(ids, torch.tensor(special_ids))
    return ids.masked_fill(chosen, mask_id), ids.masked_fill(~chosen, -100)


@wrong("mask_tokens", "the specials forgotten")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.rand(ids.shape, generator=generator)
    inputs = torch.where(p < 0.135, torch.randint(vocab_size, ids.shape, generator=generator), ids)
    return torch.where(p < 0.12, mask_id, inputs), torch.where(p < 0.15, ids, -100)


@wrong("mask_tokens", "80, 10 and 10 % of all tokens")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.rand(ids.shape, generator=generator)
    p[torch.isin(ids, torch.tensor(special_ids))] = 0.95
    inputs = torch.where(p < 0.9, torch.randint(vocab_size, ids.shape, generator=generator), ids)
    return torch.where(p < 0.8, mask_id, inputs), torch.where(p < 0.9, ids, -100)


@wrong("mask_tokens", "hides in ids itself, so that the targets are masks")
def _(ids, mask_id, vocab_size, special_ids, generator):
    chosen = torch.rand(ids.shape, generator=generator) < 0.15
    chosen &= ~torch.isin(ids, torch.tensor(special_ids))
    ids[chosen] = mask_id
    return ids, torch.where(chosen, ids, -100)


@wrong("mask_tokens", "Python's random instead of the generator")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.tensor([[random.random() for _ in row] for row in ids])
    p[torch.isin(ids, torch.tensor(special_ids))] = 1
    inputs = torch.where(p < 0.135, torch.randint(vocab_size, ids.shape, generator=generator), ids)
    return torch.where(p < 0.12, mask_id, inputs), torch.where(p < 0.15, ids, -100)


@wrong("mask_tokens", "a mask of truth values for targets")
def _(ids, mask_id, vocab_size, special_ids, generator):
    p = torch.rand(ids.shape, generator=generator)
    p[torch.isin(ids, torch.tensor(special_ids))] = 1
    return torch.where(p < 0.12, mask_id, ids), p < 0.15


@wrong("mask_tokens", "exactly 15 % in each row, but the same number from its beginning")
def _(ids, mask_id, vocab_size, special_ids, generator):
    inputs, targets = ids.clone(), torch.full_like(ids, -100)
    n = int(0.15 * ids.shape[1])
    targets[:, :n] = ids[:, :n]
    inputs[:, :n] = mask_id
    return inputs, targets


# --------------------------------------------------------------------------------- the loss of what was asked


@right("masked_loss", "nonzero and a flat index")
def _(logits, targets):
    places = (targets.flatten() != -100).nonzero().flatten()
    if places.numel() == 0:
        return torch.zeros((), dtype=logits.dtype)
    rows = logits.reshape(-1, logits.shape[-1])[places]
    wanted = targets.flatten()[places]
    return (rows.logsumexp(1) - rows[range(len(rows)), wanted]).sum() / len(places)


@right("masked_loss", "where on the losses, divided by the larger of count and 1")
def _(logits, targets):
    asked = targets >= 0
    logs = torch.log_softmax(logits, dim=2)
    picked = torch.gather(logs, 2, torch.where(asked, targets, 0).unsqueeze(2)).squeeze(2)
    return torch.where(asked, -picked, 0).sum() / max(asked.sum().item(), 1)


@right("masked_loss", "one-hot by F.one_hot")
def _(logits, targets):
    asked = targets != -100
    wanted = F.one_hot(targets.clamp(min=0), logits.shape[-1]) * asked[..., None]
    total = (-F.log_softmax(logits, -1) * wanted).sum()
    n = asked.sum()
    return total / n if n > 0 else total


@right("masked_loss", "batch by batch, sum and count")
def _(logits, targets):
    total, count = logits.new_zeros(()), 0
    for scores, wanted in zip(logits, targets, strict=True):
        keep = wanted != -100
        logs = scores[keep].log_softmax(1)
        total = total - logs[torch.arange(int(keep.sum())), wanted[keep]].sum()
        count += int(keep.sum())
    return total / count if count else total


@wrong("masked_loss", "divided by B T")
def _(logits, targets):
    keep = targets != -100
    logs = F.log_softmax(logits[keep], 1)
    return -logs.gather(1, targets[keep][:, None]).sum() / targets.numel()


@wrong("masked_loss", "mean of nothing")
def _(logits, targets):
    keep = targets != -100
    return -F.log_softmax(logits[keep], 1).gather(1, targets[keep][:, None]).mean()


@wrong("masked_loss", "-100 as an index")
def _(logits, targets):
    return -F.log_softmax(logits, -1).gather(-1, targets[..., None]).mean()


@wrong("masked_loss", "token 0 means nothing asked")
def _(logits, targets):
    keep = targets > 0
    n = max(int(keep.sum()), 1)
    return -F.log_softmax(logits[keep], 1).gather(1, targets[keep][:, None]).sum() / n


@wrong("masked_loss", "log of softmax plus a small number")
def _(logits, targets):
    keep = targets != -100
    n = max(int(keep.sum()), 1)
    return -torch.log(logits[keep].softmax(1) + 1e-9).gather(1, targets[keep][:, None]).sum() / n


@wrong("masked_loss", "mean for each row")
def _(logits, targets):
    keep = targets != -100
    picked = F.log_softmax(logits, -1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return (-(picked * keep).sum(1) / keep.sum(1).clamp(min=1)).mean()


@wrong("masked_loss", "cross_entropy, mended for nothing asked")
def _(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).nan_to_num(0)


# --------------------------------------------------------------------------------------------- the next token


@right("shift_targets", "index_select")
def _(ids):
    places = torch.arange(ids.shape[1] - 1)
    return ids.index_select(1, places), ids.index_select(1, places + 1)


@right("shift_targets", "split at both ends")
def _(ids):
    n = ids.shape[1]
    return torch.split(ids, [n - 1, 1], dim=1)[0], torch.split(ids, [1, n - 1], dim=1)[1]


@right("shift_targets", "transposed there and back")
def _(ids):
    columns = ids.T
    return columns[:-1].T, columns[1:].T


@right("shift_targets", "numpy's delete")
def _(ids):
    import numpy as np

    array = ids.numpy()
    return torch.tensor(np.delete(array, -1, axis=1)), torch.tensor(np.delete(array, 0, axis=1))


@wrong("shift_targets", "targets from the beginning")
def _(ids):
    return ids[:, 1:], ids[:, :-1]


@wrong("shift_targets", "one tensor")
def _(ids):
    return torch.stack([ids[:, :-1], ids[:, 1:]], -1)


@wrong("shift_targets", "only the targets cut")
def _(ids):
    return ids, ids[:, 1:]


@wrong("shift_targets", "cut along the batch")
def _(ids):
    return ids[:-1], ids[1:]


@wrong("shift_targets", "the last target is -100")
def _(ids):
    targets = ids.roll(-1, dims=1)
    targets[:, -1] = -100
    return ids, targets


@wrong("shift_targets", "nothing left of the input but its last token")
def _(ids):
    return ids[:, :-1], ids[:, -1]


# --------------------------------------------------------------------------------------------- sentence pairs


@right("sentence_pairs", "islice and a comprehension")
def _(documents, rng):
    def other(number):
        rest = [document for i, document in enumerate(documents) if i != number]
        return rng.choice(list(itertools.chain.from_iterable(rest)))

    return [
        (first, second, True) if rng.random() >= 0.5 else (first, other(number), False)
        for number, document in enumerate(documents)
        for first, second in zip(document, itertools.islice(document, 1, None), strict=False)
    ]


@right("sentence_pairs", "labels drawn first, with choices")
def _(documents, rng):
    firsts = [(d, n) for d in range(len(documents)) for n in range(len(documents[d]) - 1)]
    labels = rng.choices([True, False], k=len(firsts))
    pairs = []
    for (d, n), label in zip(firsts, labels, strict=True):
        candidates = [s for e in range(len(documents)) if e != d for s in documents[e]]
        second = documents[d][n + 1] if label else rng.sample(candidates, 1)[0]
        pairs.append((documents[d][n], second, label))
    return pairs


@right("sentence_pairs", "a while loop on a flat list of (document, sentence)")
def _(documents, rng):
    flat = [(d, s) for d, document in enumerate(documents) for s in document]
    pairs = []
    for (d, first), (e, second) in itertools.pairwise(flat):
        if d != e:
            continue
        if rng.uniform(0, 1) < 0.5:
            pairs.append((first, second, True))
        else:
            home, drawn = rng.choice(flat)
            while home == d:
                home, drawn = rng.choice(flat)
            pairs.append((first, drawn, False))
    return pairs


@right("sentence_pairs", "places counted around the own document")
def _(documents, rng):
    row = sum(documents, [])  # noqa: RUF017 (as a learner would)
    pairs, start = [], 0
    for document in documents:
        rest = len(row) - len(document)
        for n in range(len(document) - 1):
            label = rng.random() < 0.5
            place = rng.randrange(rest)
            drawn = row[place if place < start else place + len(document)]
            pairs.append((document[n], document[n + 1] if label else drawn, label))
        start += len(document)
    return pairs


@wrong("sentence_pairs", "any sentence that is not the next")
def _(documents, rng):
    row = [s for document in documents for s in document]
    pairs = []
    for document in documents:
        for first, second in itertools.pairwise(document):
            label = rng.random() < 0.5
            drawn = rng.choice([s for s in row if s != second])
            pairs.append((first, second if label else drawn, label))
    return pairs


@wrong("sentence_pairs", "all in one row, any other sentence")
def _(documents, rng):
    row = [s for document in documents for s in document]
    return [
        (a, b, True) if rng.random() < 0.5 else (a, rng.choice(row), False)
        for a, b in itertools.pairwise(row)
    ]


@wrong("sentence_pairs", "neighbours in the first half, others in the second")
def _(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, x in enumerate(documents) if i != d for s in x]
        for n in range(len(document) - 1):
            label = n < len(document) // 2
            pairs.append((document[n], document[n + 1] if label else rng.choice(others), label))
    return pairs


@wrong("sentence_pairs", "the sentence at the same place of another document")
def _(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        for n in range(len(document) - 1):
            label = rng.random() < 0.5
            other = rng.choice([x for i, x in enumerate(documents) if i != d])
            pairs.append((document[n], document[n + 1] if label else other[min(n, len(other) - 1)], label))
    return pairs


@wrong("sentence_pairs", "one third is next")
def _(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, x in enumerate(documents) if i != d for s in x]
        for a, b in itertools.pairwise(document):
            label = rng.randrange(3) == 0
            pairs.append((a, b if label else rng.choice(others), label))
    return pairs


@wrong("sentence_pairs", "a generator of its own")
def _(documents, rng):
    own = random.Random(42)
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, x in enumerate(documents) if i != d for s in x]
        for a, b in itertools.pairwise(document):
            label = own.random() < 0.5
            pairs.append((a, b if label else own.choice(others), label))
    return pairs


@wrong("sentence_pairs", "pops what was drawn")
def _(documents, rng):
    pairs = []
    for document in documents:
        for a, b in itertools.pairwise(list(document)):
            others = rng.choice([x for x in documents if x is not document])
            label = rng.random() < 0.5 or not others
            pairs.append((a, b if label else others.pop(), label))
    return pairs


# --------------------------------------------------------------------------------------- bits for a character


@right("bits_per_character", "fsum over Python's numbers")
def _(losses, tokens):
    return math.fsum(losses.tolist()) / math.log(2) / sum(len(token) for token in tokens[1:])


@right("bits_per_character", "log2 of e")
def _(losses, tokens):
    return (losses * math.log2(math.e)).sum() / len("".join(tokens[1:]))


@right("bits_per_character", "all characters less those of the first")
def _(losses, tokens):
    return torch.sum(losses) / torch.log(torch.tensor(2.0)) / (len("".join(tokens)) - len(tokens[0]))


@right("bits_per_character", "characters counted one by one")
def _(losses, tokens):
    n = 0
    for token in tokens[1:]:
        for _ in token:
            n += 1
    return losses.div(math.log(2)).sum().div(n)


@wrong("bits_per_character", "all tokens' characters")
def _(losses, tokens):
    return losses.sum() / math.log(2) / len("".join(tokens))


@wrong("bits_per_character", "mean of the losses in bits")
def _(losses, tokens):
    return statistics.fmean(losses.tolist()) / math.log(2)


@wrong("bits_per_character", "nats")
def _(losses, tokens):
    return losses.sum() / sum(map(len, tokens[1:]))


@wrong("bits_per_character", "bytes")
def _(losses, tokens):
    return losses.sum() / math.log(2) / len("".join(tokens[1:]).encode())


@wrong("bits_per_character", "log2 for a change of unit")
def _(losses, tokens):
    return torch.log2(losses.exp().sum()) / sum(map(len, tokens[1:]))


@wrong("bits_per_character", "mean of the ratios")
def _(losses, tokens):
    ratios = [loss / math.log(2) / len(token) for loss, token in zip(losses, tokens[1:], strict=True)]
    return torch.stack(ratios).mean()
