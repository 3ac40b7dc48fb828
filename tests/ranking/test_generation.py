"""Generation against transformers' `generate`, one prompt at a time; what is read from what was written."""

import dataclasses
import functools
import random

import pytest
import torch
import transformers
from support.tiny import TOKENIZERS, save_tiny

from layerrank.core.records import Passage, Query
from layerrank.models.decoder import load_decoder
from layerrank.prompts.chat import load_prompts
from layerrank.ranking import generation
from layerrank.ranking.generation import REASONING, Generation
from layerrank.ranking.mechanism import Request


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "llama", "llama", "gpt2", vocab_size=600)


@pytest.fixture
def decoder(folder):
    return load_decoder(folder, head=True)


def request(n, query="what is lift"):
    return Request(Query("q", query), tuple(Passage(f"p{place}", f"wing {place} of bread") for place in range(n)))


def prompts_of(mechanism, count=7):
    return [mechanism.prepare(request(3, "lift " * place)).prompt for place in range(count)]


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral_window"])
def test_a_padded_batch_writes_what_each_prompt_writes_alone(tmp_path, architecture):
    decoder = load_decoder(save_tiny(tmp_path / architecture, architecture, "gpt2"), head=True)
    mechanism = Generation(decoder, load_prompts()["setwise"])
    prompts = prompts_of(mechanism)
    assert len(set(map(len, prompts))) > 3
    greedy = transformers.GenerationConfig(do_sample=False, max_new_tokens=12, eos_token_id=1, pad_token_id=3)
    alone = []
    for prompt in prompts:
        written = decoder.causal.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=greedy,
        )
        alone.append(written[0, len(prompt) :].tolist())
    assert mechanism.write(prompts, 12) == alone
    assert any(len(set(row)) > 3 for row in alone)


def padded(prompts):
    longest = max(map(len, prompts))
    ids = torch.tensor([[3] * (longest - len(prompt)) + prompt for prompt in prompts])
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(longest) >= longest - ids.new_tensor([*map(len, prompts)])[:, None]).long(),
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["llama", "mistral_window", "qwen2_window", "gemma3", "gpt_oss"])
@pytest.mark.parametrize("share", [True, False])
def test_rows_that_have_ended_leave_their_batch_and_change_no_token(tmp_path, architecture, dtype, share):
    """Against one `generate` over the whole batch to its end; in bfloat16 a near tie may fall the other way."""
    decoder = load_decoder(save_tiny(tmp_path / architecture, architecture, "gpt2"), head=True, dtype=dtype)
    mechanism = Generation(decoder, load_prompts()["setwise"], share=share)
    source = random.Random(1)
    prompts = [[source.randrange(20, 450) for _ in range(30 + 3 * row)] for row in range(9)]
    decoder.causal.generation_config = transformers.GenerationConfig(do_sample=False, max_new_tokens=40, pad_token_id=3)
    whole = decoder.causal.generate(**padded(prompts))[:, -40:].tolist()
    tokens = sorted({token for row in whole for token in row})

    def ended(stop):
        return [generation._until(row, stop) for row in whole]

    drawn = [sorted(source.sample(tokens, min(3, len(tokens)))) for _ in range(200)]
    mechanism._stop = max(drawn, key=lambda stop: len({len(row) for row in ended(stop)}))  # ends here and there
    expected = ended(mechanism._stop)
    assert len({len(row) for row in expected}) > 2
    computed, forward = [], decoder.causal.forward

    @functools.wraps(forward)  # whose signature tells `generate` what the model takes
    def counted(*args, **named):
        rows, length = named["input_ids"].shape
        computed.append(rows if length == 1 else 0)  # prompts are read in one piece
        return forward(*args, **named)

    decoder.causal.forward = counted
    found = mechanism.write(prompts, 40)
    decoder.causal.forward = forward
    assert len(found) == len(expected)
    if dtype == "float32":
        assert found == expected
    for prompt, row, other in zip(prompts, found, expected, strict=True):
        assert row == other or near_tie(decoder, prompt, row, other)
    used = sum(len(row) - 1 for row in found)  # the last token written is not read again
    assert used <= sum(computed) <= used / (1 - generation.ENDED)


def near_tie(decoder, prompt, row, other):
    """Whether the first tokens that differ were as likely as bfloat16 can tell: logits within 2 %."""
    place = next(place for place, (one, two) in enumerate(zip(row, other, strict=False)) if one != two)
    ids = torch.tensor([[*prompt, *row[:place]]])
    logits = decoder.causal(input_ids=ids).logits[0, -1].float()
    return abs(logits[row[place]] - logits[other[place]]) <= 0.02 * logits.abs().max()


def test_short_answers_are_written_in_one_stretch(decoder, monkeypatch):
    mechanism = Generation(decoder, load_prompts()["setwise"])
    prompts = prompts_of(mechanism)
    calls, generate = [], decoder.causal.generate
    monkeypatch.setattr(decoder.causal, "generate", lambda **named: calls.append(1) or generate(**named))
    mechanism._stop = list(range(200))
    mechanism.write(prompts, generation.LEFT)
    assert len(calls) == 1


def test_an_answer_ends_with_its_last_token(decoder):
    mechanism = Generation(decoder, load_prompts()["setwise"])
    prompts = prompts_of(mechanism, 3)
    (first, *_), *_ = whole = mechanism.write(prompts, 6)
    assert [len(row) for row in whole] == [6, 6, 6]
    mechanism._stop = [whole[0][2]]
    cut = mechanism.write(prompts, 6)
    for before, after in zip(whole, cut, strict=True):
        end = before.index(whole[0][2]) + 1 if whole[0][2] in before else 6
        assert after == before[:end]
    assert len(cut[0]) == 3 or first == whole[0][2]


