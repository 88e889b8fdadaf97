"""Packed weights against the same weights unpacked: torch's product has 8 bits, so to about a hundredth."""

import os
import re
import subprocess
import sys

import gguf
import numpy as np
import pytest
import small_gguf
import torch
from torch import nn

from course_lib import packed, probing
from course_lib.attention import MultiHeadAttention
from course_lib.blocks import FeedForward
from course_lib.data import python_topics
from course_lib.decoder import GPT, GPTConfig
from course_lib.generation import generate
from course_lib.gguf_file import PackedTensor
from course_lib.packed import (
    BEST,
    MANY,
    PackedAttention,
    PackedFeedForward,
    PackedHead,
    PackedLinear,
    PackedTable,
    pack,
    why_not,
)
from course_lib.positions import RotaryEmbedding
from course_lib.pretrained import load_gguf, load_smollm2
from course_lib.widgets.microscope import Microscope
from course_lib.widgets.microscope.recording import unpacked_all

CPU = torch.device("cpu")
quick_here = pytest.mark.skipif(why_not(CPU) is not None, reason=str(why_not(CPU)))
D, HEADS, KV_HEADS, D_FF = 96, 3, 1, 160
VOCAB = 53


def matrix(n_out, n_in, packing="Q4_1"):
    """Random weights as a file holds them, small enough that layers neither fade nor explode."""
    values = np.random.normal(size=(n_out, n_in)).astype(np.float32) / n_in**0.5  # noqa: NPY002 (seeded by conftest)
    kind = gguf.GGMLQuantizationType[packing]
    return PackedTensor((n_out, n_in), kind, gguf.quantize(values, kind))


def assert_near(found, expected):
    """The usual error is a hundredth of the usual size."""
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.02 * expected.norm()


# ------------------------------------------------------------------------------------------------ the parts


@quick_here
@pytest.mark.parametrize("n_tokens", [1, 5, MANY - 1, MANY, MANY + 3])
def test_one_product_gives_what_several_matrices_give(n_tokens):
    matrices = [matrix(48, 96), matrix(16, 96), matrix(112, 96)]
    x = torch.randn(2, n_tokens, 96)[:1]
    together = PackedLinear(*matrices)(x)
    parts = together.split([48, 16, 112], dim=-1)
    for part, weights in zip(parts, matrices, strict=True):
        assert_near(part, x @ weights.unpack().T)


@quick_here
@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_any_precision_comes_in_and_bfloat16_goes_out(monkeypatch, dtype, able):
    monkeypatch.setattr(packed, "has_bfloat16", lambda device: able)
    weights = matrix(32, 64)
    for n_tokens in (3, MANY):
        x = torch.randn(n_tokens, 64).to(dtype)
        y = PackedLinear(weights)(x)
        assert y.dtype == torch.bfloat16
        assert_near(y, x.float() @ weights.unpack().T)


@quick_here
def test_a_packed_linear_holds_five_bits_a_weight():
    linear = PackedLinear(matrix(512, 1024))
    assert list(linear.parameters()) == []
    assert sum(buffer.nbytes for buffer in linear.buffers()) == 512 * 1024 * (4 + 32 / 32) / 8


@pytest.mark.parametrize(
    ("shape", "packing", "message"),
    [
        ((32, 64), "Q8_0", "packed weights must be Q4_1; got Q8_0"),
        ((24, 64), "Q4_1", r"\(a multiple of 16, a multiple of 32\); got \(24, 64\)"),
    ],
)
def test_matrices_that_torch_cannot_take(shape, packing, message):
    with pytest.raises(ValueError, match=message):
        PackedLinear(matrix(*shape, packing))


