"""Text in, token ids out, and back: byte-pair encoding (GPT) and WordPiece (BERT)."""

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain, repeat
from operator import add
from pathlib import Path
from uuid import uuid4

import regex

# GPT-2's split: contractions, words, numbers, punctuation, each with the space before it; white space.
GPT2_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# BERT's split: punctuation marks and ideographs one by one, and what white space separates.
_ALONE = (
    r"\p{P}$+<=>^`|~\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    r"\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
_BERT_WORDS = regex.compile(rf"[{_ALONE}]|[^\s{_ALONE}]+")
# What BERT drops: control, format and private characters, and the sign for a character that was lost.
_BERT_DROPS = regex.compile(r"[^\P{C}\p{Cn}\t\n\r]|\ufffd")

CACHED_CHARACTERS = 500_000  # of words whose tokens are remembered: about 25 MB


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each of the 256 bytes in a vocabulary file.

    Bytes that print keep their own; the others get one from code point 256 on (GPT-2's `encoder.py`).

    Example:
        >>> names = byte_characters()
        >>> names[ord("a")], names[ord(" ")], names[ord("\\n")]
        ('a', 'Ġ', 'Ċ')
    """
    printable = [byte for byte in range(256) if "!" <= chr(byte) <= "~" or "¡" <= chr(byte) != "\xad"]
    names = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in names]
    return names | {byte: chr(256 + n) for n, byte in enumerate(others)}


class _Tokenizer:
    """What both share: text is cut into words, each word into tokens; a token's place is its id."""

    _split: Callable[[str], list[str]]  # text -> words
    _cut: Callable[[str], list[int]]  # word -> ids
    _join: Callable[[list[str]], str]  # tokens -> text

    def __init__(self, tokens: Iterable[str], special_tokens: Mapping[str, int]) -> None:
        self.tokens = list(tokens)
        self.special_tokens = dict(special_tokens)
        self.vocab_size = len(self.tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < self.vocab_size:
            raise ValueError(f"{Counter(self.tokens).most_common(1)[0][0]!r} stands twice in the vocabulary")
        for token, i in self.special_tokens.items():
            if not token or self._ids.get(token) != i:
                raise ValueError(f"special token {token!r} with id {i} is not in the vocabulary")
        self._specials = regex.compile(r"(\L<special>)", special=list(self.special_tokens))
        self._forget()

    def words(self, text: str) -> list[str]:
        """The words of a text; special tokens stay whole.

        Args:
            text: any Unicode.
        Raises: TypeError: not a string.
            ValueError: a lone surrogate, which no UTF-8 can write.
        Example:
            >>> BPETokenizer.train("hug", 257, ["<end>"]).words("a hug<end>")
            ['a', ' hug', '<end>']
        """
        _check_text(text)
        if not self.special_tokens:
            return self._split(text)
        words: list[str] = []
        for part in self._specials.split(text):
            words += [part] if part in self.special_tokens else self._split(part)
        return words

    def encode(self, text: str) -> list[int]:
        """Cut text into tokens. Special tokens in it are recognised.

        Args:
            text: any Unicode.
        Returns: ids; none for an empty string.
        Raises: TypeError, ValueError: as for `words`.
        Example:
            >>> BPETokenizer(["h", "u", "g", "ug"], [("u", "g")]).encode("hug")
            [0, 3]
        """
        return self._encode_words(self.words(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Join tokens; invalid UTF-8 becomes U+FFFD.

        Args:
            ids: of one text, a list or a tensor of one axis.
        Raises: ValueError: an id outside the vocabulary.
        Example:
            >>> BPETokenizer(["h", "u", "g", "ug"], [("u", "g")]).decode([0, 3])
            'hug'
        """
        return self._join([self._token(i) for i in ids])

    def pieces(self, text: str) -> list[str]:
        """The text of each token, to read: `encode`, then `decode` one by one.

        Example:
            >>> BPETokenizer(["h", "u", "g", "ug"], [("u", "g")]).pieces("hug")
            ['h', 'ug']
        """
        return [self.decode([i]) for i in self.encode(text)]

    def _token(self, i: int) -> str:
        last = self.vocab_size - 1
        if not 0 <= i <= last:
            raise ValueError(f"token id {i} is outside the vocabulary; ids run from 0 to {last}")
        return self.tokens[i]

    def _encode_words(self, words: list[str]) -> list[int]:
        # Words come again and again: each is cut once, and its ids are looked up from then on.
        cache = self._cache
        new = set(words).difference(cache)
        for word in new:
            cache[word] = self._cut(word)
        self._n_cached += sum(map(len, new))
        if self._n_cached > CACHED_CHARACTERS:
            self._forget()  # all of it: the frequent words are back soon
        return list(chain.from_iterable(map(cache.__getitem__, words)))

    def _forget(self) -> None:
        self._cache = {token: [i] for token, i in self.special_tokens.items()}
        self._n_cached = 0  # characters


class BPETokenizer(_Tokenizer):
    """A byte-level BPE tokenizer (Sennrich et al. 2016; Radford et al. 2019).

    Text is cut into words; each word starts as its UTF-8 bytes; then the pair of neighbours that was
    learned first is merged, again and again, until no learned pair is left.

    Args:
        tokens: the vocabulary, written as `byte_characters` says; a token's place is its id.
        merges: the pairs of tokens, in the order of learning.
        special_tokens: text -> id of tokens that are never cut, such as "<|im_start|>".
        split_digits: every digit becomes a word of its own (SmolLM2 does this, GPT-2 does not).
        pattern: regular expression whose matches are the words, as is what stands between matches.
    Raises: ValueError: a token stands twice; a special token or a part of a merge is not in the vocabulary;
            a pattern with a group.
    Example:
        >>> toy = BPETokenizer(["h", "u", "g", "hu", "hug"], [("h", "u"), ("hu", "g")])
        >>> toy.encode("hughu"), toy.decode([4, 3]), toy.pieces("hugu")
        ([4, 3], 'hughu', ['hug', 'u'])

    Differs: a byte that the vocabulary lacks is dropped, as by Hugging Face's `tokenizers`
        (SmolLM2 lacks 21 bytes: a few control characters and bytes that never or hardly occur in UTF-8).
    """

    def __init__(
        self,
        tokens: Sequence[str],
        merges: Iterable[tuple[str, str]],
        special_tokens: Mapping[str, int] | None = None,
        *,
        split_digits: bool = False,
        pattern: str = GPT2_PATTERN,
    ) -> None:
        super().__init__(tokens, special_tokens or {})
        self.merges = list(dict.fromkeys(merges))
        self.split_digits = split_digits
        self.pattern = pattern
        if regex.compile(pattern).groups:
            raise ValueError(
                f"the pattern must have no groups: write (?:...) instead of (...); got {pattern!r}"
            )
        self._word_pattern = regex.compile(f"{pattern}|(?s:(?:(?!{pattern}).)+)")
        self._byte_of = {character: byte for byte, character in byte_characters().items()}
        # Inside, a token is the character whose code point is its id, a word a string of such tokens, a pair
        # a string of two: Python's own `split` and `join` then merge a pair.
        self._symbols = {byte: self._ids.get(character) for character, byte in self._byte_of.items()}
        symbols = {token: chr(i) for token, i in self._ids.items()}
        self._replacements: list[tuple[str, str]] = []  # by rank: a pair, and what takes its place
        try:
            for left, right in self.merges:
                self._replacements.append((symbols[left] + symbols[right], symbols[left + right]))
        except KeyError as token:
            rank = len(self._replacements)
            raise ValueError(f"merge {rank} needs {token}, which is not in the vocabulary") from None
        # The smaller its rank, the sooner a pair is merged.
        self._ranks = {pair: rank for rank, (pair, _) in enumerate(self._replacements)}

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        split_digits: bool = False,
        pattern: str = GPT2_PATTERN,
    ) -> "BPETokenizer":
        """Learn a vocabulary: special tokens, the 256 bytes, then again and again the most frequent pair.

            while len(tokens) < vocab_size:
                counts = Counter(pair for word in words for pair in pairwise(word))
                pair = max(counts, key=counts.get)
                words = [merge_pair(word, pair) for word in words]
                tokens.append(pair[0] + pair[1])
            (Sennrich et al. 2016, algorithm 1, with `maths.merge_pair`)

        This is the same with each distinct word looked at once, and again only where it has changed. Of
        equally frequent pairs the one with the smallest ids is taken.

        Args:
            texts: the corpus; nothing is learned from special tokens in it.
            vocab_size: tokens in all; fewer where no pair is left.
            special_tokens: the first tokens of the vocabulary.
            split_digits: every digit becomes a word of its own.
            pattern: regular expression whose matches are the words, as is what stands between matches.
        Raises: TypeError: texts that are no strings, one string in place of a list of special tokens.
            ValueError: no words, no room for the bytes, a special token that is empty or given twice.
        Example:
            >>> BPETokenizer.train("hug pug hugs", 258).merges
            [('u', 'g'), ('h', 'ug')]

        Differs: from `tokenizers` where a merged pair returns, because another merge has made one of its
            tokens: they count the places where it was before, too.
        """
        if isinstance(special_tokens, str):
            raise TypeError(f"special_tokens must be a list of strings; got {special_tokens!r:.60}")
        tokens = [*special_tokens, *byte_characters().values()]
        special_ids = {token: i for i, token in enumerate(special_tokens)}
        # A tokenizer that knows no merges finds the words and writes them as bytes.
        bare = cls(tokens, [], special_ids, split_digits=split_digits, pattern=pattern)
        if vocab_size < len(tokens):
            raise ValueError(f"bytes and special tokens need a vocab_size of {len(tokens)}; got {vocab_size}")
        texts = [texts] if isinstance(texts, str) else texts
        words = Counter(chain.from_iterable(map(bare.words, texts)))  # how often each occurs
        if not words:
            raise ValueError("the tokenizer learns from at least one word; the corpus is empty")
        for token in special_tokens:
            del words[token]  # never cut, so it teaches nothing; a Counter allows it to be absent

        merges: list[tuple[str, str]] = []
        ids = {token: i for i, token in enumerate(tokens)}
        pairs = _PairCounts({"".join(map(chr, bare._cut(word))): n for word, n in words.items()})
        while len(tokens) < vocab_size and pairs.counts:
            pair = pairs.most_frequent()
            left, right = (tokens[ord(symbol)] for symbol in pair)
            merges.append((left, right))
            # Two merges may make the same token, as "a" + "bc" and "ab" + "c" do: it has one id.
            if left + right not in ids:
                ids[left + right] = len(tokens)
                tokens.append(left + right)
            pairs.merge(pair, chr(ids[left + right]))
        return cls(tokens, merges, special_ids, split_digits=split_digits, pattern=pattern)

    def merge_steps(self, word: str) -> list[tuple[int | None, list[int]]]:
        """How one word becomes its tokens: as bytes, then after each merge.

        Args:
            word: one of `words(text)`.
        Returns: the rank of the merge, its place in `merges` (None for the bytes, before any merge), and the
            ids after it. The last ids are those of `encode`.
        Raises: TypeError, ValueError: as for `words`.
        Example:
            >>> toy = BPETokenizer(["h", "u", "g", "hu", "hug"], [("h", "u"), ("hu", "g")])
            >>> toy.merge_steps("hug")
            [(None, [0, 1, 2]), (0, [3, 2]), (1, [4])]
        """
        _check_text(word)
        if word in self.special_tokens:
            return [(None, [self.special_tokens[word]])]
        return [(rank, list(map(ord, symbols))) for rank, symbols in self._merge(word)]

    def token_bytes(self, i: int) -> bytes:
        """The bytes that token i stands for; they need not be whole characters.

        Raises: ValueError: an id outside the vocabulary.
        Example:
            >>> tokenizer = BPETokenizer.train("hug", 256)
            >>> b"".join(map(tokenizer.token_bytes, tokenizer.encode("é")))
            b'\\xc3\\xa9'
        """
        return self._as_bytes(self._token(i))

    @classmethod
    def load(cls, path: Path | str) -> "BPETokenizer":
        """Read what `save` wrote.

        Raises: ValueError: a damaged file, or one of another kind.
        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     BPETokenizer(["h", "u", "hu"], [("h", "u")]).save(f"{folder}/hu.json")
            ...     BPETokenizer.load(f"{folder}/hu.json").encode("huh")
            [2, 0]
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
            data["merges"] = [(left, right) for left, right in data["merges"]]
            return cls(**data)
        except (KeyError, TypeError, ValueError, regex.error) as error:
            raise ValueError(f"{path} holds no tokenizer that we can read: {error!r}") from error

    def save(self, path: Path | str) -> None:
        """Write one file, whole or not at all: the arguments of the class, by name, as JSON.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     BPETokenizer.train("hug pug", 257).save(f"{folder}/hug.json")
            ...     BPETokenizer.load(f"{folder}/hug.json").merges
            [('u', 'g')]
        """
        names = ("tokens", "merges", "special_tokens", "split_digits", "pattern")
        text = json.dumps({name: getattr(self, name) for name in names})
        temporary = Path(f"{path}.{uuid4().hex}.tmp")  # a name of its own: somebody else may save here, too
        try:
            temporary.write_text(text, "utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _split(self, text: str) -> list[str]:
        if self.split_digits:
            parts = regex.findall(r"\p{N}|\P{N}+", text)
            words = list(chain.from_iterable(map(self._word_pattern.findall, parts)))
        else:
            words = self._word_pattern.findall(text)
        # The search steps over a character after an empty match, and that character is in no word.
        if not all(words):
            raise ValueError(
                f"the pattern {self.pattern!r} matches an empty string in {text!r:.60}: text would be lost"
            )
        return words

    def _cut(self, word: str) -> list[int]:
        *_, (_, symbols) = self._merge(word)
        return list(map(ord, symbols))

    def _merge(self, word: str) -> Iterator[tuple[int | None, str]]:
        """A word as its bytes, then after each merge: the rank of the merge, and the tokens as symbols."""
        # bytes -> characters 0 to 255 -> chr(id)
        symbols = word.encode().decode("latin-1").translate(self._symbols)
        yield None, symbols
        never = len(self.merges)  # the rank of a pair that was not learned
        ranks = {never, *map(self._ranks.get, _pairs(symbols), repeat(never))}
        while len(ranks) > 1:
            rank = min(ranks)
            ranks.remove(rank)
            pair, merged = self._replacements[rank]
            parts = symbols.split(pair)
            if len(parts) > 1:  # else another merge took the pair away
                symbols = merged.join(parts)
                yield rank, symbols
                pairs = _pairs(symbols)
                if len(symbols) > 50:  # looked at again only beside the merge, where new ones stand
                    pairs = (new for _, new in _neighbours(parts, pair, merged))
                ranks.update(map(self._ranks.get, pairs, repeat(never)))

    def _join(self, tokens: list[str]) -> str:
        return b"".join(map(self._as_bytes, tokens)).decode("utf-8", errors="replace")

    def _as_bytes(self, token: str) -> bytes:
        if token in self.special_tokens:
            return token.encode()
        return bytes(self._byte_of[character] for character in token)


class _PairCounts:
    """How often each pair of neighbours occurs in the words of a corpus, kept up to date by each merge.

    A merge visits only the words that hold its pair: to count anew is what makes the plain loop slow.

    Args:
        words: how often each word occurs.
    """

    def __init__(self, words: Mapping[str, int]) -> None:
        self._words = list(words)
        self._times = list(words.values())
        self.counts = Counter[str]()
        self._places = defaultdict[str, set[int]](set)  # the numbers of the words that a pair is in, or was
        for number, word in enumerate(self._words):
            for pair in _pairs(word):
                self.counts[pair] += self._times[number]
                self._places[pair].add(number)
        # The smallest comes first: the highest count, then the smallest ids. A sorted list is a heap.
        self._heap = sorted((-count, pair) for pair, count in self.counts.items())

    def most_frequent(self) -> str:
        """As max(counts, key=counts.get), from a heap; of equals the pair with the smallest ids."""
        while True:
            count, pair = heappop(self._heap)
            # A pair whose count has changed since was pushed again; its old entry is passed over.
            if -count == self.counts[pair]:
                return pair

    def merge(self, pair: str, merged: str) -> None:
        """As word.replace(pair, merged) in every word, and counting anew."""
        changed = set[str]()
        for number in self._places.pop(pair):
            parts = self._words[number].split(pair)  # [word] where the pair is gone: no moves
            self._words[number] = merged.join(parts)
            moves = _neighbours(parts, pair, merged)
            for old, new in moves:
                self.counts[old] -= self._times[number]
                self.counts[new] += self._times[number]
                self._places[new].add(number)
            changed.update(*moves)
        del self.counts[pair]  # after the loop, which changes it where places overlap, as in "aaa"
        for neighbour in changed:
            if self.counts[neighbour]:
                heappush(self._heap, (-self.counts[neighbour], neighbour))
            else:
                del self.counts[neighbour]


class WordPiece(_Tokenizer):
    """BERT's tokenizer: each word is cut, from the left, into the longest tokens (Devlin et al. 2019).

    It is that of "uncased" models, which know neither capitals nor accents.

    Args:
        tokens: the vocabulary, or the path of `vocab.txt` (a token a line); "##" continues a word.
    Raises: ValueError: [UNK], [CLS] or [SEP] is missing, or a token stands twice.
    Example:
        >>> toy = WordPiece(["[UNK]", "[CLS]", "[SEP]", "play", "##ing"])
        >>> toy.frame("Playing"), toy.decode([3, 4])
        (([1, 3, 4, 2], [0, 0, 0, 0]), 'playing')

    Differs: from Hugging Face's in characters younger than Unicode 8, whose tables they use.
    """

    def __init__(self, tokens: Sequence[str] | Path) -> None:
        if isinstance(tokens, str | Path):
            tokens = Path(tokens).read_text("utf-8").rstrip("\n").split("\n")
        special = dict.fromkeys(("[UNK]", "[CLS]", "[SEP]"), -1)
        for i, token in enumerate(tokens):
            if token in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"):
                special[token] = i
        super().__init__(tokens, special)

    def frame(self, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
        """The ids of "[CLS] text [SEP]" or "[CLS] text [SEP] pair [SEP]", and their segments, 0 and 1.

        Example:
            >>> WordPiece(["[UNK]", "[CLS]", "[SEP]", "play"]).frame("play", "play play")
            ([1, 3, 2, 3, 3, 2], [0, 0, 0, 1, 1, 1])
        """
        first = [self._ids["[CLS]"], *self.encode(text), self._ids["[SEP]"]]
        second = [] if pair is None else [*self.encode(pair), self._ids["[SEP]"]]
        return first + second, [0] * len(first) + [1] * len(second)

    def match_steps(self, word: str) -> list[tuple[list[int], str]]:
        """How one word becomes its tokens: the ids so far, and what is left of the word, after each token.

        Where no token begins what is left, the whole word becomes [UNK].

        Args:
            word: one of `words(text)`.
        Raises: TypeError, ValueError: as for `words`.
        Example:
            >>> toy = WordPiece(["[UNK]", "[CLS]", "[SEP]", "play", "##ing"])
            >>> toy.match_steps("playing")
            [([], 'playing'), ([3], 'ing'), ([3, 4], '')]
            >>> toy.match_steps("played")
            [([], 'played'), ([3], 'ed'), ([0], '')]
        """
        _check_text(word)
        if word in self.special_tokens:
            return [([self.special_tokens[word]], "")]
        ids: list[int] = []
        steps = [(ids, word)]
        while word:
            prefix = "##" if ids else ""
            lengths = range(len(word), 0, -1)
            length = next((n for n in lengths if prefix + word[:n] in self._ids), None)
            if length is None:
                return [*steps, ([self._ids["[UNK]"]], "")]
            ids = [*ids, self._ids[prefix + word[:length]]]
            word = word[length:]
            steps.append((ids, word))
        return steps

    def _split(self, text: str) -> list[str]:
        text = _BERT_DROPS.sub("", text)
        text = regex.sub(r"\p{Mn}", "", unicodedata.normalize("NFD", text))
        # One by one: `str.lower` of a whole text writes a sigma at the end of a word in another way.
        text = "".join(map(str.lower, text))
        return [word if len(word) <= 100 else "[UNK]" for word in _BERT_WORDS.findall(text)]

    def _cut(self, word: str) -> list[int]:
        return self.match_steps(word)[-1][0]

    def _join(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace(" ##", "")


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"the tokenizer encodes a string; got {type(text).__name__}: {text!r:.60}")
    surrogate = regex.search(r"[\ud800-\udfff]", text)
    if surrogate is not None:
        raise ValueError(f"the tokenizer encodes valid Unicode; got a lone surrogate: {surrogate[0]!r}")


def _pairs(symbols: str) -> Iterator[str]:
    """The pairs of neighbours in a word, from the left."""
    return map(add, symbols, symbols[1:])


def _neighbours(parts: list[str], pair: str, merged: str) -> list[tuple[str, str]]:
    """The pairs beside each place of `pair` in a word, before and after the merge.

    Args:
        parts: what the word is without the pair.
    Example:
        >>> _neighbours("xababy".split("ab"), "ab", "M")  # xababy becomes xMMy
        [('xa', 'xM'), ('by', 'My'), ('ba', 'MM')]
    """
    left, right = pair[0], pair[1]
    moves = [(part[-1] + left, part[-1] + merged) for part in parts[:-1] if part]
    moves += [(right + part[0], merged + part[0]) for part in parts[1:] if part]
    if len(parts) > 2:
        moves += [(right + left, merged + merged) for part in parts[1:-1] if not part]
    return moves