def test_a_folders_own_penalties_do_not_change_greedy_decoding(decoder):
    mechanism = Generation(decoder, load_prompts()["setwise"])
    prompts = prompts_of(mechanism, 3)
    expected = mechanism.write(prompts, 8)
    decoder.causal.generation_config = transformers.GenerationConfig(
        repetition_penalty=9.0, no_repeat_ngram_size=1, do_sample=True, temperature=2.0, eos_token_id=1
    )
    assert Generation(decoder, load_prompts()["setwise"]).write(prompts, 8) == expected


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("n", [1, 9, 100, 120])
def test_defect_8_there_are_tokens_for_every_permutation(tmp_path, kind, n):
    decoder = load_decoder(save_tiny(tmp_path / kind, "llama", kind, layers=1), head=True)
    mechanism = Generation(decoder, load_prompts()["permutation"])
    places = [str(place) for place in range(1, n + 1)]
    for seed in range(5):
        random.Random(seed).shuffle(places)
        answer = " > ".join(f"[{place}]" for place in places)
        assert len(decoder.tokenizer(answer, add_special_tokens=False)["input_ids"]) < mechanism.new_tokens(n)
    setwise = Generation(decoder, load_prompts()["setwise"])
    for place in places:
        assert len(decoder.tokenizer(f" {place}", add_special_tokens=False)["input_ids"]) <= setwise.new_tokens(n)
    assert setwise.new_tokens(3) >= 3


def test_new_tokens_count_against_the_context(decoder):
    for name, n in (("setwise", 3), ("permutation", 20)):
        mechanism = Generation(decoder, load_prompts()[name])
        work = mechanism.prepare(request(n))
        assert work.positions == len(work.prompt) + mechanism.new_tokens(n)
        assert mechanism.context == 4096
    assert Generation(decoder, load_prompts()["setwise_reasoning"]).new_tokens(3) == REASONING
    assert Generation(decoder, load_prompts()["setwise"], max_new_tokens=7).new_tokens(3) == 7


def answers(decoder, prompt, n, texts):
    """What the mechanism makes of texts, as if the model had written them."""
    mechanism = Generation(decoder, load_prompts()[prompt])
    written = [decoder.tokenizer(text, add_special_tokens=False)["input_ids"] + [1] for text in texts]
    mechanism.write = lambda prompts, new_tokens: written
    works = [mechanism.prepare(request(n)) for _ in texts]
    found = mechanism.score(works)
    for answer, tokens, work in zip(found, written, works, strict=True):
        assert (answer.generated_tokens, answer.forward_passes) == (len(tokens), len(tokens))
        assert answer.prompt_tokens == len(work.prompt)
    return [(answer.scores, dict(answer.outcomes)) for answer in found]


def test_answers_of_each_framework(decoder):
    good, none = {"answers": 1, "well_formed": 1}, {"answers": 1, "unparseable": 1}
    assert answers(decoder, "yes_no", 1, ["Yes", "No.", "perhaps"]) == [((1.0,), good), ((0.0,), good), ((0.5,), none)]
    assert answers(decoder, "pairwise", 2, [" B", " A", "Both"]) == [
        ((0.0, 1.0), good),
        ((1.0, 0.0), good),
        ((0.0, 0.0), none),
    ]
    assert answers(decoder, "setwise", 3, [" 2", " 4", " the"]) == [
        ((0.0, 1.0, 0.0), good),
        ((0.0, 0.0, 0.0), {"answers": 1, "out_of_range": 1}),
        ((0.0, 0.0, 0.0), none),
    ]
    assert answers(decoder, "permutation", 3, ["[2] > [3] > [1]", "[3] > [3]", "no"]) == [
        ((1.0, 3.0, 2.0), good),
        ((2.0, 1.0, 3.0), {"answers": 1, "repeated": 1, "missing": 2}),
        ((3.0, 2.0, 1.0), none),
    ]
    assert answers(decoder, "setwise_reasoning", 3, ["<think>2</think><answer>[3]</answer>", "<think>1, 2"]) == [
        ((0.0, 0.0, 1.0), good),
        ((0.0, 0.0, 0.0), none),
    ]


def test_what_the_scores_tell(decoder):
    prompts = load_prompts()
    told = {
        name: Generation(decoder, prompts[name]).returns for name in ("yes_no", "pairwise", "setwise", "permutation")
    }
    assert told == {"yes_no": "scores", "pairwise": "winner", "setwise": "winner", "permutation": "order"}


def test_a_model_may_think_only_where_the_prompt_says_so(folder):
    template = "{{ messages[-1]['content'] }}{% if not enable_thinking %}</think>{% endif %}"
    decoder = load_decoder(folder, head=True)
    decoder.tokenizer.chat_template = template
    for name, ending in (("setwise", "</think> Passage:"), ("setwise_reasoning", "</answer>")):
        mechanism = Generation(decoder, load_prompts()[name])
        assert decoder.tokenizer.decode(mechanism.prepare(request(2)).prompt).endswith(ending)


def test_a_head_is_needed(folder):
    with pytest.raises(ValueError, match="head"):
        Generation(dataclasses.replace(load_decoder(folder)), load_prompts()["setwise"])