@quick_here
@pytest.mark.parametrize("start", [0, 7])
def test_attention_is_the_same(start):
    plain = MultiHeadAttention(
        D, HEADS, n_kv_heads=KV_HEADS, bias=False, causal=True, rotary=RotaryEmbedding(D // HEADS, 23)
    )
    width = D // HEADS
    q, k, v, out = matrix(D, D), matrix(width, D), matrix(width, D), matrix(D, D)
    for name, weights in {"q_proj": q, "k_proj": k, "v_proj": v, "out_proj": out}.items():
        getattr(plain, name).weight = nn.Parameter(weights.unpack())
    ours = PackedAttention(plain, PackedLinear(q, k, v), PackedLinear(out))
    x = torch.randn(2, 5, D)
    with torch.no_grad():
        for found, expected in zip(ours.project(x, x, start), plain.project(x, x, start), strict=True):
            assert_near(found, expected)
        assert_near(ours(x), plain(x))
    assert sorted(name for name, _ in ours.named_children()) == ["out_proj", "qkv_proj", "rotary"]
    with pytest.raises(ValueError, match="out of one sequence"):
        ours(x, torch.randn(2, 3, D))
    with pytest.raises(ValueError, match="load the model in float32"), probing.scores_scaled(ours, 2.0):
        pass
    for beyond in (17, 23):  # 5 positions are left, and none
        with pytest.raises(ValueError, match=rf"^positions go up to 23; 7 tokens from {beyond} on need"):
            ours.project(*[torch.randn(2, 7, D)] * 2, beyond)


@quick_here
def test_the_mlp_is_the_same():
    plain = FeedForward(D, D_FF, activation="swiglu", bias=False)
    gate, up, down = matrix(D_FF, D), matrix(D_FF, D), matrix(D, D_FF)
    for name, weights in {"gate_proj": gate, "up_proj": up, "down_proj": down}.items():
        getattr(plain, name).weight = nn.Parameter(weights.unpack())
    x = torch.randn(2, 5, D)
    with torch.no_grad():
        assert_near(PackedFeedForward(PackedLinear(gate, up), PackedLinear(down))(x), plain(x))


@pytest.mark.parametrize("packing", ["Q8_0", "Q4_1", "F32"])
def test_a_table_gives_the_file_s_rows(packing):
    weights = matrix(VOCAB, 64, packing)
    ids = torch.tensor([[3, 0, 52], [3, 3, 7]])
    assert torch.equal(PackedTable(weights)(ids), weights.unpack()[ids])


@quick_here
def test_the_best_scores_have_all_their_bits():
    """In bfloat16 the scores above 16 are eighths, and the first of two equal ones would win."""
    weights = matrix(97, 64, "Q8_0")
    x = 200 * torch.randn(2, 3, 64)
    scores = PackedHead(PackedTable(weights))(x)
    exact = x @ weights.unpack().T
    assert_near(scores, exact)
    best = exact.topk(BEST // 2).indices
    torch.testing.assert_close(scores.gather(-1, best), exact.gather(-1, best), rtol=1e-5, atol=1e-3)
    assert torch.equal(scores.argmax(-1), exact.argmax(-1))


@quick_here
def test_a_head_of_few_rows():
    weights = matrix(5, 64, "Q8_0")
    x = torch.randn(3, 64)
    torch.testing.assert_close(PackedHead(PackedTable(weights))(x), x @ weights.unpack().T)


# ----------------------------------------------------------------------------------------- the whole model


@pytest.fixture
def small(tmp_path):
    """Writes a small model's file; its table is Q8_0, as SmolLM2's is."""

    def write(*, tied=True, packing="Q4_1"):
        shapes = small_gguf.shapes(VOCAB, D, D_FF) | ({} if tied else {"output": (VOCAB, D)})
        tensors = {
            name: matrix(*shape, packing if name.startswith("blk") else "Q8_0")
            for name, shape in shapes.items()
        }
        tensors |= dict.fromkeys(small_gguf.NORMS, np.linspace(0.5, 1.5, D, dtype=np.float32))
        tokens = [*(chr(ord("A") + i) for i in range(VOCAB - 1)), "AB"]
        return small_gguf.write(tmp_path / "small.gguf", tensors, tokens=tokens, d_model=D, d_ff=D_FF)

    return write


@quick_here
@pytest.mark.parametrize("tied", [True, False])
def test_a_packed_model_scores_as_its_float32_twin(small, tied):
    path = small(tied=tied)
    plain, ours = load_gguf(path, CPU)[0], load_gguf(path, CPU, weights="packed")[0]
    assert any(isinstance(part, PackedLinear) for part in ours.modules())
    assert not any(isinstance(part, nn.Linear) for part in ours.modules())
    assert not any(part.training for part in ours.modules())
    ids = torch.randint(VOCAB, (2, 83))
    with torch.no_grad():
        for n_tokens in (7, 83):  # 14 tokens as they are, 166 unpacked
            assert_near(ours(ids[:, :n_tokens]), plain(ids[:, :n_tokens]))


@quick_here
def test_a_packed_model_writes_with_a_cache_what_it_writes_without(small):
    """Below `MANY` tokens at once the sums are the same, also token by token, whatever stands beside them."""
    model = load_gguf(small(), CPU, weights="packed")[0]
    ids = torch.randint(VOCAB, (2, 11))
    written = generate(model, ids, 19)
    assert torch.equal(written, generate(model, ids, 19, use_cache=False))
    assert torch.equal(written[:1], generate(model, ids[:1], 19))


@quick_here
@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_no_rows_and_no_tokens_give_an_empty_result(small, shape):
    model = load_gguf(small(), CPU, weights="packed")[0]
    scores = model(torch.zeros(shape, dtype=torch.long))
    assert (scores.shape, scores.dtype) == ((*shape, VOCAB), torch.float32)


@quick_here
def test_changed_positions_are_felt(small):
    path = small()
    plain, ours = load_gguf(path, CPU)[0], load_gguf(path, CPU, weights="packed")[0]
    ids = torch.randint(VOCAB, (2, 11))
    with torch.no_grad():
        before = ours(ids)
        with (
            probing.positions_changed(plain, lambda t: 5 * t),
            probing.positions_changed(ours, lambda t: 5 * t),
        ):
            assert (ours(ids) - before).norm() > 0.1 * before.norm()
            assert_near(ours(ids), plain(ids))
        with probing.replaced(ours, RotaryEmbedding, lambda rotary, x, start: x):
            unturned = ours(ids)
        with probing.positions_changed(ours, lambda t: 0 * t):
            assert torch.equal(ours(ids), unturned)
        assert torch.equal(ours(ids), before)


@quick_here
@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("convert", "got"),
    [
        (lambda part: part.to(torch.bfloat16), "torch.bfloat16 on cpu"),
        (lambda part: part.half(), "torch.float16 on cpu"),
        (lambda part: part.double(), "torch.float64 on cpu"),
        (lambda part: part.to("meta"), "torch.float32 on meta"),
    ],
)
def test_a_packed_model_keeps_its_precision_and_its_place(small, convert, got):
    model = load_gguf(small(), CPU, weights="packed")[0]
    ids = torch.randint(VOCAB, (2, 11))
    with torch.no_grad():
        before = model(ids)
        message = rf"^packed weights stay in torch.float32 on cpu; got {got}: load the model in float32$"
        for part in (model, model.lm_head, model.stack.blocks[1].attention):
            with pytest.raises(ValueError, match=message):
                convert(part)
        assert torch.equal(model(ids), before)  # nothing is changed by halves
        assert torch.equal(model.float().to(CPU)(ids), before)


@quick_here
def test_own_attention_still_mixes(small):
    model = load_gguf(small(), CPU, weights="packed")[0]
    calls = []
    model.use_attention(lambda q, k, v, mask: calls.append(mask) or torch.zeros_like(q))
    model(torch.tensor([[1, 2, 3]]))
    assert len(calls) == small_gguf.LAYERS


def test_positions_that_are_not_rotary_are_refused():
    model = GPT(GPTConfig(vocab_size=7, max_seq_len=5, d_model=4, n_layers=1, n_heads=2))
    with pytest.raises(
        ValueError, match=r"^packed weights need positions='rotary'; the model has 'learned'$"
    ):
        pack(model, {})


# ------------------------------------------------------------------------------------- where it cannot be


@pytest.fixture
def asked_anew():
    """`why_not` tries torch's products once in a process."""
    packed._what_torch_lacks.cache_clear()
    yield
    packed._what_torch_lacks.cache_clear()


def raises(*_):
    raise RuntimeError("no such operation")


def zeros(x, numbers, scales):
    return torch.zeros(1, 16)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("_pack_4", raises, r"^torch .* lacks the products with packed weights \(no such operation\)$"),
        ("_product_4", zeros, "is not that with unpacked ones$"),
        ("_product_8", zeros, "is not that with unpacked ones$"),
        ("torch.ops.aten._weight_int4pack_mm_for_cpu", raises, r"lacks .* \(no such operation\)$"),
        ("sys.platform", "win32", r"^torch has no quick product .* for this processor \(.*, win32\)$"),
        ("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT", r"processor \(DEFAULT, linux\)$"),
    ],
)
def test_where_packed_weights_cannot_be_used_they_are_float32(
    small, monkeypatch, asked_anew, name, value, reason
):
    path = small()
    monkeypatch.setattr(packed.sys, "platform", "linux")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(f"course_lib.packed.{name}", value)
    if "processor" in reason:  # as it must be there: nothing is said
        model = load_gguf(path, CPU, weights="packed")[0]
    else:
        with pytest.warns(
            UserWarning, match=f"^the weights are unpacked, which is slower: .*{reason.strip('^')}"
        ):
            model = load_gguf(path, CPU, weights="packed")[0]
    assert re.search(reason, why_not(CPU))
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert isinstance(model.lm_head, nn.Linear)


