"""BERT and ViT: against Hugging Face's with the same weights, and for what every encoder must do."""

import math

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.encoder import BERT, BERTConfig, ViT, ViTConfig

B, T, V, CONTEXT, SEGMENTS, D, LAYERS, HEADS, D_FF = 2, 11, 101, 23, 3, 21, 3, 3, 37
HEIGHT, WIDTH, PATCH, CHANNELS, CLASSES = 15, 21, 3, 2, 13
N = (HEIGHT // PATCH) * (WIDTH // PATCH)
BERT_SIZES = {"vocab_size": V, "max_seq_len": CONTEXT, "n_segments": SEGMENTS}
VIT_SIZES = {"patch_size": PATCH, "n_channels": CHANNELS, "n_classes": CLASSES}
SIZES = {"d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "d_ff": D_FF}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
every_precision = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
every_kernel = pytest.mark.parametrize("kernel", ["eager", "sdpa"])

LAYER_NAMES = {
    ".attention.self.query": ".attention.q_proj",
    ".attention.self.key": ".attention.k_proj",
    ".attention.self.value": ".attention.v_proj",
    ".attention.output.dense": ".attention.out_proj",
    ".attention.output.LayerNorm": ".attention_norm",
    ".intermediate.dense": ".feed_forward.up_proj",
    ".output.dense": ".feed_forward.down_proj",
    ".output.LayerNorm": ".feed_forward_norm",
}
BERT_NAMES = {
    "cls.predictions.transform.dense": "mlm_dense",
    "cls.predictions.transform.LayerNorm": "mlm_norm",
    "cls.predictions.bias": "mlm_bias",
    "cls.seq_relationship": "next_sentence_head",
    "bert.": "",
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.position_embeddings": "position_embedding",
    "embeddings.token_type_embeddings": "segment_embedding",
    "embeddings.LayerNorm": "embedding_norm",
    "pooler.dense": "pooler",
    "encoder.layer.": "stack.blocks.",
    **LAYER_NAMES,
}
VIT_NAMES = {
    "vit.": "",
    "embeddings.cls_token": "class_token",
    "embeddings.position_embeddings": "position_embedding",
    "embeddings.patch_embeddings": "patch_embedding",
    "classifier": "head",
    "layers.": "stack.blocks.",
    "layernorm_before": "attention_norm",
    "layernorm_after": "feed_forward_norm",
    "layernorm": "stack.final_norm",
    ".attention.o_proj": ".attention.out_proj",
    ".mlp.fc1": ".feed_forward.up_proj",
    ".mlp.fc2": ".feed_forward.down_proj",
}


def randomise(module, std=0.3):
    """Every parameter counts: biases, and norm scales that are not 1."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module.eval()


def load(ours, theirs, names):
    """Their weights under our names; every one of ours must come from one of theirs."""
    state = {}
    for name, value in theirs.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        state[name] = value.flatten(1) if name == "patch_embedding.projection.weight" else value
    ours = ours.to(theirs.dtype).eval()
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return ours


def random_bert(**changes):
    return randomise(BERT(BERTConfig(**(BERT_SIZES | SIZES | changes))))


def random_vit(**changes):
    return randomise(ViT(ViTConfig(**({"image_size": (HEIGHT, WIDTH)} | VIT_SIZES | SIZES | changes))))


def random_text(t=T, seed=0):
    """Ids, segments and a mask with padding at both ends of different rows."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(V, (B, t), generator=generator)
    segments = torch.randint(SEGMENTS, (B, t), generator=generator)
    mask = torch.ones(B, t, dtype=torch.bool)
    mask[0, -3:] = False
    mask[1, 1:2] = False
    return ids, segments, mask


# --------------------------------------------------------------------------------------- against Hugging Face


def their_bert(kernel, dtype, eps, activation):
    config = transformers.BertConfig(
        vocab_size=V,
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=D_FF,
        hidden_act=activation,
        max_position_embeddings=CONTEXT,
        type_vocab_size=SEGMENTS,
        layer_norm_eps=eps,
        attn_implementation=kernel,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return randomise(transformers.BertForPreTraining(config).to(dtype))


@every_kernel
@every_precision
@pytest.mark.parametrize(
    ("eps", "theirs_activation", "activation"),
    [(1e-12, "gelu", "gelu"), (0.1, "gelu_pytorch_tanh", "gelu_tanh"), (1e-5, "relu", "relu")],
)
def test_equals_bert(kernel, dtype, eps, theirs_activation, activation):
    theirs = their_bert(kernel, dtype, eps, theirs_activation)
    ours = load(random_bert(norm_eps=eps, activation=activation), theirs, BERT_NAMES)
    ids, segments, mask = random_text()
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    with torch.no_grad():
        hidden = ours(ids, segments, mask)
        expected = theirs.bert(ids, attention_mask=mask.long(), token_type_ids=segments)
        heads = theirs(ids, attention_mask=mask.long(), token_type_ids=segments)
        torch.testing.assert_close(hidden, expected.last_hidden_state, **close)
        # the head's tied decoder multiplies: what is 1e-5 before it need not be after
        head_close = close | {"rtol": TOLERANCE[dtype]}
        torch.testing.assert_close(ours.mlm_logits(hidden), heads.prediction_logits, **head_close)
        some = heads.prediction_logits[mask]
        torch.testing.assert_close(ours.mlm_logits(hidden[mask]), some, **head_close)
        torch.testing.assert_close(ours.next_sentence_logits(hidden), heads.seq_relationship_logits, **close)
        torch.testing.assert_close(ours(ids), theirs.bert(ids).last_hidden_state, **close)


def test_the_defaults_are_those_of_bert():
    ours, theirs = BERTConfig(**BERT_SIZES | SIZES), transformers.BertConfig()
    assert (ours.norm_eps, ours.activation) == (theirs.layer_norm_eps, theirs.hidden_act)
    plain = BERTConfig(vocab_size=V, max_seq_len=CONTEXT, d_model=D, n_layers=1, n_heads=HEADS)
    assert plain.n_segments == theirs.type_vocab_size
    assert BERT(plain).stack.blocks[0].feed_forward.up_proj.out_features == 4 * D


@every_kernel
@every_precision
@pytest.mark.parametrize(("eps", "activation"), [(1e-12, "gelu"), (0.1, "relu")])
def test_equals_vit(kernel, dtype, eps, activation):
    config = transformers.ViTConfig(
        image_size=(HEIGHT, WIDTH),
        patch_size=PATCH,
        num_channels=CHANNELS,
        num_labels=CLASSES,
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=D_FF,
        hidden_act=activation,
        layer_norm_eps=eps,
        attn_implementation=kernel,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = randomise(transformers.ViTForImageClassification(config).to(dtype))
    ours = load(random_vit(norm_eps=eps, activation=activation), theirs, VIT_NAMES)
    images = torch.randn(B, CHANNELS, HEIGHT, WIDTH, dtype=dtype)
    # with the eager kernel their softmax is always in float32, so float64 shows no more than 7 digits
    close = {"rtol": 0, "atol": max(TOLERANCE[dtype], 1e-6 if kernel == "eager" else 0)}
    with torch.no_grad():
        torch.testing.assert_close(ours.encode(images), theirs.vit(images).last_hidden_state, **close)
        torch.testing.assert_close(ours(images), theirs(images).logits, **close)


# ------------------------------------------------------------------------------- what every encoder must do


@given(n_real=st.integers(1, T), n_padding=st.integers(0, CONTEXT - T), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_padding_does_not_change_real_tokens(n_real, n_padding, seed):
    model = random_bert().double()
    ids, segments, _ = random_text(n_real + n_padding, seed)
    mask = (torch.arange(n_real + n_padding) < n_real).expand(B, -1)
    padded = model(ids, segments, mask)[:, :n_real]
    alone = model(ids[:, :n_real], segments[:, :n_real])
    torch.testing.assert_close(padded, alone, rtol=0, atol=1e-10)
    other = torch.where(mask, ids, (ids + 1) % V)  # bit-identical, whatever the padding holds
    assert torch.equal(model(other, segments, mask)[:, :n_real], padded)


@given(order=st.permutations(range(T)))
@settings(max_examples=20, deadline=None)
def test_without_positions_bert_sees_a_bag_of_tokens(order):
    model = random_bert().double()
    ids, segments, mask = random_text()
    shuffled = ids[:, order], segments[:, order], mask[:, order]
    in_order = model(ids, segments, mask)[:, order]
    if order != sorted(order):
        assert (model(*shuffled) - in_order).abs().max() > 1e-3  # with positions, order counts
    torch.nn.init.zeros_(model.position_embedding.weight)
    in_order = model(ids, segments, mask)[:, order]
    torch.testing.assert_close(model(*shuffled), in_order, rtol=0, atol=1e-10)


@given(order=st.permutations(range(HEIGHT // PATCH)))
@settings(max_examples=10, deadline=None)
def test_without_positions_vit_sees_a_bag_of_patches(order):
    model = random_vit().double()
    images = torch.randn(B, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    shuffled = images.unflatten(2, (-1, PATCH))[:, :, order].flatten(2, 3)  # rows of patches change places
    logits = model(images)
    if order != sorted(order):
        assert (model(shuffled) - logits).abs().max() > 1e-3
    torch.nn.init.zeros_(model.position_embedding)
    torch.testing.assert_close(model(shuffled), model(images), rtol=0, atol=1e-10)


def test_every_token_looks_both_ways():
    model = random_bert()
    ids, segments, _ = random_text()
    for place in (0, 5, T - 1):
        changed = ids.clone()
        changed[:, place] = (ids[:, place] + 1) % V
        assert (model(changed, segments) != model(ids, segments)).any(-1).all()


def test_twice_the_same_bit_for_bit():
    bert, vit = random_bert(), random_vit()
    images = torch.randn(B, CHANNELS, HEIGHT, WIDTH)
    assert torch.equal(bert(*random_text()), bert(*random_text()))
    assert torch.equal(vit(images), vit(images.clone()))


def test_segments_default_to_the_first():
    model, (ids, _, mask) = random_bert(), random_text()
    assert torch.equal(model(ids, mask=mask), model(ids, torch.zeros_like(ids), mask))
    assert (model(ids, mask=mask) != model(ids, torch.ones_like(ids), mask)).any(-1).all()


def test_a_row_of_nothing_but_padding_is_finite():
    model, (ids, segments, mask) = random_bert(), random_text()
    mask[1] = False
    hidden = model(ids, segments, mask)
    hidden.sum().backward()
    assert hidden.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.stack.parameters())


def test_shapes_and_gradients_of_vit():
    model = random_vit()
    images = torch.randn(5, CHANNELS, HEIGHT, WIDTH)
    assert model.encode(images).shape == (5, N + 1, D)
    assert torch.equal(model(images), model.head(model.encode(images)[:, 0]))
    model(images).logsumexp(-1).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_the_masked_token_head_is_tied_to_the_embedding():
    model, (ids, segments, mask) = random_bert(), random_text()
    names = [name for name, _ in model.named_parameters() if name.startswith("mlm_")]
    assert sorted(names) == [
        "mlm_bias",
        "mlm_dense.bias",
        "mlm_dense.weight",
        "mlm_norm.bias",
        "mlm_norm.weight",
    ]
    model.mlm_logits(model(ids, segments, mask)).logsumexp(-1).sum().backward()
    unused = torch.tensor([n for n in range(V) if n not in ids])  # reached through the output layer only
    assert (model.token_embedding.weight.grad[unused].abs().amax(-1) > 0).all()


def test_initialisation():
    config = BERTConfig(**BERT_SIZES, d_model=96, n_layers=4, n_heads=3)
    model, vit = BERT(config), ViT(ViTConfig((8, 8), 1, 5, 11, d_model=96, n_layers=4, n_heads=3))
    parameters = dict(model.named_parameters())
    for name in ("token_embedding", "stack.blocks.3.feed_forward.down_proj", "pooler", "mlm_dense"):
        assert parameters[f"{name}.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert vit.position_embedding.std().item() == pytest.approx(0.02, rel=0.1)
    assert vit.class_token.std().item() == pytest.approx(0.02, rel=0.3)
    for name, parameter in [*parameters.items(), *vit.named_parameters()]:
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
    ids, segments, mask = random_text()
    loss = torch.nn.functional.cross_entropy(model.mlm_logits(model(ids, segments, mask)).mT, ids)
    assert loss.item() == pytest.approx(math.log(V), abs=0.2)


# ------------------------------------------------------------------------------------------------- bad input


def test_too_many_tokens_or_none():
    model = random_bert()
    model(*random_text(CONTEXT))
    model(*random_text(1)[:2])
    with pytest.raises(ValueError, match="a sequence must have 1 to 23 tokens; got 24"):
        model(*random_text(CONTEXT + 1))
    with pytest.raises(ValueError, match="a sequence must have 1 to 23 tokens; got 0"):
        model(*random_text(0)[:1])


@pytest.mark.parametrize("bad", [-1, V, 10**6])
def test_ids_outside_the_vocabulary(bad):
    ids, segments, mask = random_text()
    ids[1, 3] = bad
    with pytest.raises(ValueError, match=f"token ids run from 0 to 100; got {bad}$"):
        random_bert()(ids, segments, mask)


@pytest.mark.parametrize("bad", [-1, SEGMENTS])
def test_segments_out_of_range(bad):
    ids, segments, mask = random_text()
    segments[1, 3] = bad
    with pytest.raises(ValueError, match=f"segments run from 0 to 2; got {bad}$"):
        random_bert()(ids, segments, mask)


def test_segments_and_masks_of_another_shape(own_errors):
    model, (ids, segments, mask) = random_bert(), random_text()
    with pytest.raises(ValueError, match=r"segments must have ids' shape \(2, 11\); got \(11,\)"):
        model(ids, segments[0])
    with pytest.raises(ValueError, match=r"mask must have ids' shape \(2, 11\); got \(2, 1, 11\)"):
        model(ids, segments, mask[:, None])
    with pytest.raises(ValueError, match="mask must be boolean"):
        model(ids, segments, mask.long())


@pytest.mark.parametrize("image_size", [(14, 21), (15, 20)])
def test_patches_that_do_not_divide_the_image(image_size):
    height, width = image_size
    with pytest.raises(ValueError, match=f"patches of 3 x 3 do not fill an image of {height} x {width}"):
        random_vit(image_size=image_size)
    with pytest.raises(ValueError, match=f"patches of 0 x 0 do not fill an image of {height} x {width}"):
        random_vit(image_size=image_size, patch_size=0)


@pytest.mark.parametrize("shape", [(B, CHANNELS, WIDTH, HEIGHT), (B, CHANNELS + 1, HEIGHT, WIDTH)])
def test_another_image_than_configured(shape):
    message = r"images must be \(batch, 2 channels, height 15, width 21\); got \(2, "
    model = random_vit()
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=message + ", ".join(map(str, shape[1:])) + r"\)"):
            call(torch.zeros(shape))


def test_an_image_without_a_batch(own_errors):
    with pytest.raises(ValueError, match=r"height 15, width 21\); got \(2, 15, 21\)"):
        random_vit()(torch.zeros(CHANNELS, HEIGHT, WIDTH))


@pytest.mark.parametrize("make", [random_bert, random_vit])
def test_heads_that_do_not_divide_the_width(make):
    with pytest.raises(ValueError, match="n_heads must divide d_model: got n_heads=5, d_model=21"):
        make(n_heads=5)


@pytest.mark.parametrize("activation", ["swiglu", "tanh"])
def test_a_head_cannot_be_gated(own_errors, activation):
    with pytest.raises(ValueError, match=f"^activation must be gelu, gelu_tanh or relu; got '{activation}'$"):
        random_bert(activation=activation)


def test_an_empty_batch():
    bert, vit = random_bert(), random_vit()
    ids, segments, mask = (part[:0] for part in random_text())
    hidden = bert(ids, segments, mask)
    assert hidden.shape == (0, T, D)
    assert bert.mlm_logits(hidden).shape == (0, T, V)
    assert bert.next_sentence_logits(hidden).shape == (0, 2)
    assert vit(torch.zeros(0, CHANNELS, HEIGHT, WIDTH)).shape == (0, CLASSES)


def test_no_tokens_have_no_first_one():
    with pytest.raises(ValueError, match=r"^the first token's vector is needed; got no tokens$"):
        random_bert().next_sentence_logits(torch.zeros(B, 0, D))
