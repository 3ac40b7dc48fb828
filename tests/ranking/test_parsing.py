"""Answers and their outcomes (semantics.md §4, §6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerrank.prompts.chat import load_prompts
from layerrank.ranking.parsing import parse_choice, parse_ranking

NUMBERS = [str(number) for number in range(1, 13)]
DIGITS = "[0-9]+"


@pytest.mark.parametrize(
    ("text", "place", "outcome"),
    [
        (" 2", 1, "well_formed"),
        (" 12.", 11, "well_formed"),
        ("Passage 03 or 4", 2, "well_formed"),
        (" 13", None, "out_of_range"),
        (" 0", None, "out_of_range"),
        (" " + "9" * 6000, None, "out_of_range"),
        (" the first", None, "unparseable"),
        ("", None, "unparseable"),
    ],
)
def test_choice(text, place, outcome):
    parsed = parse_choice(text, NUMBERS, DIGITS)
    assert parsed.places == (() if place is None else (place,))
    assert parsed.outcomes == {"answers": 1, outcome: 1}


def test_defect_2_an_unparseable_answer_is_no_decision_and_counted():
    parsed = parse_choice("I cannot say.", NUMBERS, DIGITS)
    assert parsed.places == ()
    assert parsed.outcomes["unparseable"] == 1
    ranking = parse_ranking("I cannot say.", NUMBERS, DIGITS)
    assert ranking.places == tuple(range(12))
    assert ranking.outcomes == {"answers": 1, "unparseable": 1}


@pytest.mark.parametrize(
    ("text", "places", "outcomes"),
    [
        ("[3] > [1] > [2]", (2, 0, 1), {"well_formed": 1}),
        ("3 1 2", (2, 0, 1), {"well_formed": 1}),
        ("[3] > [3] > [1] > [2]", (2, 0, 1), {"repeated": 1}),
        ("[3] > [9] > [4]", (2, 0, 1), {"out_of_range": 2, "missing": 2}),
        ("[2]", (1, 0, 2), {"missing": 2}),
        ("[0] > [7]", (0, 1, 2), {"out_of_range": 2, "unparseable": 1}),
    ],
)
def test_ranking(text, places, outcomes):
    parsed = parse_ranking(text, NUMBERS[:3], DIGITS)
    assert parsed.places == places
    assert parsed.outcomes == {"answers": 1, **outcomes}


@given(st.text(alphabet="0123456789[]> ,\n", max_size=60), st.integers(1, 12))
def test_a_ranking_holds_every_place_once(text, n):
    parsed = parse_ranking(text, NUMBERS[:n], DIGITS)
    assert sorted(parsed.places) == list(range(n))
    faults = set(parsed.outcomes) - {"answers", "well_formed"}
    assert parsed.outcomes.get("well_formed", 0) == (not faults)


@given(st.permutations(range(12)))
def test_a_ranking_written_as_asked_is_well_formed(order):
    parsed = parse_ranking(" > ".join(f"[{place + 1}]" for place in order), NUMBERS, DIGITS)
    assert parsed.places == tuple(order)
    assert parsed.outcomes == {"answers": 1, "well_formed": 1}


@pytest.mark.parametrize(
    ("prompt", "labels", "text", "place"),
    [
        ("yes_no", ("Yes", "No"), "Yes", 0),
        ("yes_no", ("Yes", "No"), "no, it does not", 1),
        ("yes_no", ("Yes", "No"), "Nothing", None),
        ("pairwise", ("A", "B"), " B", 1),
        ("pairwise", ("A", "B"), " Passage A", 0),
        ("pairwise", ("A", "B"), "Both", None),
        ("pairwise", ("A", "B"), ' "A simplified', None),
        ("pairwise", ("A", "B"), " B is more", 1),
        ("pairwise", ("A", "B"), " A\n", 0),
        ("setwise_reasoning", NUMBERS, "<think>1 or 2?</think> <answer>[3]</answer>", 2),
        ("setwise_reasoning", NUMBERS, "<think>the 3rd", None),
    ],
)
def test_patterns_of_the_prompts(prompt, labels, text, place):
    parsed = parse_choice(text, labels, load_prompts()[prompt].pattern)
    assert parsed.places == (() if place is None else (place,))
