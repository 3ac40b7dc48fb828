"""Chat templates and tokenizers that would rank nothing: refused before anything is run. A row a case."""

from __future__ import annotations

import time

import pytest
from support.tiny import CHATML, save_tiny, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from layerrank.core.errors import UserError
from layerrank.prompts import chat as chats
from layerrank.prompts.chat import Chat, load_prompts
from layerrank.prompts.icr import PromptSettings
from layerrank.prompts.trial import check_chat, check_icr
from layerrank.ranking.reranker import Reranker

LOOP = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3

REFUSED = [
    ("{{ raise_exception('no such turn') }}", "refuses a conversation of turns user, …: no such turn"),
    ("{{ 1 / 0 }}", "refuses a conversation of turns user, …: division by zero"),
    ("{{ messages[7].content }}", "refuses a conversation of turns user"),
    ("{{ messages + 1 }}", "refuses a conversation of turns user"),
    ("{{ messages.append(1) }}", "refuses a conversation of turns user"),
    ("{{ ().__class__.__bases__[0].__subclasses__() }}{{ nothing.at.all }}", "refuses a conversation of turns user"),
    ("{% for m in messages %}{{ m.content ", "refuses a conversation of turns user"),
    ("{% for i in range(10 ** 9) %}x{% endfor %}", "refuses a conversation of turns user"),
    ("{{ 'x' * 10 ** 13 }}", "refuses a conversation of turns user"),
    ("{{ 'x' * 10 ** 7 }}", "writes 10,000,000 characters for a conversation of turns user"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "refuses a conversation of turns user"),
    (LOOP, "does not end for a conversation of turns user, …, within 0.3 seconds"),
    ("a fixed text", "the query makes no difference to what the model reads"),
    ("{{ messages[0].role }}", "the query makes no difference to what the model reads"),
    ("{{ messages[0].content[:20] }}", "the query makes no difference to what the model reads"),
    ("{{ messages[0].content[:150] }}", "passage 1 makes no difference to what the model reads"),
    ("{{ messages[0].content[:700] }}", "passage 2 makes no difference to what the model reads"),
    ("{{ messages[0].content.split('Passage 2')[0] }}", "passage 2 makes no difference to what the model reads"),
    ("{{ messages[0].content.split('Passage 3')[0] }}", "passage 3 makes no difference to what the model reads"),
]


@pytest.mark.parametrize(("template", "words"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_templates_that_fail_do_not_end_or_drop_what_they_are_given(monkeypatch, template, words):
    if template == LOOP:
        monkeypatch.setattr(chats, "RENDER_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(UserError) as caught:
        check_chat(Chat(tiny_tokenizer(chat_template=template)), load_prompts()["setwise"], "tiny")
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("template", [CHATML, None, "{{ messages | upper }}", "{{ messages }}"])
@pytest.mark.parametrize("name", list(load_prompts()))
def test_templates_that_show_all_pass_every_trial(name, template):
    check_chat(Chat(tiny_tokenizer(chat_template=template)), load_prompts()[name], "tiny")


@pytest.mark.parametrize("name", list(load_prompts()))
def test_a_template_that_shows_the_last_turn_alone_drops_passages_of_a_conversation(name):
    prompt = load_prompts()[name]
    chat = Chat(tiny_tokenizer(chat_template="{{ messages[-1].content }}"))
    if not any("each" in turn for turn in prompt.turns):
        return check_chat(chat, prompt, "tiny")
    with pytest.raises(UserError, match=f"model tiny: prompt {name}: passage 1 makes no difference"):
        check_chat(chat, prompt, "tiny")


def all_alike() -> PreTrainedTokenizerFast:
    """A tokenizer that knows one word."""
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def test_a_tokenizer_that_tells_no_words_apart():
    with pytest.raises(UserError, match="model tiny: prompt setwise: the query makes no difference"):
        check_chat(Chat(all_alike()), load_prompts()["setwise"], "tiny")
    with pytest.raises(UserError, match="model tiny: prompt family qwen: the query makes no difference"):
        check_icr(all_alike(), PromptSettings("qwen"), "tiny")


@pytest.mark.parametrize("kind", ["byte_level", "gpt2", "metaspace", "digits"])
@pytest.mark.parametrize("family", ["llama3", "qwen", "mistral", "chatml"])
def test_tokenizers_that_read_everything(kind, family):
    check_icr(tiny_tokenizer(kind), PromptSettings(family), "tiny")


@pytest.mark.parametrize(("framework", "mechanism"), [("setwise", "generation"), ("pointwise", "likelihood")])
def test_a_reranker_tries_its_prompt_first(tmp_path, framework, mechanism):
    folder = save_tiny(tmp_path / "deaf", "llama", layers=1, chat_template="nothing of it")
    with pytest.raises(UserError, match=r"model deaf: prompt .* makes no difference to what the model reads"):
        Reranker(folder, framework, mechanism)