@quick_here
@pytest.mark.parametrize("packing", ["Q8_0", "F16", "Q4_0", "BF16"])
def test_files_that_are_packed_in_another_way_are_float32(small, packing):
    path = small(packing=packing)
    reason = f"packed weights must be Q4_1; got {packing}"
    with pytest.warns(UserWarning, match=f"^the weights are unpacked, which is slower: {reason}$"):
        ours = load_gguf(path, CPU, weights="packed")[0]
    plain = load_gguf(path, CPU)[0].state_dict()
    assert all(torch.equal(weight, plain[name]) for name, weight in ours.state_dict().items())
    assert why_not(CPU, [matrix(16, 32), matrix(16, 32, packing)]) == reason
    assert why_not(CPU, [matrix(24, 32)]).endswith("(a multiple of 16, a multiple of 32); got (24, 32)")


def test_another_device_has_no_packed_weights(small):
    model = load_gguf(small(), torch.device("meta"), weights="packed")[0]
    assert all(parameter.is_meta for parameter in model.parameters())


COMPARE = """
import sys, torch
from course_lib.pretrained import load_gguf
plain, ours = (load_gguf(sys.argv[1], torch.device("cpu"), weights=w)[0] for w in ("float32", "packed"))
ids = torch.arange(30)[None]
with torch.no_grad():
    near = (ours(ids) - plain(ids)).norm() < 0.02 * plain(ids).norm()
print(type(ours.lm_head).__name__, bool(near))
"""


