"""Explanations of one's own texts: what they say is what the ranking did, token by token and head by head."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.reference import eager_pass
from support.tiny import save_tiny

from layerrank import Reranker
from layerrank.__main__ import main
from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.prompts.icr import build_icr

QUERY = "what lifts a wing?"
PASSAGES = {
    "air": "Air flows over the wing of a plane.",
    "bread": {"title": "Bread", "text": "  Bread rises <b>because</b> yeast turns sugar. "},
    "layer": "Boundary layers grow when air flows.",
    7: "12 3",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny", "llama")


@pytest.fixture(scope="module")
def reranker(folder):
    return Reranker(folder, window="1-2", dtype="float32", family="llama3")


@pytest.fixture(scope="module")
def explanation(reranker):
    return reranker.explain(QUERY, PASSAGES, heads=True)


def test_it_ranks_as_the_reranker_does(reranker, explanation):
    results = reranker.rank(QUERY, PASSAGES)
    assert explanation.ranking == [result.id for result in results]
    scores = dict(zip(explanation.ids, explanation.scores, strict=True))
    assert [scores[result.id] for result in results] == pytest.approx([result.score for result in results])
    assert explanation.scores_by_layer.shape == (3, 4)  # layers above the window are not read


def test_tokens_join_to_the_text_and_add_up_to_the_score(explanation):
    for place, id_ in enumerate(explanation.ids):
        tokens = explanation.tokens(id_)
        shown = "".join(text for text, _, _ in tokens)
        passage = PASSAGES[id_]
        content = passage if isinstance(passage, str) else f"{passage['title']}\n{passage['text']}".strip()
        assert shown == f"[{4 - place}] {content.strip()}"
        assert sum(value for _, value, kept in tokens if kept) == pytest.approx(explanation.scores[place], abs=1e-6)
        assert "".join(shown[begin:end] for begin, end in explanation.spans(id_)) == shown


def test_heads_are_eager_attentions(reranker, explanation):
    """(q − n) of every head and token from two plain passes of the whole model."""
    decoder = reranker.decoder
    shown = [
        Passage(str(i), text if isinstance(text, str) else text["text"], "" if isinstance(text, str) else "Bread")
        for i, text in enumerate(PASSAGES.values())
    ]
    prompt = build_icr(decoder.tokenizer, "llama3", Query("q", QUERY), shown)
    means = []
    for branch, (begin, end) in zip(prompt.tree.branches, prompt.rows, strict=True):
        weights, _ = eager_pass(decoder.model, [*prompt.tree.prefix, *branch])
        start = len(prompt.tree.prefix)
        means.append(weights[:, :, start + begin : start + end].mean(axis=2))
    tokens = np.concatenate([np.arange(begin, end) for begin, end in prompt.spans])
    np.testing.assert_allclose(explanation.by_head, means[0][:, :, tokens] - means[1][:, :, tokens], atol=1e-5)
    frame = explanation.to_frame(heads=True)
    assert len(frame) == explanation.by_head.size
    row = frame[(frame["passage"] == "layer") & (frame["layer"] == 2) & (frame["head"] == 1) & (frame["token"] == 3)]
    before = sum(len(explanation.tokens(id_)) for id_ in ("air", "bread"))
    assert row["value"].item() == pytest.approx(float(explanation.by_head[2, 1, before + 3]))
    for signal, values in (("raw", means[0]), ("na", means[1])):
        own = explanation.to_frame(signal=signal)["value"].to_numpy().reshape(-1, len(tokens))
        np.testing.assert_allclose(own, values.sum(axis=1)[: len(own)][:, tokens], atol=1e-5)
    by_layer = explanation.to_frame()
    summed = frame.groupby(["passage", "layer", "token"], sort=False)["value"].sum()
    np.testing.assert_allclose(by_layer["value"], summed, atol=1e-5)


def test_the_reversed_order_is_the_other_prompt(reranker, explanation):
    turned = reranker.rank(QUERY, dict(reversed(list(PASSAGES.items()))))
    column = explanation.view.column(LayerWindow(1, 2))
    assert [explanation.ids[i] for i in explanation.view.views[1].orders[column]] == [result.id for result in turned]
    assert f"rank {explanation.view.rank(0, LayerWindow(1, 2), 1)} when reversed" in explanation.sentence("air")


def test_words_by_the_signal_asked_for(explanation):
    raw, na, calibrated = (explanation.tokens("air", signal=name) for name in ("raw", "na", "calibrated"))
    for (_, q, counts), (_, n, _), (_, c, _) in zip(raw, na, calibrated, strict=True):
        assert counts and q == pytest.approx(n + c, abs=1e-6) and q > 0 and n > 0
    assert "of the query's attention" in explanation.sentence("air", signal="raw")
    with pytest.raises(ValueError, match="signal 'x': one of calibrated, raw, na"):
        explanation.tokens(signal="x")
    with pytest.raises(ValueError, match="signal 'raw': heads are read"):
        explanation.to_frame(heads=True, signal="raw")


def test_weights_for_diffir(explanation):
    (line,) = explanation.diffir_weights("q1").splitlines()
    documents = json.loads(line)["q1"]
    assert list(documents) == ["air", "bread", "layer", "7"]
    text = PASSAGES["bread"]["text"]
    parts = documents["bread"]["text"]
    assert "".join(text[begin:end] for begin, end, _ in parts).strip() == text.strip()
    kept = {value for _, value, keep in explanation.tokens("bread") if keep}
    assert all(weight == 0 or weight in kept for _, _, weight in parts)


def test_the_page_of_one_query(explanation, tmp_path):
    explanation.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == explanation.to_html() and "<b>because</b>" not in page
    assert explanation._repr_html_().startswith("<iframe srcdoc=")
    assert "4 passages, layers 1–2: " in repr(explanation)


@pytest.mark.parametrize("passages", [[], ["one alone"], ["same", "same"]])
def test_few_passages(reranker, passages):
    found = reranker.explain(QUERY, passages)
    assert sorted(found.ranking) == list(range(len(passages)))
    assert found.to_html()
    if not passages:
        with pytest.raises(UserError, match="there is no passage"):
            found.sentence()


def test_what_cannot_be_explained(folder, explanation):
    likely = Reranker(folder, "pointwise", "likelihood", dtype="float32")
    with pytest.raises(ValueError, match="likelihood keeps no attention"):
        likely.explain(QUERY, ["a"])
    with pytest.raises(UserError, match="no passage 'x'; they are air, bread"):
        explanation.sentence("x")


@pytest.mark.parametrize("name", ["none.jsonl", "none.txt"])
def test_no_passage_is_no_page(folder, tmp_path, capsys, name):
    (tmp_path / name).write_text("\n \n" if name.endswith(".txt") else "")
    output = tmp_path / "page.html"
    arguments = ["explain", "--model", str(folder), "--query", "what lifts?", "--output", str(output)]
    assert main([*arguments, "--passages", str(tmp_path / name)]) == 2
    assert f"{name}: it holds no passage" in capsys.readouterr().err and not output.exists()


def test_from_the_shell(folder, tmp_path, capsys):
    (tmp_path / "passages.jsonl").write_text('{"_id": "a", "text": "Air flows."}\n{"_id": "b", "text": "Bread."}\n')
    arguments = ["explain", "--model", str(folder), "--family", "llama3", "--query", "what lifts?"]
    output = tmp_path / "page.html"
    assert (
        main([*arguments, "--passages", str(tmp_path / "passages.jsonl"), "--window", "1-2", "--output", str(output)])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and {line.split("\t")[1] for line in lines} == {"a", "b"}
    assert output.read_text().startswith("<!doctype html>")
    (tmp_path / "lines.txt").write_text("first text\nsecond text\n")
    assert main([*arguments, "--passages", str(tmp_path / "lines.txt"), "--output", str(output)]) == 0
