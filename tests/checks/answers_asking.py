"""Wrong and correct answers to the tasks of 07 on what a model is asked, as learners write them."""

import math
import random
from itertools import chain, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import objectives as library

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------------ mask tokens


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


def masked_by_loop(ids, mask_id, vocab_size, special_ids, generator):
    rows, asked = [], []
    for row in ids.tolist():
        seen, wanted = [], []
        for token, dice in zip(row, torch.rand(len(row), generator=generator).tolist(), strict=True):
            chosen = token not in special_ids and dice < 0.15
            wanted.append(token if chosen else -100)
            if chosen and dice < 0.8 * 0.15:
                token = mask_id
            elif chosen and dice < 0.9 * 0.15:
                token = int(torch.randint(vocab_size, (), generator=generator))
            seen.append(token)
        rows.append(seen)
        asked.append(wanted)
    return torch.tensor(rows), torch.tensor(asked)


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
    share=0.15,
    kinds=(0.8, 0.9),
    ordinary=lambda ids, special_ids: ~torch.isin(ids, torch.tensor(special_ids)),
    throw=lambda ids, generator: torch.rand(ids.shape, generator=generator),
    asks=lambda ids, inputs, chosen, mask_id: torch.where(chosen, ids, -100),
    token=lambda ids, vocab_size, generator: torch.randint(vocab_size, ids.shape, generator=generator),
    generated=lambda generator: generator,
    other_places=lambda chosen, place: chosen,
):
    """An answer with one thing exchanged."""

    def answer(ids, mask_id, vocab_size, special_ids, generator):
        generator = generated(generator)
        place = ordinary(ids, special_ids)
        chosen = place & (throw(ids, generator) < share)
        second = torch.rand(ids.shape, generator=generator)
        inputs = ids.clone()
        other = other_places(chosen, place) & (second >= kinds[0]) & (second < kinds[1])
        inputs[other] = token(ids, vocab_size, generator)[other]
        inputs[chosen & (second < kinds[0])] = mask_id
        return inputs, asks(ids, inputs, chosen, mask_id)

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


def masked_in_place(ids, mask_id, vocab_size, special_ids, generator):
    dice = torch.rand(ids.shape, generator=generator)
    chosen = (dice < 0.15) & ~torch.isin(ids, torch.tensor(special_ids))
    targets = torch.where(chosen, ids, -100)
    ids[chosen & (dice < 0.12)] = mask_id
    return ids, targets


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


RIGHT["07_mlm_vs_next_token/mask_tokens"] = [
    masked_by_one_throw,
    masked_as_hugging_face,
    masked_exactly,
    masked_by_numpy,
    masked_by_loop,
    masked_with_ordinary_tokens,
]
WRONG["07_mlm_vs_next_token/mask_tokens"] = [
    ("always the mask", hiding(kinds=(1.0, 1.0))),
    ("none stays", hiding(kinds=(0.8, 1.0))),
    ("no other tokens", hiding(kinds=(0.8, 0.8))),
    ("mask and other tokens exchanged", hiding(kinds=(0.1, 0.9))),
    (
        "what stays is not asked",
        hiding(asks=lambda ids, inputs, chosen, mask_id: torch.where(inputs != ids, ids, -100)),
    ),
    (
        "only the mask is asked",
        hiding(asks=lambda ids, inputs, chosen, mask_id: torch.where(inputs == mask_id, ids, -100)),
    ),
    (
        "special tokens chosen",
        hiding(ordinary=lambda ids, special_ids: torch.ones_like(ids, dtype=torch.bool)),
    ),
    ("share of all places", more_than_ordinary),
    ("80 % of all", hiding(share=0.8)),
    ("the other 85 %", hiding(throw=lambda ids, generator: torch.rand(ids.shape, generator=generator) - 0.7)),
    (
        "targets after masking",
        hiding(asks=lambda ids, inputs, chosen, mask_id: torch.where(chosen, inputs, -100)),
    ),
    ("asked everywhere", hiding(asks=lambda ids, inputs, chosen, mask_id: ids.clone())),
    ("0 where nothing is asked", hiding(asks=lambda ids, inputs, chosen, mask_id: ids * chosen)),
    (
        "targets upside down",
        hiding(asks=lambda ids, inputs, chosen, mask_id: ids.masked_fill(chosen, -100)),
    ),
    ("other tokens where nothing is asked", hiding(other_places=lambda chosen, place: place)),
    (
        "the same places in each row",
        hiding(
            throw=lambda ids, generator: torch.rand(1, ids.shape[1], generator=generator).expand(ids.shape)
        ),
    ),
    (
        "the first of each row",
        hiding(throw=lambda ids, generator: (torch.arange(ids.shape[1]) / ids.shape[1]).expand(ids.shape)),
    ),
    (
        "other tokens from the text",
        hiding(
            token=lambda ids, v, generator: ids.reshape(-1)[
                torch.randint(ids.numel(), ids.shape, generator=generator)
            ]
        ),
    ),
    (
        "always the same other token",
        hiding(
            token=lambda ids, v, generator: torch.full_like(
                ids, int(torch.randint(v, (), generator=generator))
            )
        ),
    ),
    ("not the generator", hiding(generated=lambda generator: None)),
    ("not the generator", hiding(throw=lambda ids, generator: torch.rand(ids.shape))),
    ("a seed of its own", hiding(generated=lambda generator: torch.Generator().manual_seed(7))),
    ("a seed of its own", hiding(generated=lambda generator: torch.manual_seed(0))),
    (None, masked_in_place),
    (None, masked_by_library),
    (None, overwritten),
    (None, hiding(share=0.12)),
    (None, hiding(share=0.2)),
    (None, hiding(kinds=(0.7, 0.85))),
    (None, lambda *given: hiding()(*given)[0]),
    (None, lambda *given: hiding()(*given)[::-1]),
    (None, lambda *given: [x.float() for x in hiding()(*given)]),
    (None, lambda ids, *given: [x.reshape(-1) for x in hiding()(ids, *given)]),
    (
        "special tokens put in",
        hiding(token=lambda ids, v, generator: torch.randint(3, ids.shape, generator=generator)),
    ),
    (None, hiding(token=lambda ids, v, generator: v + ids)),
    (None, hiding(asks=lambda ids, inputs, chosen, mask_id: torch.where(chosen, ids, -1))),
]

