"""What BERT and ViT must do; `test_pretrained` compares them with Hugging Face's, weight by weight."""

import math
import re

import pytest
import torch
import transformers
from tensors import assert_close, randomise, seeded

from course_lib.encoder import BERT, BERTConfig, ViT, ViTConfig

B, T, V, CONTEXT, SEGMENTS, D, LAYERS, HEADS, D_FF = 2, 11, 101, 23, 3, 21, 3, 3, 37
HEIGHT, WIDTH, PATCH, CHANNELS, CLASSES = 15, 21, 3, 2, 13
BERT_SIZES = {"vocab_size": V, "max_seq_len": CONTEXT, "n_segments": SEGMENTS}
VIT_SIZES = {"patch_size": PATCH, "n_channels": CHANNELS, "n_classes": CLASSES}
SIZES = {"d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "d_ff": D_FF}


def random_bert(**changes):
    return randomise(BERT(BERTConfig(**(BERT_SIZES | SIZES | changes))))


def random_vit(**changes):
    return randomise(ViT(ViTConfig(**({"image_size": (HEIGHT, WIDTH)} | VIT_SIZES | SIZES | changes))))


def random_text(t=T):
    """Ids, segments and a mask with padding at both ends of different rows."""
    generator = seeded()
    ids = torch.randint(V, (B, t), generator=generator)
    segments = torch.randint(SEGMENTS, (B, t), generator=generator)
    mask = torch.ones(B, t, dtype=torch.bool)
    mask[0, -3:] = False
    mask[1, 1:2] = False
    return ids, segments, mask


def test_the_defaults_are_those_of_bert():
    ours, theirs = BERTConfig(**BERT_SIZES | SIZES), transformers.BertConfig()
    assert (ours.norm_eps, ours.activation) == (theirs.layer_norm_eps, theirs.hidden_act)
    plain = BERTConfig(vocab_size=V, max_seq_len=CONTEXT, d_model=D, n_layers=1, n_heads=HEADS)
    assert plain.n_segments == theirs.type_vocab_size
    assert BERT(plain).stack.blocks[0].feed_forward.up_proj.out_features == 4 * D


# ------------------------------------------------------------------------------- what every encoder must do


@pytest.mark.parametrize("n_real", [1, 7])
def test_padding_does_not_change_real_tokens(n_real):
    model = random_bert().double()
    ids, segments, _ = random_text()
    mask = (torch.arange(T) < n_real).expand(B, -1)
    padded = model(ids, segments, mask)[:, :n_real]
    assert_close(padded, model(ids[:, :n_real], segments[:, :n_real]), 1e-10)
    other = torch.where(mask, ids, (ids + 1) % V)  # bit-identical, whatever the padding holds
    assert torch.equal(model(other, segments, mask)[:, :n_real], padded)


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


@pytest.mark.parametrize(
    "shape", [(B, CHANNELS, WIDTH, HEIGHT), (B, CHANNELS + 1, HEIGHT, WIDTH), (CHANNELS, HEIGHT, WIDTH)]
)
def test_another_image_than_configured(own_errors, shape):
    message = f"images must be (batch, 2 channels, height 15, width 21); got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        random_vit()(torch.zeros(shape))


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