def test_an_older_processor(small):
    """torch is told to use what such a processor has: no difference that matters, or float32."""
    run = subprocess.run(
        [sys.executable, "-c", COMPARE, small()],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"ATEN_CPU_CAPABILITY": "avx2"},
    )
    head, equal = run.stdout.split()
    assert head in ["PackedHead", "Linear"]
    assert equal == "True"


# ------------------------------------------------------------------------------------------------- SmolLM2


@pytest.fixture(scope="module")
def packed_smollm2():
    if why_not(CPU) is not None:
        pytest.skip(str(why_not(CPU)))
    return load_smollm2(device=CPU, weights="packed")


def loss(model, ids):
    with torch.inference_mode():
        return nn.functional.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:]).item()


def test_four_bits_cost_smollm2_no_hundredth_of_a_nat(smollm2, packed_smollm2):
    """Read as one text (unpacked), and a few tokens at a time (packed)."""
    model, tokenizer = smollm2
    ours = packed_smollm2[0]
    ids = torch.tensor([tokenizer.encode(python_topics()["class"])[:240]])
    expected = loss(model, ids)
    assert abs(loss(ours, ids) - expected) < 0.01
    cache = ours.new_cache(1, ids.shape[1])
    with torch.inference_mode():
        pieces = [ours(piece, cache)[0] for piece in ids[:, :-1].split(MANY - 1, dim=1)]
    assert abs(nn.functional.cross_entropy(torch.cat(pieces), ids[0, 1:]).item() - expected) < 0.02


def test_the_microscope_reads_and_writes_with_packed_weights(packed_smollm2):
    scope = Microscope(*packed_smollm2, "The capital of Italy is")
    scope.draw(temperature=0)
    assert scope.text == "The capital of Italy is Rome"
    # A recording of other weights is not taken for what these say.
    scope.text = "The capital of France is"
    found = scope.texts[0]
    assert "off_p" not in found["arrays"]
    assert found["pieces"][unpacked_all(found["arrays"])["next_ids"][4, 0]] == " Paris"
    scope.on_needs(22)
    off = unpacked_all(scope.piece["needs"]["arrays"])["off_p"]
    assert off[1, 4, 4, 0] / 65535 == pytest.approx(0.14, abs=0.05)


def test_packed_smollm2_is_small(packed_smollm2):
    """135 million weights in float32 are 538 MB."""
    tensors = {
        t.data_ptr(): t.nbytes for t in [*packed_smollm2[0].parameters(), *packed_smollm2[0].buffers()]
    }
    assert sum(tensors.values()) < 110e6
