"""The flow explorer without a browser: every number is the library's, every question is answered."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explorers import ask, keeps_the_frame, letter_model, unpacked
from torch import nn

from course_lib import probing
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c07_mlm_vs_next_token.explorer import Characters
from course_lib.concepts.c09_real_models.explorer import FlowExplorer
from course_lib.decoder import GPT, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.generation import next_token_probabilities


def flow_model(**options: object) -> GPT:
    torch.manual_seed(3)
    sizes = {"vocab_size": 97, "max_seq_len": 29, "d_model": 24, "n_layers": 3, "n_heads": 6}
    model = GPT(LlamaConfig(**(sizes | {"n_kv_heads": 2} | options))).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 12
    return model


@pytest.fixture(scope="module")
def flowing() -> GPT:
    return flow_model()


@pytest.fixture
def flow(flowing: GPT) -> FlowExplorer:
    return FlowExplorer(flowing, Characters(), "a cat", examples=["the dog", "a cat"], layer=1)


def flow_rows(packed: str, *axes: int) -> np.ndarray:
    """Length and first coordinates of each vector."""
    return unpacked(packed, np.float32).reshape(*axes, -1)


def test_the_flow_shows_the_parts_of_the_real_pass(flow: FlowExplorer, flowing: GPT) -> None:
    ids = Characters().encode("a cat")
    for layer in range(3):
        parts, block = probing.parts_of(flowing, ids, layer), flow.blocks[str(layer)]
        for name in (
            "stream",
            "attention_input",
            "attention",
            "middle",
            "mlp_input",
            "gate",
            "hidden",
            "output",
        ):
            rows, vectors = flow_rows(block["numbers"][name], 5), getattr(parts, name)
            np.testing.assert_allclose(rows[:, 1:], vectors[:, :6], atol=6e-4)
            np.testing.assert_allclose(rows[:, 0], vectors.norm(dim=-1), atol=6e-4)
        for name, heads in (("q", 6), ("turned_q", 6), ("k", 2), ("turned_k", 2), ("v", 2), ("mix", 6)):
            rows, vectors = flow_rows(block["numbers"][name], heads, 5), getattr(parts, name)
            np.testing.assert_allclose(rows[:, :, 1:5], vectors, atol=6e-4)  # heads of width 4
        for name in ("products", "scores", "weights"):
            shown = unpacked(block[name], np.float32).reshape(6, 5, 5)
            np.testing.assert_allclose(shown, getattr(parts, name), atol=6e-4)
    with torch.no_grad(), probing.recorded(flowing) as seen:
        flowing(torch.tensor([ids]))
    stream = flowing.embed(torch.tensor([ids]))[0].detach()
    shares = unpacked(flow.view["shares"], np.float32).reshape(3, 2, 5)
    expected = seen.attention[0][0].norm(dim=-1) / stream.norm(dim=-1)
    np.testing.assert_allclose(shares[0, 0], expected, rtol=1e-3, atol=6e-4)
    after = seen.streams[1][0] + seen.attention[2][0]
    expected = seen.feed_forward[2][0].norm(dim=-1) / after.norm(dim=-1)
    np.testing.assert_allclose(shares[2, 1], expected, rtol=1e-3, atol=6e-4)


def test_the_end_of_the_flow_is_computed_step_by_step(flow: FlowExplorer, flowing: GPT) -> None:
    flow.settings(0.5, 7, 0.6)
    ids = torch.tensor([Characters().encode("a cat")])
    logits = flowing(ids)[0, -1].detach()
    final = next_token_probabilities(logits, temperature=0.5, top_k=7, top_p=0.6)
    rows = flow.state["end"]["rows"]
    likely = logits.topk(10).indices.tolist()
    soft = (logits / 0.5).softmax(-1)
    for row, token in zip(rows, likely, strict=True):
        numbers = [float(cell.replace("−", "-")) for cell in row[1:3]]
        assert numbers == pytest.approx([logits[token].item(), logits[token].item() / 0.5], abs=6e-4)
        shares = [float(row[column].removesuffix(" %")) for column in (3, 6)]
        assert shares == pytest.approx([100 * soft[token].item(), 100 * final[token].item()], abs=0.06)
    assert [row[4] for row in rows] == ["kept"] * 7 + ["out"] * 3
    assert [row[5] == "kept" for row in rows] == (final[likely] > 0).tolist()
    assert flow.state["end"]["rest"][0] == "87 others"
    assert flow.state["end"]["rest"][4:] == ["0 kept", "0 kept", "0.0 %"]
    flow.settings(0, None, None)
    assert [row[6] for row in flow.state["end"]["rows"]] == ["100.0 %"] + ["0.0 %"] * 9
    assert ask(flow, "settings", temperature=-1, top_k=0, top_p=1).startswith("temperature must be")
    assert ask(flow, "settings", temperature=1, top_k=0, top_p=1) == ""
    assert flow.state["end"]["settings"] == {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def test_the_model_writes_into_the_flow(flow: FlowExplorer, flowing: GPT) -> None:
    ids = Characters().encode("a cat")
    best = int(flowing(torch.tensor([ids]))[0, -1].argmax())
    flow.write(likeliest=True)
    assert flow.view["ids"] == [*ids, best]
    assert flow.text == Characters().decode([*ids, best])
    assert flow.state["note"].startswith("Taken: ")
    assert ask(flow, "write", likeliest=False) == ""
    assert len(flow.view["ids"]) == 7
    assert flow.state["n_written"] == 2
    again = FlowExplorer(flowing, Characters(), flow.text)
    assert again.blocks == flow.blocks
    for n in (1, 0, 0):
        assert ask(flow, "back") == ""
        assert flow.state["n_written"] == n
    assert flow.view["ids"] == ids
    flow.text = "ab" * 12
    assert "room for 24 tokens" in ask(flow, "write", likeliest=True)
    flow.text = "ab" * 13
    assert flow.view["note"] == "Too long for one picture: 24 of 26 tokens are read."


def test_draws_of_the_flow_follow_the_settings(flowing: GPT, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.concepts.c09_real_models.explorer.SMALL", 0)
    explorer, ranks = FlowExplorer(flowing, Characters(), "a", temperature=2.0, top_k=2), []
    for _ in range(8):
        likely = [row[0] for row in explorer.state["end"]["rows"][:2]]
        explorer.write()
        ranks.append(likely.index(explorer.view["tokens"][-1]))
        explorer.take_back()
    assert {*ranks} == {0, 1}


def test_a_special_token_ends_the_flow() -> None:
    model, tokenizer = letter_model()
    explorer = FlowExplorer(model, tokenizer, "a cat", temperature=0)
    tokenizer.special_tokens["end"] = int(explorer._output[-1].argmax())
    before = explorer.view
    explorer.write()
    assert "It marks a beginning or an end" in explorer.state["note"]
    assert explorer.view == before


def test_the_parts_of_the_flow_are_described(flow: FlowExplorer) -> None:
    assert flow.view["text"].splitlines() == [
        "Decoder of 3 layers, 6 heads, 2 for keys and values, vectors of width 24, 97 tokens known.",
        "Tokens (5): a (1) | ␣ | c | a (4) | t",
    ]
    assert flow.view["lens"][1].startswith(
        "If layer 1 were the last one, the likeliest next token would be “"
    )
    parts = {part["id"]: part for part in flow.view["parts"]}
    assert len(parts) == len(flow.view["parts"]) == 16
    assert parts["weights"]["formula"] == "A = softmax(q kᵀ / √4) where key ≤ query"
    assert parts["weights"]["shapes"] == "A 6 × 5 × 5"
    weights = unpacked(flow.blocks["1"]["weights"], np.float32).reshape(6, 5, 5)[4, 3]
    assert f"a (4) looks most at {flow.view['names'][weights.argmax()]} " in flow.blocks["1"]["looks"][4][3]


def test_the_last_norm_of_the_flow_and_the_lens_agree_with_the_end(flow: FlowExplorer) -> None:
    piece, share = flow.state["end"]["rows"][0][0], float(flow.state["end"]["rows"][0][3][:-2])
    found = re.search(r"would be “(.+)” \((.+) %\)\.$", flow.view["lens"][-1])
    assert found is not None
    assert (found[1], float(found[2])) == (piece, pytest.approx(share, abs=0.11))
    assert len(flow.view["lens"]) == 3


def test_a_chat_models_flow(smollm2) -> None:
    explorer = FlowExplorer(*smollm2, layer=20)
    assert {*explorer.blocks} == {"20"}  # the others when they are asked for
    assert len(explorer.view["lens"]) == 30
    assert explorer.state["end"]["rows"][0][0] == "␣Paris"
    explorer.text = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    assert explorer.view["tokens"][:3] == ["<|im_start|>", "user", "↵"]
    explorer.write(likeliest=True)
    assert explorer.text.startswith("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")
    counts = dict(explorer.view["parameters"])
    assert max(counts, key=counts.get) == "MLPs"
    assert sum(counts.values()) == sum(each.numel() for each in smollm2[0].parameters())


@pytest.mark.parametrize(
    ("options", "ids", "formula"),
    [
        ({"positions": "learned", "activation": "gelu", "bias": True}, {"position"}, "x = E[id] + P[place]"),
        ({"positions": "alibi", "n_kv_heads": 6}, set(), "x = E[id]"),
    ],
)
def test_other_decoders_flow(options: dict, ids: set, formula: str) -> None:
    explorer = FlowExplorer(flow_model(**options), Characters(), "ab")
    parts = {part["id"]: part for part in explorer.view["parts"]}
    assert "rotation" not in parts
    assert parts["embedding"]["formula"] == formula
    assert ids <= {*explorer.view["numbers"]}
    assert ("gate" in explorer.blocks["0"]["numbers"]) == (options.get("activation") != "gelu")
    assert ("+ b" in parts["qkv"]["formula"]) == ("bias" in options)


def test_an_encoder_flows_to_a_sentence_vector() -> None:
    torch.manual_seed(5)
    model = BERT(BERTConfig(11, 17, d_model=12, n_layers=2, n_heads=3)).eval()
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sat"])
    explorer = FlowExplorer(model, tokenizer, "a cat")
    assert explorer.view["tokens"] == ["[CLS]", "a", "cat", "[SEP]"]
    vector = F.normalize(model(torch.tensor([explorer.view["ids"]]))[0].mean(0), dim=0)
    shown = flow_rows(explorer.view["numbers"]["sentence"], 4)
    np.testing.assert_allclose(shown[2, 1:], vector[:6].detach(), atol=6e-4)
    entered = flow_rows(explorer.view["numbers"]["entered"], 4)
    np.testing.assert_allclose(entered, flow_rows(explorer.blocks["0"]["numbers"]["stream"], 4))
    assert explorer.state["end"]["text"].startswith("There is no next token")
    assert "An encoder has no next token" in ask(explorer, "write", likeliest=True)
    assert {part["id"] for part in explorer.view["parts"]} >= {"middle", "output", "sentence"}
    assert explorer.view["lens"] == []
    assert not explorer.view["causal"]


def test_large_models_open_only_what_is_asked_for(flowing: GPT, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.concepts.c09_real_models.explorer.SMALL", 0)
    explorer = FlowExplorer(flowing, Characters(), "a cat", layer=1)
    assert {*explorer.blocks} == {"1"}
    assert ask(explorer, "open", layer=2) == ""
    assert "2" in explorer.blocks
    assert explorer.layer == 2
    monkeypatch.undo()
    whole = FlowExplorer(flowing, Characters(), "a cat")
    assert explorer.blocks["2"] == whole.blocks["2"]
    explorer.layer = 99
    assert explorer.layer == 2


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text", {"text": ""}, "The text is empty"),
        ("text", {"text": "°"}, "The model does not know °"),
        ("open", {"layer": 3}, "layer must be a whole number from 0 to 2; got 3"),
        ("open", {"layer": True}, "layer must be a whole number from 0 to 2; got True"),
        ("settings", {"temperature": "hot", "top_k": 0, "top_p": 1}, "temperature must be a number"),
    ],
)
def test_a_bad_question_about_the_flow_changes_nothing(
    flow: FlowExplorer, kind: str, fields: dict, message: str, own_errors
) -> None:
    before = (flow.view, flow.blocks, flow.layer, flow.state["end"])
    assert ask(flow, kind, **fields).startswith(message)
    assert (flow.view, flow.blocks, flow.layer, flow.state["end"]) == before


def test_models_that_cannot_flow(flowing: GPT, own_errors) -> None:
    with pytest.raises(ValueError, match="must be a GPT or a BERT of this library; got Linear"):
        FlowExplorer(nn.Linear(2, 3), Characters())
    with pytest.raises(ValueError, match="The tokenizer must have encode and pieces; got int"):
        FlowExplorer(flowing, 3)
    with pytest.raises(ValueError, match="layer must be from 0 to 2; got 3"):
        FlowExplorer(flowing, Characters(), layer=3)
    with pytest.raises(ValueError, match="The text has no token that the model knows"):
        FlowExplorer(flowing, BPETokenizer(["a"], []), "°")
    with pytest.raises(ValueError, match="The model has no layer to open"):
        FlowExplorer(flow_model(n_layers=0), Characters())
    changed = flow_model()
    changed.stack.blocks[1].feed_forward = nn.Identity()
    with pytest.raises(ValueError, match="Layer 1 must have a FeedForward; got Identity"):
        FlowExplorer(changed, Characters())


def test_it_asks_unless_told_otherwise(flowing: GPT) -> None:
    assert FlowExplorer(flowing, Characters(), "a cat").asks
    assert not FlowExplorer(flowing, Characters(), "a cat", asks=False).asks


def test_it_keeps_the_frame(flow: FlowExplorer) -> None:
    assert keeps_the_frame(flow)
