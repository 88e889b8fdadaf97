"""Real weights in our classes, against `transformers` on the same file; and files that are not right."""

import shutil

import gguf
import jinja2
import numpy as np
import pytest
import torch
import transformers

from course_lib import pretrained
from course_lib.generation import generate
from course_lib.pretrained import MissingModelError, chat_prompt, load_gguf, load_smollm2, smollm2_path

CPU = torch.device("cpu")
TEXTS = [
    "Attention is all you need: the Transformer, a model architecture eschewing recurrence (2017).\n",
    "def f(x):\n    return x**2 + 31  # 四 ç 😀",
    "Q",
]


@pytest.fixture(scope="session")
def smollm2():
    return load_smollm2(device=CPU)


@pytest.fixture(scope="session")
def hugging_face():
    path = smollm2_path()
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()


def test_logits_equal_hugging_face(smollm2, hugging_face):
    model, tokenizer = smollm2
    for text in [*TEXTS, chat_prompt("What is the capital of France?")]:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            torch.testing.assert_close(model(ids), hugging_face(ids).logits, rtol=0, atol=1e-4)


def test_weights_equal_hugging_face(smollm2, hugging_face):
    assert sum(p.numel() for p in smollm2[0].parameters()) == sum(
        p.numel() for p in hugging_face.parameters()
    )
    assert torch.equal(smollm2[0].lm_head.weight, hugging_face.lm_head.weight)
    assert smollm2[0].lm_head.weight is smollm2[0].token_embedding.weight


def test_the_tokenizer_is_the_file_s(smollm2):
    """What the metadata must switch on: digits apart, special tokens whole."""
    model, tokenizer = smollm2
    assert tokenizer.vocab_size == model.config.vocab_size == 49152
    assert tokenizer.pieces("<|im_start|>In 2017 it's\n") == [
        "<|im_start|>",
        "In",
        " ",
        "2",
        "0",
        "1",
        "7",
        " it",
        "'s",
        "\n",
    ]
    assert tokenizer.encode("<|endoftext|><|im_start|><|im_end|>") == [0, 1, 2]


def test_ready_to_use(smollm2):
    model = smollm2[0]
    assert not model.training
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert tensor.device == CPU, name
        assert tensor.dtype == torch.float32, name
        assert not tensor.requires_grad, name
    assert model.config.max_seq_len == 8192


def test_it_answers(smollm2):
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(chat_prompt("What is the capital of France?"))])
    new = generate(model, ids, 23, eos_id=tokenizer.special_tokens["<|im_end|>"])[0, ids.shape[1] :]
    assert tokenizer.decode(new.tolist()).startswith("The capital of France is Paris")
    assert new[-1] == tokenizer.special_tokens["<|im_end|>"]


def test_it_knows_the_paper_s_title(smollm2):
    model, tokenizer = smollm2
    probabilities = model(torch.tensor([tokenizer.encode("The paper is called Attention is all you")]))[
        0, -1
    ].softmax(-1)
    assert tokenizer.decode([int(probabilities.argmax())]) == " need"


def test_chat_prompt_equals_the_file_s_template():
    template = gguf.GGUFReader(smollm2_path()).fields["tokenizer.chat_template"].contents()
    render = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render
    question = "What is\n  a {{ token }}?"
    user = {"role": "user", "content": question}
    system = {"role": "system", "content": "Be brief."}
    assert chat_prompt(question) == render(messages=[user], add_generation_prompt=True)
    assert chat_prompt(question, "Be brief.") == render(messages=[system, user], add_generation_prompt=True)


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


@pytest.mark.parametrize("kept", [0, 3, 24, 1_009, 500_009, -1])
def test_a_truncated_file(tmp_path, kept):
    """Cut in the header, in the metadata, in the tensors, and one byte before the end."""
    size = smollm2_path().stat().st_size
    kept = size - 1 if kept == -1 else kept
    path = tmp_path / "cut.gguf"
    with smollm2_path().open("rb") as whole, path.open("wb") as part:
        shutil.copyfileobj(_Head(whole, kept), part)
    message = rf"cut.gguf \({kept:,} bytes\) is not a complete GGUF file: it was cut off or damaged; install"
    with pytest.raises(ValueError, match=message):
        load_smollm2(path, CPU)


class _Head:
    """The first bytes of a file."""

    def __init__(self, file, n_bytes):
        self.file, self.left = file, n_bytes

    def read(self, size):
        block = self.file.read(min(size, self.left))
        self.left -= len(block)
        return block


def test_one_wrong_byte(tmp_path):
    path = tmp_path / "changed.gguf"
    shutil.copyfile(smollm2_path(), path)
    with path.open("r+b") as file:
        file.seek(-1_000_003, 2)  # among the weights
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(
        ValueError,
        match=r"changed.gguf has SHA-256 [0-9a-f]{12}\.\.\., expected b179c9523d0e\.\.\.: it is not",
    ):
        load_smollm2(path, CPU)


def test_not_a_model_at_all(tmp_path):
    path = tmp_path / "text.gguf"
    path.write_text("Not a model.\n" * 1_009)
    with pytest.raises(ValueError, match=r"text.gguf \(13,117 bytes\) is not a complete GGUF file"):
        load_gguf(path, CPU)


