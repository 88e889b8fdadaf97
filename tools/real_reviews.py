"""The claims about sentiment once more, on sentences of real film reviews, which the course may not carry.

    python tools/real_reviews.py movieReviewSnippets_GroundTruth.txt

The file comes with the source package vaderSentiment 2.5 (additional_resources/hutto_ICWSM_2014.tar.gz):
10,605 sentences of Pang and Lee's reviews (2004), each with the mean of people's ratings (Hutto and Gilbert
2014). The package is under the MIT licence, but its authors did not write the sentences, and nothing says
that those who did allow copies. So nothing of it is kept here but the numbers, in the caveats of claims.yml.
"""

import argparse
from pathlib import Path
from statistics import mean
from unittest import mock

import numpy as np

from course_lib import data
from course_lib.concepts.c00_overview import experiments as overview
from course_lib.concepts.c01_tokens import experiments as tokens
from course_lib.concepts.c07_mlm_vs_next_token import experiments as two_kinds
from course_lib.data import Review
from course_lib.pretrained import load_minilm, load_smollm2

CLEAR, WORDS = 1.0, range(5, 41)  # a rating from -4 to 4 that is not near 0; how long a sentence may be
EACH = 224  # of either kind, as many as our own


def sentences(path: Path, seed: int) -> list[Review]:
    """As many clearly positive sentences as negative ones, drawn from the file.

    Raises: ValueError: a line is no number, rating and text, or the file has not enough of them.
    """
    found: dict[bool, list[Review]] = {True: [], False: []}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            _, rating, text = line.split("\t", 2)
            float(rating)
        except ValueError:
            raise ValueError(f"{path}: a number, a rating and a text expected, got {line!r:.80}") from None
        if abs(float(rating)) >= CLEAR and len(text.split()) in WORDS:
            found[float(rating) > 0].append(Review(text, float(rating) > 0, "film"))
    if min(map(len, found.values())) < EACH:
        counts = f"{len(found[True])} positive and {len(found[False])} negative sentences"
        raise ValueError(f"{path} should have at least {EACH} clear ones of each kind; got {counts}")
    random = np.random.default_rng(seed)
    return [same[place] for same in found.values() for place in random.choice(len(same), EACH, replace=False)]


def main() -> None:
    """Repeat the measurements and print what the claims say."""
    options = argparse.ArgumentParser(description="Claims about sentiment on sentences of real film reviews.")
    options.add_argument("file", type=Path, help="movieReviewSnippets_GroundTruth.txt")
    options.add_argument("--seed", type=int, default=0, help="which sentences, cuts and starts")
    chosen = options.parse_args()
    real = sentences(chosen.file, chosen.seed)
    in_order = tuple(sorted(real, key=lambda review: len(review.text)))
    smollm2, minilm = load_smollm2(), load_minilm()
    with mock.patch.object(overview, "all_reviews", return_value=in_order):
        deep = overview.better_and_better(smollm2, chosen.seed)
    print("better-and-better, by depth:", [f"{depth}: {deep.at(depth):.0%}" for depth in deep.depths])
    print(f"  words counted {mean(deep.counted):.0%}")
    print(f"  points from 10 to 15 {100 * deep.middle:+.1f}, from 15 to 30 {100 * deep.above:+.1f}")
    with mock.patch.object(data, "reviews", return_value=(real, [])):
        start = tokens.random_or_pretrained(minilm, chosen.seed)
    print(f"random-or-pretrained: MiniLM's table at least {start.gain:+.1%} (64 and 256)")
    print(f"  counted {start.own:.2f} of that; over words counted {start.over_words:+.1%} at least")
    with mock.patch.object(two_kinds, "reviews", return_value=(real, [])):
        probed = two_kinds.probes(smollm2, minilm, chosen.seed)
    told = {name: f"{share.mean():.0%}" for name, share in probed.items()}
    lead = 100 * (probed[two_kinds.MINILM] - probed[two_kinds.SMOLLM2])
    low, high = two_kinds.interval(lead)
    print(f"encoder-or-decoder: {told}; MiniLM's lead {low:+.1f} to {high:+.1f} points (90 % interval)")


if __name__ == "__main__":
    main()