# ------------------------------------------------------------------------------------------------ masked loss


def loss_by_choosing(logits, targets):
    asked = targets != -100
    if not asked.any():
        return logits.new_zeros(())
    logs = logits[asked].log_softmax(-1)
    return -logs[torch.arange(len(logs)), targets[asked]].mean()


def loss_by_one_hot(logits, targets):
    v = logits.shape[-1]
    wanted = (targets[..., None] == torch.arange(v)).to(logits.dtype)
    return -(wanted * F.log_softmax(logits, -1)).sum() / max(int(wanted.sum()), 1)


def loss_by_loop(logits, targets):
    found = []
    for row, wanted in zip(logits, targets.tolist(), strict=True):
        for scores, token in zip(row, wanted, strict=True):
            if token >= 0:
                found.append(torch.logsumexp(scores, 0) - scores[token])
    return torch.stack(found).mean() if found else 0 * logits.sum()


def loss_by_hand(logits, targets):
    asked = targets.ne(-100)
    shifted = logits - logits.max(-1, keepdim=True).values
    logs = shifted - shifted.exp().sum(-1, keepdim=True).log()
    chosen = torch.take_along_dim(logs, targets.masked_fill(~asked, 0).unsqueeze(-1), -1).squeeze(-1)
    return -chosen.masked_fill(~asked, 0).sum() / (asked.sum() + (~asked.any()))


def loss_by_masked_mean(logits, targets):
    """Flat, and weights that sum to 1."""
    rows, wanted = logits.reshape(-1, logits.size(-1)), targets.reshape(-1)
    keep = (wanted >= 0).to(rows.dtype)
    weights = keep / keep.sum().clamp_min(1)
    logs = rows.log_softmax(1)[torch.arange(len(rows)), wanted.clamp(0)]
    return -(weights @ logs)


def loss_by_nan_to_num(logits, targets):
    """The mean of nothing is NaN, and becomes 0."""
    keep = (targets != -100).nonzero(as_tuple=True)
    logs = nn.LogSoftmax(dim=-1)(logits[keep])
    return logs.gather(1, targets[keep][:, None]).neg().mean().nan_to_num(0)


def surprises(logits, targets):
    """The surprise at each place, 0 where nothing is asked."""
    asked = targets != -100
    logs = F.log_softmax(logits, -1)
    return -logs.gather(-1, (targets * asked)[..., None])[..., 0], asked


def averaged(how):
    """Another way to make one number of the surprises."""
    return lambda logits, targets: how(*surprises(logits, targets))


