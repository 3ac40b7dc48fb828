"""Models that were trained to rank: cross-encoders, and yes/no rerankers, against transformers called plainly."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.tiny import CROSS_ENCODERS, save_cross_encoder, save_tiny

import layerrank
from layerrank.__main__ import main
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.models.classifier import load_classifier
from layerrank.models.decoder import load_decoder
from layerrank.models.sources import fetch_model
from layerrank.ranking.cells import Cell
from layerrank.ranking.run import rerank

QUERY = "what is lift"
PASSAGES = [
    Passage("a", "The wing of a plane produces lift when air flows.", "Wings"),
    Passage("b", "Bread rises because yeast turns sugar into carbon dioxide; the oven sets it."),
    Passage("c", "Layers grow."),
    Passage("d", ""),
]


@pytest.fixture(scope="module", params=CROSS_ENCODERS)
def model(request, tmp_path_factory):
    return save_cross_encoder(tmp_path_factory.mktemp("models") / request.param, request.param)


def plain(folder, query, texts):
    """The scores as the model's card computes them, pair by pair."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [float(loaded(**tokenizer(query, text, return_tensors="pt")).logits[0, 0]) for text in texts]


def rows(count=3):
    return [Candidates(Query(f"q{n}", f"{QUERY} {n}"), tuple(PASSAGES), (4.0, 3.0, 2.0, 1.0)) for n in range(count)]


def run(tmp_path, model, **settings):
    output, costs = tmp_path / "run.txt", tmp_path / "costs.jsonl"
    cell = Cell("pointwise", "cross_encoder", {}, settings)
    rerank(rows(), cell, model, output=output, costs=costs, tag="trained", batch_tokens=90)
    return files.read_run(output), files.read_costs(costs)


def test_scores_are_those_of_the_model_called_plainly(tmp_path, model):
    rankings, costs = run(tmp_path, model)
    lengths = transformers.AutoTokenizer.from_pretrained(model)
    for row, ranking, cost in zip(rows(), rankings, costs, strict=True):
        texts = [passage.content for passage in PASSAGES]
        expected = dict(zip("abcd", plain(model, row.query.text, texts), strict=True))
        assert len(set(expected.values())) == 4
        assert list(ranking.pids) == sorted(expected, key=lambda pid: -expected[pid])
        assert ranking.scores == pytest.approx([expected[pid] for pid in ranking.pids], abs=1e-5)
        tokens = sum(len(lengths(row.query.text, text)["input_ids"]) for text in texts)
        assert (cost.groups, cost.forward_passes, cost.prompt_tokens, cost.layer_tokens) == (4, 4, tokens, 2 * tokens)
        assert len(cost.weights) == 64


def test_no_batch_changes_a_score(model):
    one, many = (layerrank.Reranker(model, batch_tokens=size) for size in (1, 10_000))
    for reranker in (one, many):
        assert repr(reranker).endswith("pointwise cross_encoder, float32 on cpu)")
    texts = [passage.content for passage in PASSAGES[:3]]
    found = [{each.text: each.score for each in reranker.rank(QUERY, texts)} for reranker in (one, many)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] == pytest.approx(dict(zip(texts, plain(model, QUERY, texts), strict=True)), abs=1e-5)
    with pytest.raises(ValueError, match="explain: cross_encoder keeps no attention"):
        many.explain(QUERY, texts)


def test_texts_cannot_forge_a_border(model):
    reranker = layerrank.Reranker(model)
    tokenizer = reranker.decoder.tokenizer
    forged = f"air{tokenizer.sep_token}flows"
    score = reranker.rank(QUERY, [forged])[0].score
    ids = tokenizer(QUERY, forged, split_special_tokens=True)["input_ids"]
    assert ids != tokenizer(QUERY, forged)["input_ids"]
    with torch.inference_mode():
        pair = tokenizer(QUERY, forged, split_special_tokens=True, return_tensors="pt")
        assert score == pytest.approx(float(reranker.decoder.model(**pair).logits[0, 0]), abs=1e-5)


def test_the_context_and_the_cut(tmp_path, model):
    limit = load_classifier(model).context
    assert limit == (150 if model.name == "bert" else 200 - 4)
    long = [Candidates(Query("q", QUERY), (Passage("x", "bread " * 300),), (1.0,))]
    out = {"output": tmp_path / "r.txt", "costs": tmp_path / "c.jsonl", "tag": "x"}
    with pytest.raises(UserError, match=rf"query q: 1 passages take \d+ tokens, the model has room for {limit}: lower"):
        rerank(long, Cell("pointwise", "cross_encoder"), model, **out)
    assert not (tmp_path / "r.txt").exists()
    rerank(long, Cell("pointwise", "cross_encoder", {}, {"passage_tokens": 100}), model, **out)
    assert files.read_costs(tmp_path / "c.jsonl")[0].truncated_passages == 1


