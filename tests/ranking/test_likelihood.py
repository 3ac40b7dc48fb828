"""Likelihoods against transformers' plain forward, token by token, and against distributions known in advance."""

import math

import pytest
import torch
from support.tiny import CHATML, TOKENIZERS, save_tiny, tiny_tokenizer

from layerrank.core.records import Passage, Query
from layerrank.models.decoder import load_decoder
from layerrank.prompts.chat import Shown, load_prompts
from layerrank.ranking import likelihood
from layerrank.ranking.likelihood import Likelihood
from layerrank.ranking.mechanism import Request

DIGITS = set("0123456789")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    return {
        (kind, chat): save_tiny(base / f"{kind}-{chat}", "llama", kind, chat_template=CHATML if chat else None)
        for kind in TOKENIZERS
        for chat in (True, False)
    }


def request(n, query="what is lift"):
    return Request(Query("q", query), tuple(Passage(f"p{place}", f"wing {place} of bread") for place in range(n)))


def plain_log_probabilities(decoder, rows, given):
    """Whole plain forward passes: Σ log p of each row's tokens from `given` on, and log p [V] of what follows it."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])  # causal: what follows a row changes nothing
    with torch.inference_mode():
        log_p = decoder.causal(ids).logits.double().log_softmax(dim=-1)
    sums = [
        sum(log_p[at, place - 1, row[place]].item() for place in range(given, len(row))) for at, row in enumerate(rows)
    ]
    return sums, [log_p[at, len(row) - 1] for at, row in enumerate(rows)]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize(
    ("prompt", "n"),
    [
        ("setwise", 3),
        ("most_relevant", 26),
        ("first_token", 12),
        ("pairwise", 2),
        ("yes_no", 1),
        ("qlm", 1),
    ],
)
def test_likelihood_is_that_of_a_plain_forward(folders, kind, chat, prompt, n):
    decoder = load_decoder(folders[kind, chat], head=True)
    mechanism = Likelihood(decoder, load_prompts()[prompt])
    asked = request(n)
    shown = mechanism.chat.show(mechanism.prompt.conversation(asked.query, asked.passages), mechanism.prompt.answer)
    options = mechanism.prompt.option_texts(asked.query, n)
    given = len(mechanism.chat.continuations(shown, options)[0])
    expected, after = plain_log_probabilities(
        decoder, [mechanism.chat.ids(shown + Shown(option, option)) for option in options], given
    )
    if n > 9 and prompt != "first_token":
        pieces = decoder.tokenizer.convert_ids_to_tokens(list(range(len(after[0]))))
        digits = [
            token
            for token, piece in enumerate(pieces)
            if piece[0] in DIGITS or (len(piece) == 6 and piece[:4] == "<0x3" and piece[4] in DIGITS)
        ]
        expected = [
            value + math.log1p(-rest[digits].exp().sum().item()) for value, rest in zip(expected, after, strict=True)
        ]
    work = mechanism.prepare(asked)
    assert mechanism.log_probabilities([work.prompt])[0] == pytest.approx(expected, abs=2e-4)
    (answer,) = mechanism.score([work])
    if prompt == "yes_no":
        yes, no = (math.exp(value) for value in expected)
        assert answer.scores == pytest.approx([yes / (yes + no)], abs=1e-4)
    else:
        assert answer.scores == pytest.approx(expected, abs=2e-4)
    assert len(answer.scores) == n


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_120_passages_in_one_group_have_probabilities_that_do_not_overlap(folders, kind):
    mechanism = Likelihood(load_decoder(folders[kind, True], head=True), load_prompts()["most_relevant"])
    (answer,) = mechanism.score([mechanism.prepare(request(120))])
    assert len(answer.scores) == 120
    assert 0 < sum(map(math.exp, answer.scores)) <= 1


class StringModel:
    """Stands for probe and head: it gives the label `text` the probability `weights[text]`, token by token.

    A "hidden state" is the path itself: its length, then its token ids.
    """

    shares = False

    def __init__(self, tokenizer, weights):
        self.tokenizer = tokenizer
        self.weights = weights

    def computed(self, trees):
        return [tree.tokens for tree in trees]

    def hidden(self, trees):
        found = []
        for tree in trees:
            states = []
            for branch in tree.branches:
                rows = [[length, *branch[:length], *[0] * (9 - length)] for length in range(len(branch) + 1)]
                states.append(torch.tensor(rows, dtype=torch.float64))
            found.append(states)
        return found

    def head(self, states):
        logits = torch.full((len(states), len(self.tokenizer)), -math.inf, dtype=torch.float64)
        for row, state in enumerate(states.long().tolist()):
            path = tuple(state[1 : 1 + state[0]])
            mass = {}
            for tokens, weight in self.sequences():
                if tokens[: len(path)] == path and len(tokens) > len(path):
                    mass[tokens[len(path)]] = mass.get(tokens[len(path)], 0.0) + weight
            for token, weight in mass.items():
                logits[row, token] = math.log(weight)
        return logits.float()

    def sequences(self):
        for label, weight in self.weights.items():
            text = "<|im_start|>assistant\n Passage:"
            start = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            whole = self.tokenizer(f"{text} {label}<|im_end|>", add_special_tokens=False)["input_ids"]
            assert whole[: len(start)] == start
            yield tuple(whole[len(start) :]), weight


@pytest.mark.parametrize("kind", ["gpt2", "digits", "byte_level"])
def test_defect_3_labels_of_two_digits_do_not_alias(folders, kind, monkeypatch):
    """What the model gives to each label is what the label scores, whether the tokenizer splits 10 or does not."""
    decoder = load_decoder(folders[kind, True], head=True)
    mechanism = Likelihood(decoder, load_prompts()["most_relevant"])
    weights = {str(label): (29 * label % 31 + 1) / 1000 for label in range(1, 27)}
    weights["10"] = 0.4
    stand_in = StringModel(decoder.tokenizer, {**weights, "100": 0.05, "fish": 0.05})
    splits = len(decoder.tokenizer(" 10", add_special_tokens=False)["input_ids"])
    assert splits == len(decoder.tokenizer(" 1", add_special_tokens=False)["input_ids"]) + (kind != "byte_level")
    mechanism.probe = stand_in
    object.__setattr__(decoder, "head", stand_in.head)
    (answer,) = mechanism.score([mechanism.prepare(request(26))])
    total = sum(weights.values()) + 0.1
    assert [math.exp(score) for score in answer.scores] == pytest.approx(
        [weight / total for weight in weights.values()], rel=1e-4
    )
    assert max(range(26), key=answer.scores.__getitem__) == 9


def test_defect_5_the_head_sees_only_what_predicts_labels_in_one_pass(folders):
    decoder = load_decoder(folders["gpt2", True], head=True)
    mechanism = Likelihood(decoder, load_prompts()["setwise"])
    rows, passes = [], []
    head = decoder.head
    object.__setattr__(decoder, "head", lambda states: (rows.append(states.shape[0]), head(states))[1])
    decoder.model.register_forward_hook(lambda *_: passes.append(1))
    works = [mechanism.prepare(request(3, query=f"lift {place}")) for place in range(5)]
    answers = mechanism.score(works)
    assert len(passes) == 1
    assert sum(rows) <= 2 * len(works)  # the space before a label, and the label
    assert [answer.forward_passes for answer in answers] == [1] * 5
    assert all(answer.prompt_tokens < work.prompt.tree.tokens + 1 for answer, work in zip(answers, works, strict=True))


def test_head_runs_over_few_rows_at_a_time(folders, monkeypatch):
    decoder = load_decoder(folders["gpt2", True], head=True)
    mechanism = Likelihood(decoder, load_prompts()["most_relevant"])
    works = [mechanism.prepare(request(26, query=f"lift {place}")) for place in range(4)]
    expected = [answer.scores for answer in mechanism.score(works)]
    monkeypatch.setattr(likelihood, "ROWS", 7)
    assert [list(answer.scores) for answer in mechanism.score(works)] == [
        pytest.approx(list(scores), abs=1e-5) for scores in expected
    ]


def test_queries_of_one_token_and_of_none(folders):
    for kind in TOKENIZERS:
        mechanism = Likelihood(load_decoder(folders[kind, True], head=True), load_prompts()["qlm"])
        one, none = mechanism.score([mechanism.prepare(request(1, query)) for query in ("a", " ")])
        assert one.scores[0] < 0
        assert none.scores == (0.0,)


def test_tokenizer_is_what_the_tests_think(folders):
    assert len(tiny_tokenizer("digits")(" 12", add_special_tokens=False)["input_ids"]) == 3