def of_logs(logs):
    """Something else in the place of the log-softmax."""

    def answer(logits, targets):
        asked = targets != -100
        found = logs(logits).gather(-1, (targets * asked)[..., None])[..., 0]
        return -(found * asked).sum() / asked.sum().clamp(min=1)

    return answer


RIGHT["07_mlm_vs_next_token/masked_loss"] = [
    loss_by_choosing,
    loss_by_one_hot,
    loss_by_loop,
    loss_by_hand,
    loss_by_masked_mean,
    loss_by_nan_to_num,
]
WRONG["07_mlm_vs_next_token/masked_loss"] = [
    ("mean over all places", averaged(lambda s, asked: (s * asked).mean())),
    ("sum", averaged(lambda s, asked: s[asked].sum())),
    ("asked everywhere", averaged(lambda s, asked: s.mean())),
    (
        "mean of the rows",
        averaged(
            lambda s, asked: torch.stack(
                [
                    *(r[a].mean() for r, a in zip(s, asked, strict=True) if a.any()),
                    *([] if asked.any() else [0 * s.sum()]),
                ]
            ).mean()
        ),
    ),
    ("sums of the rows", averaged(lambda s, asked: (s * asked).sum(1).mean())),
    ("one loss for each place", averaged(lambda s, asked: s * asked)),
    ("one loss for each row", averaged(lambda s, asked: (s * asked).sum(1) / asked.sum(1).clamp(min=1))),
    ("NaN where nothing is asked", averaged(lambda s, asked: s[asked].mean())),
    ("one question too many", averaged(lambda s, asked: (s * asked).sum() / (1 + asked.sum()))),
    ("0 ignored", lambda logits, t: loss_by_choosing(logits, torch.where(t == 0, -100, t))),
    ("softmax twice", of_logs(lambda logits: logits.softmax(-1).log_softmax(-1))),
    ("no softmax", of_logs(lambda logits: logits)),
    ("log of a softmax", of_logs(lambda logits: logits.softmax(-1).log())),
    ("softmax over the tokens", of_logs(lambda logits: logits.log_softmax(-2))),
    ("sign forgotten", lambda *given: -loss_by_choosing(*given)),
    ("no logarithm", of_logs(lambda logits: logits.softmax(-1))),
    ("in bits", lambda *given: loss_by_choosing(*given) / math.log(2)),
    (
        None,
        lambda logits, t: (
            F.cross_entropy(logits.flatten(0, 1), t.flatten(), reduction="sum") / (t >= 0).sum().clamp(min=1)
        ),
    ),
    (
        None,
        lambda logits, t: nn.CrossEntropyLoss(reduction="sum")(logits.mT, t) / (t >= 0).sum().clamp(min=1),
    ),
    (
        None,
        lambda logits, t: (
            F.nll_loss(logits.log_softmax(-1).mT, t, reduction="sum") / (t >= 0).sum().clamp(min=1)
        ),
    ),
    (None, library.token_loss),
    (None, lambda *given: loss_by_choosing(*given).detach()),
    (None, lambda *given: loss_by_choosing(*given).item()),
    (None, averaged(lambda s, asked: s[asked].median() if asked.any() else 0 * s.sum())),
    (None, lambda logits, t: loss_by_choosing(logits.float(), t)),
    (None, lambda logits, t: -logits.log_softmax(-1).gather(-1, t[..., None]).mean()),
    (None, lambda logits, t: loss_by_choosing(logits.clamp(-50, 50), t)),
]

# ---------------------------------------------------------------------------------------------- shift targets

