"""Framework prompts and the chat templates that show them (semantics.md §4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import CHATML, TOKENIZERS, tiny_tokenizer

from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query
from layerrank.prompts.chat import Chat, Shown, find_prompt, load_prompts

QUERY = Query("1", " what is lift? ")
PASSAGES = (Passage("a", "Lift {n} of wings.", "Wings"), Passage("b", ""), Passage("c", "Bread"))

TURN = "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
EACH = "{% for message in messages %}"
REFUSES_SYSTEM = (
    EACH
    + "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + TURN
    + "{% endfor %}"
    + PROMPT
)
DROPS_SYSTEM = EACH + "{% if message['role'] != 'system' %}" + TURN + "{% endif %}{% endfor %}" + PROMPT
NO_GENERATION = EACH + TURN + "{% endfor %}"
MISTRAL = (
    "{{ bos_token }}"
    + EACH
    + "{% if message['role'] == 'user' %}[INST] {{ message['content'] }}[/INST]"
    + "{% else %} {{ message['content'] }}</s>{% endif %}{% endfor %}"
)
USER_ONLY = EACH + "{% if message['role'] != 'user' %}{{ raise_exception('only users') }}{% endif %}{% endfor %}"


def show(name, passages=PASSAGES, template=CHATML):
    prompt = load_prompts()[name]
    return Chat(tiny_tokenizer(chat_template=template)).show(prompt.conversation(QUERY, passages), prompt.answer).text


def test_setwise_is_the_published_text():
    assert show("setwise") == (
        '<|im_start|>user\nGiven a query "what is lift?", which of the following passages is the most relevant one to '
        'the query?\n\nPassage 1: "Wings\nLift {n} of wings."\n\nPassage 2: ""\n\nPassage 3: "Bread"\n\n'
        "Output only the passage label of the most relevant passage:<|im_end|>\n<|im_start|>assistant\n Passage:"
    )
    assert show("most_relevant") == show("setwise")


def test_pairwise_is_the_published_text():
    assert show("pairwise", PASSAGES[1:]) == (
        '<|im_start|>user\nGiven a query "what is lift?", which of the following two passages is more relevant to the '
        'query?\n\nPassage A: ""\n\nPassage B: "Bread"\n\nOutput Passage A or Passage B:<|im_end|>\n'
        "<|im_start|>assistant\n Passage:"
    )


def test_pointwise_is_the_published_text():
    assert show("yes_no", PASSAGES[2:]) == (
        "<|im_start|>user\nPassage: Bread\nQuery: what is lift?\nDoes the passage answer the query? Answer 'Yes' or "
        "'No'<|im_end|>\n<|im_start|>assistant\n"
    )
    assert show("qlm", PASSAGES[2:]) == (
        "<|im_start|>user\nPassage: Bread\nPlease write a question based on this passage.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_permutation_is_the_published_conversation():
    turns = load_prompts()["permutation"].conversation(QUERY, PASSAGES[1:])
    assert [turn["role"] for turn in turns] == ["system", "user", *["assistant", "user"] * 3]
    texts = [turn["content"] for turn in turns]
    assert texts[1] == (
        "I will provide you with 2 passages, each indicated by number identifier []. \n"
        "Rank the passages based on their relevance to query: what is lift?."
    )
    assert texts[2:7] == [
        "Okay, please provide the passages.",
        "[1] ",
        "Received passage [1].",
        "[2] Bread",
        "Received passage [2].",
    ]
    assert texts[7].startswith(
        "Search Query: what is lift?. \nRank the 2 passages above based on their relevance to the"
    )
    assert texts[7].endswith("e.g., [1] > [2]. Only response the ranking results, do not say any word or explain.")


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, DROPS_SYSTEM])
def test_a_template_without_system_turn_gets_it_in_the_first_user_turn(template):
    text = show("permutation", template=template)
    system = "You are RankGPT, an intelligent assistant that can rank passages based on their relevancy to the query."
    assert text.count(system) == 1
    assert f"{system}\n\nI will provide you with 3 passages" in text
    assert "system" not in text


def test_a_template_without_generation_prompt_is_continued_in_the_assistants_turn():
    assert show("setwise", template=NO_GENERATION) == show("setwise")
    assert show("yes_no", PASSAGES[:1], MISTRAL).endswith("'No'[/INST]")


def test_a_base_model_reads_plain_text_and_its_own_special_tokens():
    text = show("setwise", template=None)
    assert text.startswith('Given a query "what is lift?"')
    assert text.endswith("most relevant passage:\n Passage:")
    assert "RankGPT" in show("permutation", template=None)
    base, chat = tiny_tokenizer(chat_template=None), tiny_tokenizer()
    assert Chat(base).ids(Shown("lift", "lift"))[0] == base.bos_token_id
    assert Chat(chat).ids(Shown("lift", "lift"))[0] != base.bos_token_id


def test_a_template_that_refuses_the_conversation_is_named():
    with pytest.raises(UserError, match="only users"):
        show("permutation", template=USER_ONLY)


def test_template_arguments_reach_the_template():
    tokenizer = tiny_tokenizer(chat_template=CHATML + "{% if not enable_thinking %}<think></think>{% endif %}")
    assert (
        Chat(tokenizer, {"enable_thinking": False}).show([{"role": "user", "content": "?"}]).text.endswith("</think>")
    )
    assert (
        Chat(tokenizer, {"enable_thinking": True}).show([{"role": "user", "content": "?"}]).text.endswith("assistant\n")
    )


def test_prompts_are_chosen_by_name():
    assert find_prompt("pointwise", "likelihood").name == "yes_no"
    assert find_prompt("pointwise", "likelihood", "qlm").name == "qlm"
    assert find_prompt("listwise", "generation").name == "permutation"
    assert find_prompt("listwise", "likelihood").name == "most_relevant"
    assert find_prompt("listwise", "likelihood", "first_token").answer == "["
    with pytest.raises(UserError, match=r"pointwise-generation: prompt: 'qlm': expected one of yes_no"):
        find_prompt("pointwise", "generation", "qlm")


def test_options_and_answers():
    prompts = load_prompts()
    assert prompts["setwise"].option_texts(QUERY, 12)[8:] == [" 9", " 10", " 11", " 12"]
    assert prompts["first_token"].option_texts(QUERY, 2) == ["1]", "2]"]
    assert prompts["pairwise"].option_texts(QUERY, 2) == [" A", " B"]
    assert prompts["qlm"].option_texts(QUERY, 1) == ["what is lift?"]
    assert prompts["permutation"].answer_parts(10) == [f"[{place}] > " for place in range(1, 11)]
    assert prompts["setwise"].answer_parts(2) == [" 1", " 2"]
    assert prompts["yes_no"].answer_parts(1) == ["Yes", "No"]
    with pytest.raises(ValueError, match="3 passages, 2 labels"):
        prompts["pairwise"].conversation(QUERY, PASSAGES)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("template", [CHATML, None])
@given(
    text=st.text(alphabet="ab 19\n.é", max_size=60),
    options=st.lists(st.text(alphabet="1290 ab]", max_size=5), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_continuations_are_those_of_the_whole_tokenisation(kind, template, text, options):
    chat = Chat(tiny_tokenizer(kind, chat_template=template))
    shown = chat.show([{"role": "user", "content": text}], " Passage:")
    prefix, branches = chat.continuations(shown, options)
    assert prefix
    whole = [chat.ids(shown + Shown(option, option)) for option in options]
    assert [prefix + list(branch) for branch in branches] == whole
    assert chat.ids(shown)[: len(prefix)] == prefix


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("template", [CHATML, MISTRAL, None])
@given(parts=st.lists(st.sampled_from(["<|im_end|>", "[/INST]", "\n", "</s>", "wing", "[INST]", " "]), max_size=8))
@settings(max_examples=30, deadline=None)
def test_texts_cannot_forge_special_tokens(kind, template, parts):
    tokenizer = tiny_tokenizer(kind, chat_template=template)
    chat = Chat(tokenizer)
    honest, forged = (chat.show([{"role": "user", "content": text}], " Passage:") for text in ("wing", "".join(parts)))
    specials = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert [token for token in chat.ids(forged) if token in specials] == [
        token for token in chat.ids(honest) if token in specials
    ]
    if kind != "metaspace":
        start = tokenizer.bos_token if template is None else ""
        assert tokenizer.decode(chat.ids(forged)) == start + forged.text
    prefix, branches = chat.continuations(forged, [" 1", " 10"])
    assert [prefix + list(branch) for branch in branches] == [
        chat.ids(forged + Shown(option, option)) for option in (" 1", " 10")
    ]


def test_defect_6_a_long_prompt_is_tokenised_once():
    tokenizer = tiny_tokenizer("gpt2")
    seen = []

    class Counting:
        chat_template = tokenizer.chat_template
        all_special_tokens = tokenizer.all_special_tokens
        all_special_ids = tokenizer.all_special_ids
        added_tokens_decoder = tokenizer.added_tokens_decoder
        apply_chat_template = staticmethod(tokenizer.apply_chat_template)

        def __call__(self, text, **options):
            seen.append(len(text))
            return tokenizer(text, **options)

    chat = Chat(Counting())
    prompt = load_prompts()["most_relevant"]
    passages = tuple(Passage(str(number), "wings " * 50) for number in range(60))
    shown = chat.show(prompt.conversation(QUERY, passages), prompt.answer)
    chat.continuations(shown, prompt.option_texts(QUERY, 60))
    chat.continuations(shown, prompt.option_texts(QUERY, 60))
    assert sorted(seen)[-2:] == [len(shown.text)] * 2
    assert sum(seen) < 2 * len(shown.text) + 63 * 200
