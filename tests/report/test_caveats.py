"""What else could explain the figures: the words follow from the numbers, of one pair and of several."""

import pandas as pd
import pytest

from layerrank.core import frames
from layerrank.core.systems import ALL_LAYERS
from layerrank.report.answers.caveats import caveats


def correlations(**pairs):
    """`model=((place, low, high), (length, low, high))` of passages that are not relevant."""
    rows = []
    for model, both in pairs.items():
        for name, (mean, low, high) in zip(("place", "tokens"), both, strict=True):
            rows.append(("c", model, "base", ALL_LAYERS, name, "not relevant", mean, low, high, 30))
            rows.append(("c", model, "base", ALL_LAYERS, name, "all", 0.99, 0.9, 1.0, 30))
            rows.append(("c", model, "base", "bm25", name, "not relevant", 1.0, 1.0, 1.0, 30))
    return pd.DataFrame(rows, columns=list(frames.CORRELATION))


def audits(**pairs):
    """`model=(value, tied value, judged, condensed)`."""
    rows = [
        ("c", model, "base", ALL_LAYERS, measure, 30, value + shift, 0.1, tied + shift, judged, condensed + shift)
        for model, (value, tied, judged, condensed) in pairs.items()
        for measure, shift in (("nDCG@10", 0.0), ("RR@10", 0.1))
    ]
    return pd.DataFrame(rows, columns=list(frames.AUDIT))


def means(**pairs):
    """`model=(all layers, place alone, random order)`."""
    return pd.DataFrame(
        [
            {"collection": "c", "model": model, "variant": "base", "system": system, "measure": "nDCG@10", "mean": mean}
            for model, values in pairs.items()
            for system, mean in zip((ALL_LAYERS, "place", "random"), values, strict=True)
        ]
    )


def costs(answers=0, rate=float("nan")):
    return pd.DataFrame([{"system": "listwise-generation", "answers": answers, "failure_rate": rate}])


def told(place=(0.7, 0.6, 0.8), length=(-0.1, -0.2, 0.05), audit=(0.5, 0.48, 0.62, 0.55), own=(0.5, 0.45, 0.3), **more):
    return caveats(correlations(m=(place, length)), audits(m=audit), means(m=own), costs(**more), "nDCG@10")


def test_of_one_pair():
    answer = told()
    assert [text.replace("\u00a0", " ") for text in answer.statements] == [
        "Among passages that are not relevant, scores follow the place in the prompt: passages nearer to the query "
        "score higher (ρ = +0.70 [+0.60, +0.80]).",
        "Among passages that are not relevant, scores are not shown to follow the passage’s length (ρ = −0.10 [−0.20, "
        "+0.05]).",
        "All layers reach 0.500 nDCG@10; the place in the prompt alone 0.450, a random order 0.300: what does not rise "
        "above these has shown nothing.",
        "62% of the ranks that nDCG@10 reads hold judged passages; without the unjudged ones its mean changes by up "
        "to +0.050.",
    ]
    [row] = answer.table.sections[0].rows
    assert [cell.value for cell in row.cells] == ["m on c", 0.7, -0.1, 0.5, 0.45, 0.3, 0.55, 0.62, pytest.approx(-0.02)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"place": (-0.3, -0.4, -0.2)}, "passages further from it score higher (ρ = −0.30"),
        ({"length": (0.3, 0.2, 0.4)}, "follow the passage’s length: longer passages score higher"),
        ({"length": (-0.3, -0.4, -0.2)}, "shorter ones score higher"),
        ({"audit": (0.5, 0.5, 1.0, 0.5)}, "100% of the ranks"),
        ({"audit": (0.5, 0.5, 0.5, 0.4)}, "by up to −0.100"),
        ({"answers": 10, "rate": 0.3}, "30% of the answers that generation wrote are not well-formed"),
    ],
)
def test_words_follow_from_the_numbers(changes, words):
    assert words in " ".join(told(**changes).statements)


def test_of_several_pairs():
    flat = (0.0, -0.1, 0.1)
    answer = caveats(
        correlations(a=((0.7, 0.6, 0.8), flat), b=((-0.2, -0.3, -0.1), flat), d=(flat, flat)),
        audits(a=(0.5, 0.5, 0.6, 0.5), b=(0.5, 0.5, 0.9, 0.45), d=(0.5, 0.5, 0.7, 0.52)),
        means(a=(0.5, 0.4, 0.3), b=(0.5, 0.6, 0.3), d=(0.2, 0.4, 0.3)),
        costs(),
        "nDCG@10",
    )
    place, length, controls, judged = answer.statements
    assert "nearer to the query score higher in 1 and passages further from it in 1 of 3 pairs" in place
    assert "(ρ = −0.20 to +0.70)" in place and "in 0 and shorter ones in 0 of 3" in length
    assert "above that of place alone in 1, and above that of a random order in 2, of 3 pairs" in controls
    assert judged.startswith("60 to 90% of the ranks") and "−0.050" in judged