# ------------------------------------------------------------------------------------------------ small files

TOKENS = ["a", "b", "ab", "<end>", "c"]
D, KV, D_FF, LAYERS = 12, 4, 13, 2  # three heads of four, one for keys and values


def tiny_tensors():
    rng = np.random.default_rng(0)
    shapes = {
        "token_embd.weight": (len(TOKENS), D),
        "output_norm.weight": (D,),
        "output.weight": (len(TOKENS), D),
    }
    for n in range(LAYERS):
        shapes |= {
            f"blk.{n}.attn_norm.weight": (D,), f"blk.{n}.ffn_norm.weight": (D,),
            f"blk.{n}.attn_q.weight": (D, D), f"blk.{n}.attn_output.weight": (D, D),
            f"blk.{n}.attn_k.weight": (KV, D), f"blk.{n}.attn_v.weight": (KV, D),
            f"blk.{n}.ffn_gate.weight": (D_FF, D), f"blk.{n}.ffn_up.weight": (D_FF, D),
            f"blk.{n}.ffn_down.weight": (D, D_FF),
        }  # fmt: skip
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(path, tensors, *, architecture="llama", tokenizer="gpt2"):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(23)
    writer.add_embedding_length(D)
    writer.add_block_count(LAYERS)
    writer.add_head_count(3)
    writer.add_head_count_kv(1)
    writer.add_feed_forward_length(D_FF)
    writer.add_layer_norm_rms_eps(0.03125)
    writer.add_rope_freq_base(523.0)
    if tokenizer is not None:
        writer.add_tokenizer_model(tokenizer)
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(TOKENS)
        writer.add_token_types([1, 1, 1, 3, 1])
        writer.add_token_merges(["a b"])
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_small_file_with_an_output_layer_of_its_own(tmp_path):
    tensors = tiny_tensors()
    model, tokenizer = load_gguf(write(tmp_path / "tiny.gguf", tensors), CPU)
    config = model.config
    assert (config.max_seq_len, config.d_model, config.n_layers, config.n_heads, config.n_kv_heads) == (
        23,
        12,
        2,
        3,
        1,
    )
    assert (config.d_ff, config.norm_eps, config.rotary_base, config.tied) == (13, 0.03125, 523.0, False)
    for ours, theirs in {
        "token_embedding": "token_embd", "lm_head": "output", "stack.norm": "output_norm",
        "stack.blocks.1.attention.k_proj": "blk.1.attn_k",
        "stack.blocks.0.feed_forward.gate_proj": "blk.0.ffn_gate",
        "stack.blocks.1.feed_forward_norm": "blk.1.ffn_norm",
        "stack.blocks.0.attention_norm": "blk.0.attn_norm",
    }.items():  # fmt: skip
        assert np.array_equal(model.get_submodule(ours).weight.numpy(), tensors[f"{theirs}.weight"]), ours
    assert tokenizer.encode("abc<end>") == [2, 4, 3]
    assert model(torch.tensor([[2, 4, 3]])).isfinite().all()


def test_the_default_device_is_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "best_device", lambda: torch.device("meta"))
    model, _ = load_gguf(write(tmp_path / "tiny.gguf", tiny_tensors()))
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "bert"},
            r"tiny.gguf holds a 'bert' model with a 'gpt2' tokenizer; expected 'llama' with 'gpt2'",
        ),
        (
            {"tokenizer": "llama"},
            r"holds a 'llama' model with a 'llama' tokenizer; expected 'llama' with 'gpt2'",
        ),
        ({"tokenizer": None}, r"holds a 'llama' model with a None tokenizer; expected 'llama' with 'gpt2'"),
    ],
    ids=str,
)
def test_another_kind_of_model(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_gguf(write(tmp_path / "tiny.gguf", tiny_tensors(), **changes), CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("blk.1.attn_k.weight"), r"Missing key\(s\).*stack.blocks.1.attention.k_proj.weight"),
        (
            lambda t: t.update({"blk.0.attn_q.bias": np.ones(D, np.float32)}),
            r"Unexpected key\(s\).*q_proj.bias",
        ),
        (
            lambda t: t.update({"output.weight": np.ones((7, D), np.float32)}),
            r"size mismatch for lm_head.weight",
        ),
    ],
    ids=["missing", "extra", "shape"],
)
def test_tensors_that_do_not_fit(tmp_path, change, message):
    tensors = tiny_tensors()
    change(tensors)
    with pytest.raises(ValueError, match=r"(?s)the file's tensors do not fit the model: .*" + message):
        load_gguf(write(tmp_path / "tiny.gguf", tensors), CPU)


def test_a_hash_is_checked_where_it_is_given(tmp_path):
    path = write(tmp_path / "tiny.gguf", tiny_tensors())
    with pytest.raises(
        ValueError, match=r"tiny.gguf has SHA-256 [0-9a-f]{12}\.\.\., expected 000000000000\.\.\."
    ):
        load_gguf(path, CPU, sha256="0" * 64)