RIGHT["07_mlm_vs_next_token/shift_targets"] = [
    lambda ids: (ids[:, :-1], ids[:, 1:]),
    lambda ids: [ids.narrow(1, 0, ids.shape[1] - 1), ids.narrow(1, 1, ids.shape[1] - 1)],
    lambda ids: ids.unfold(1, 2, 1).unbind(-1),
    lambda ids: (ids[..., : ids.size(1) - 1].clone(), ids.roll(-1, dims=1)[:, :-1].clone()),
    lambda ids: tuple(torch.stack([row[a : len(row) - 1 + a] for row in ids]) for a in (0, 1)),
    lambda ids: (
        torch.tensor([[a for a, _ in pairwise(row)] for row in ids.tolist()]),
        torch.tensor([[b for _, b in pairwise(row)] for row in ids.tolist()]),
    ),
]
WRONG["07_mlm_vs_next_token/shift_targets"] = [
    ("the other way", lambda ids: (ids[:, 1:], ids[:, :-1])),
    ("own token", lambda ids: (ids[:, :-1], ids[:, :-1])),
    ("own token, from the second", lambda ids: (ids[:, 1:], ids[:, 1:])),
    ("inputs not cut", lambda ids: (ids, ids[:, 1:])),
    ("nothing cut", lambda ids: (ids, ids)),
    ("round the corner", lambda ids: (ids, torch.cat([ids[:, 1:], ids[:, :1]], 1))),
    ("rolled the wrong way", lambda ids: (ids, torch.roll(ids, 1, dims=-1))),
    ("filled up", lambda ids: (ids, F.pad(ids[:, 1:], (0, 1), value=-100))),
    ("filled up with 0", lambda ids: (ids, torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :1])], 1))),
    ("the batch shifted", lambda ids: (ids[:-1], ids[1:])),
    ("by two", lambda ids: (ids[:, :-2], ids[:, 2:])),
    ("only the last", lambda ids: (ids[:, :-1], ids[:, -1:])),
    ("across rows", lambda ids: (ids.reshape(-1)[:-1], ids.reshape(-1)[1:])),
    (None, lambda ids: ids[:, 1:]),
    (None, library.shift),
    (None, lambda ids: (ids[:, :-1].mT, ids[:, 1:].mT)),
    (None, lambda ids: (ids[:, :-1] + 1, ids[:, 1:])),
    (None, lambda ids: (ids[:, :-1], ids[:, 1:].flip(1))),
    (None, lambda ids: (ids[:, :-1].tolist(), ids[:, 1:].tolist())),
]

# --------------------------------------------------------------------------------------------- sentence pairs


def pairs_by_numbers(documents, rng):
    pairs = []
    for d in range(len(documents)):
        for n in range(len(documents[d]) - 1):
            if rng.random() < 0.5:
                pairs.append((documents[d][n], documents[d][n + 1], True))
            else:
                others = list(chain(*documents[:d], *documents[d + 1 :]))
                pairs.append((documents[d][n], others[rng.randrange(len(others))], False))
    return pairs


def pairs_by_document_first(documents, rng):
    """As BERT's first program: another document, then a sentence of it."""
    pairs = []
    for d, document in enumerate(documents):
        for first, following in pairwise(document):
            if rng.randint(0, 1):
                pairs.append((first, following, True))
                continue
            other = d
            while other == d:
                other = rng.randrange(len(documents))
            pairs.append((first, rng.choice(documents[other]), False))
    return pairs


def pairs_by_trying(documents, rng):
    """Draw from all until it is of another document."""
    home = {s: d for d, document in enumerate(documents) for s in document}
    everything = list(home)
    for document in documents:
        for first, second in pairwise(document):
            label = bool(rng.getrandbits(1))
            if not label:
                second = first
                while home[second] == home[first]:
                    second = rng.choice(everything)
            yield [first, second, int(label)]


def pairs_shuffled(documents, rng):
    """In any order."""
    pairs = pairs_by_numbers(documents, rng)
    rng.shuffle(pairs)
    return tuple(pairs)


def pairs_exactly_half(documents, rng):
    """Half of all labels, shuffled."""
    places = [(d, n) for d, document in enumerate(documents) for n in range(len(document) - 1)]
    labels = [i % 2 == 0 for i in range(len(places))]
    if len(places) % 2:
        labels[-1] = rng.random() < 0.5
    rng.shuffle(labels)
    return [
        (documents[d][n], documents[d][n + 1], True)
        if label
        else (
            documents[d][n],
            rng.choice([s for other in documents if other is not documents[d] for s in other]),
            False,
        )
        for (d, n), label in zip(places, labels, strict=True)
    ]


def pairs_by_numpy(documents, rng):
    draw = np.random.default_rng(rng.getrandbits(32))
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, other in enumerate(documents) for s in other if i != d]
        for n, first in enumerate(document[:-1]):
            label = draw.random() < 0.5
            pairs.append((first, document[n + 1] if label else others[draw.integers(len(others))], label))
    return pairs


def paired(
    other=lambda documents, d, n, rng: rng.choice([s for i, x in enumerate(documents) if i != d for s in x]),
    coin=lambda d, n, rng: rng.random() < 0.5,
    steps=lambda document: range(len(document) - 1),
    label=lambda is_next: is_next,
    dice=lambda rng: rng,
):
    """An answer with one thing exchanged."""

    def answer(documents, rng):
        rng = dice(rng)
        pairs = []
        for d, document in enumerate(documents):
            for n in steps(document):
                is_next = coin(d, n, rng)
                second = document[n + 1] if is_next else other(documents, d, n, rng)
                pairs.append((document[n], second, label(is_next)))
        return pairs

    return answer