def test_the_command_resumes_and_refuses(tmp_path, model, capsys):
    files.write_candidates(tmp_path / "candidates.jsonl.gz", rows())
    command = ["rerank", "--candidates", str(tmp_path / "candidates.jsonl.gz"), "--model", str(model)]
    command += ["--output", str(tmp_path / "run.txt"), "--keep"]
    assert main([*command, "--framework", "pointwise", "--mechanism", "cross_encoder"]) == 0
    first = (tmp_path / "run.txt").read_bytes()
    (tmp_path / "run.txt").unlink()
    capsys.readouterr()
    assert main([*command, "--framework", "pointwise", "--mechanism", "cross_encoder"]) == 0
    assert (tmp_path / "run.txt").read_bytes() == first
    for framework, mechanism, words in (
        ("setwise", "cross_encoder", "framework 'setwise': cross_encoder scores one passage: pointwise"),
        ("pointwise", "likelihood", "a cross-encoder ("),
        ("pointwise", "attention", "not a decoder: mechanism cross_encoder ranks with it"),
    ):
        assert main([*command, "--framework", framework, "--mechanism", mechanism]) == 2
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert words in message


def changed(model, folder, **changes):
    """A copy of a model with another configuration."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def test_what_is_no_cross_encoder_is_refused_by_name(tmp_path, model):
    decoder = save_tiny(tmp_path / "decoder", "qwen3", "digits")
    with pytest.raises(UserError, match=r"no cross-encoder: its config.json names Qwen3ForCausalLM, expected"):
        load_classifier(decoder)
    with pytest.raises(UserError, match=r"a cross-encoder .*, not a decoder"):
        load_decoder(model)
    two = save_cross_encoder(tmp_path / "two", model.name, labels=2)
    with pytest.raises(UserError, match="its head has 2 labels; expected one score"):
        load_classifier(two)
    shutil.copytree(model, tmp_path / "lacks")
    weights = load_file(tmp_path / "lacks" / "model.safetensors")
    head = next(name for name in weights if name.startswith("classifier."))
    save_file(
        {k: v for k, v in weights.items() if k != head}, tmp_path / "lacks" / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match=f"the checkpoint lacks weights: {head}"):
        load_classifier(tmp_path / "lacks")
    classes = changed(decoder, tmp_path / "classes", architectures=["Qwen3ForSequenceClassification"], num_labels=1)
    with pytest.raises(UserError):
        load_classifier(classes)  # no head among its weights


def test_a_tokenizer_that_sets_nothing_between_is_refused(tmp_path, model):
    shutil.copytree(model, tmp_path / "run-on")
    path = tmp_path / "run-on" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    path.write_text(json.dumps({**tokenizer, "post_processor": None}))
    with pytest.raises(ValueError, match="its tokenizer sets nothing between query and passage"):
        layerrank.Reranker(tmp_path / "run-on")


def test_older_checkpoints_with_positions_among_their_weights_load(tmp_path, model):
    shutil.copytree(model, tmp_path / "old")
    weights = load_file(tmp_path / "old" / "model.safetensors")
    base = "bert" if model.name == "bert" else "roberta"
    weights[f"{base}.embeddings.position_ids"] = torch.arange(200)[None]
    save_file(weights, tmp_path / "old" / "model.safetensors", {"format": "pt"})
    assert plain(tmp_path / "old", QUERY, ["air"]) == plain(model, QUERY, ["air"])
    assert layerrank.Reranker(tmp_path / "old").rank(QUERY, ["air"])[0].score == pytest.approx(
        plain(model, QUERY, ["air"])[0], abs=1e-5
    )


def test_it_is_fetched_as_any_model(tmp_path, model):
    fetch_model({"source": "folder", "path": str(model)}, tmp_path / "cache", tmp_path / "models" / "mine")
    assert load_classifier(tmp_path / "models" / "mine").name == "mine"


CARD = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: {query}\n<Document>: {text}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def test_a_yes_no_reranker_scores_as_its_card_has_it(tmp_path):
    folder = save_tiny(tmp_path / "reranker", "qwen3", "digits", bos=False, chat_template=TEMPLATE)
    reranker = layerrank.Reranker(folder, "pointwise", "likelihood", mechanism_settings={"prompt": "qwen3_reranker"})
    texts = [passage.content for passage in PASSAGES[:3]]
    found = {each.text: each.score for each in reranker.rank(QUERY, texts)}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def log_p(prompt, label):
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        whole = tokenizer(prompt + label, add_special_tokens=False)["input_ids"]
        assert whole[: len(before)] == before
        with torch.inference_mode():
            logits = loaded(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(logits[place - 1, whole[place]]) for place in range(len(before), len(whole)))

    for text in texts:
        prompt = CARD.format(query=QUERY, text=text)
        pair = torch.tensor([log_p(prompt, "no"), log_p(prompt, "yes")])
        assert found[text] == pytest.approx(float(pair.softmax(0)[1]), abs=1e-5)