def one_document(documents, rng):
    """All sentences in a row."""
    row = [s for document in documents for s in document]
    home = {s: d for d, document in enumerate(documents) for s in document}
    pairs = []
    for first, following in pairwise(row):
        label = rng.random() < 0.5
        second = following if label else rng.choice([s for s in row if home[s] != home[first]])
        pairs.append((first, second, label))
    return pairs


def two_each(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        others = [s for i, x in enumerate(documents) if i != d for s in x]
        for first, second in pairwise(document):
            pairs += [(first, second, True), (first, rng.choice(others), False)]
    return pairs


def one_draw(documents, rng):
    """One sentence for all pairs of a document."""
    pairs = []
    for d, document in enumerate(documents):
        other = rng.choice([s for i, x in enumerate(documents) if i != d for s in x])
        for first, second in pairwise(document):
            pairs.append((first, second, True) if rng.random() < 0.5 else (first, other, False))
    return pairs


def coin_for_documents(documents, rng):
    pairs = []
    for d, document in enumerate(documents):
        label = rng.random() < 0.5
        pairs += paired(coin=lambda *given, label=label: label)(
            [document, *documents[:d], *documents[d + 1 :]], rng
        )[: len(document) - 1]
    return pairs


def neighbours_exchanged(documents, rng):
    pairs = [pair for document in documents for pair in pairwise(document)]
    return [(b, a, False) if rng.random() < 0.5 else (a, b, True) for a, b in pairs]


def without_the_pair(documents, d, n, rng):
    pair = documents[d][n : n + 2]
    everything = [s for document in documents for s in document]
    while (drawn := rng.choice(everything)) in pair:
        pass
    return drawn


def popped(documents, rng):
    """Takes the documents apart."""
    pairs = paired()(documents, rng)
    documents[0].pop()
    return pairs


RIGHT["07_mlm_vs_next_token/sentence_pairs"] = [
    pairs_by_numbers,
    pairs_by_document_first,
    pairs_by_trying,
    pairs_shuffled,
    pairs_exactly_half,
    pairs_by_numpy,
]
WRONG["07_mlm_vs_next_token/sentence_pairs"] = [
    ("any sentence at all", paired(other=lambda documents, d, n, rng: rng.choice(rng.choice(documents)))),
    ("any but the next", paired(other=without_the_pair)),
    (
        "from the same document",
        paired(
            other=lambda documents, d, n, rng: rng.choice(
                documents[d][:n] + documents[d][n + 2 :] or documents[d][n : n + 1]
            )
        ),
    ),
    ("across the border", one_document),
    ("always the same", paired(other=lambda documents, d, n, rng: documents[d - 1][0])),
    ("one for a whole document", one_draw),
    (
        "only first sentences put in",
        paired(other=lambda documents, d, n, rng: rng.choice(documents[:d] + documents[d + 1 :])[0]),
    ),
    ("from the next document", paired(other=lambda documents, d, n, rng: rng.choice(documents[d - 1]))),
    ("first sentences left out", paired(steps=lambda document: range(1, len(document) - 1))),
    ("every second sentence", paired(steps=lambda document: range(0, len(document) - 1, 2))),
    ("in turn", paired(coin=lambda d, n, rng: n % 2 == 0)),
    ("one coin for a document", coin_for_documents),
    ("always next", paired(coin=lambda d, n, rng: True)),
    ("never next", paired(coin=lambda d, n, rng: False)),
    ("both for each sentence", two_each),
    ("order exchanged", neighbours_exchanged),
    ("labels upside down", paired(label=lambda is_next: int(not is_next))),
    ("not the generator", paired(dice=lambda rng: random)),
    ("not the generator", paired(coin=lambda d, n, rng: random.random() < 0.5)),
    ("a seed of its own", paired(dice=lambda rng: random.Random(3))),
    (None, popped),
    (None, paired(coin=lambda d, n, rng: rng.random() < 0.4)),
    (None, paired(coin=lambda d, n, rng: rng.random() < 0.75)),
    (
        None,
        paired(
            other=lambda documents, d, n, rng: rng.choice(
                [s for i, x in enumerate(documents) if i != d for s in x[:-1] or x]
            )
        ),
    ),
    (None, lambda documents, rng: paired()(documents, rng)[:-1]),
    (None, lambda documents, rng: [(a, b) for a, b, _ in paired()(documents, rng)]),
    (None, lambda documents, rng: [(b, a, k) for a, b, k in paired()(documents, rng)]),
    (None, lambda documents, rng: [(a, f"{b} ", k) for a, b, k in paired()(documents, rng)]),
    (None, lambda documents, rng: list(zip(*paired()(documents, rng), strict=True))),
    (None, lambda documents, rng: 2 * paired()(documents, rng)),
    (None, paired(steps=lambda document: range(len(document)))),
]

# ----------------------------------------------------------------------------------------- bits per character


def bits_by_loop(losses, tokens):
    total, n = 0.0, 0
    for loss, token in zip(losses.tolist(), tokens[1:], strict=True):
        total += loss / math.log(2)
        n += len(token)
    return total / n


def bits_by_probability(losses, tokens):
    """Back to the probabilities, and their logarithm to the base of 2."""
    return -torch.log2(torch.exp(-losses)).sum() / len("".join(tokens[1:]))


def bits_by_numpy(losses, tokens):
    return losses.numpy().sum() * np.log2(np.e) / len("".join(tokens)[len(tokens[0]) :])


def bits_by_mean(losses, tokens):
    """Bits per token by tokens per character."""
    _, *rest = tokens
    return losses.mean() / torch.tensor(2.0).log() * (len(losses) / sum(map(len, rest)))


def bits_by_weights(losses, tokens):
    """The mean of each character's share."""
    lengths = torch.tensor([len(token) for token in tokens[1:]], dtype=losses.dtype)
    return torch.repeat_interleave(losses / lengths, lengths.long()).mean() * math.log2(math.e)


def characters(tokens):
    return len("".join(tokens[1:]))


RIGHT["07_mlm_vs_next_token/bits_per_character"] = [
    bits_by_loop,
    bits_by_probability,
    bits_by_numpy,
    bits_by_mean,
    bits_by_weights,
]
WRONG["07_mlm_vs_next_token/bits_per_character"] = [
    ("nats", lambda losses, tokens: losses.sum() / characters(tokens)),
    ("multiplied by ln 2", lambda losses, tokens: losses.sum() * math.log(2) / characters(tokens)),
    ("decimal digits", lambda losses, tokens: losses.sum() / math.log(10) / characters(tokens)),
    ("bits per token", lambda losses, tokens: losses.mean() / math.log(2)),
    ("nats per token", lambda losses, tokens: losses.mean()),
    ("mean by characters", lambda losses, tokens: losses.mean() / math.log(2) / characters(tokens)),
    ("perplexity", lambda losses, tokens: torch.exp(losses.mean())),
    ("perplexity of a character", lambda losses, tokens: torch.exp(losses.sum() / characters(tokens))),
    (
        "bytes",
        lambda losses, tokens: losses.sum() / math.log(2) / sum(len(t.encode("utf-8")) for t in tokens[1:]),
    ),
    ("first token counted", lambda losses, tokens: losses.sum() / math.log(2) / sum(map(len, tokens))),
    ("last token left out", lambda losses, tokens: losses.sum() / math.log(2) / sum(map(len, tokens[:-1]))),
    (
        "spaces not counted",
        lambda losses, tokens: losses.sum() / math.log(2) / sum(len(t.strip()) for t in tokens[1:]),
    ),
    ("words", lambda losses, tokens: losses.sum() / math.log(2) / len("".join(tokens[1:]).split())),
    (
        "mean of ratios",
        lambda losses, tokens: np.mean(
            [float(x) / math.log(2) / len(t) for x, t in zip(losses, tokens[1:], strict=True)]
        ),
    ),
    ("log2 of the losses", lambda losses, tokens: torch.log2(losses).sum() / characters(tokens)),
    ("characters per bit", lambda losses, tokens: characters(tokens) * math.log(2) / losses.sum()),
    (None, lambda losses, tokens: losses / math.log(2) / characters(tokens)),
    (None, lambda losses, tokens: losses.sum() / math.log(2)),
    (None, lambda losses, tokens: losses.sum() / math.log(2) / len(tokens)),
    (None, lambda losses, tokens: -losses.sum() / math.log(2) / characters(tokens)),
    (None, lambda losses, tokens: losses.sum() / 0.7 / characters(tokens)),
    (None, lambda losses, tokens: round(bits_by_loop(losses, tokens), 2)),
    (None, lambda losses, tokens: losses.sum() / math.log(2) / len(" ".join(tokens[1:]))),
    (None, lambda losses, tokens: f"{bits_by_loop(losses, tokens)} bits"),
]
