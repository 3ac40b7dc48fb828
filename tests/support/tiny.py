"""Tiny random decoders and tokenizers trained in place: whole model folders in well under a second, no network.

    folder = save_tiny(tmp_path / "llama", "llama", "byte_level")        # config, safetensors, tokenizer
    model = tiny_model("gemma3")                                          # a *ForCausalLM in float32, eval mode
    tokenizer = tiny_tokenizer("metaspace")

Weights are drawn wide (`initializer_range` 0.15 and random norms), so that attention is far from uniform and a wrong
mask shows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

LAYERS = 4
HEADS = 4
KV_HEADS = 2
CONTEXT = 4096
WINDOW = 24

SPECIALS = (
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "[INST]",
    "[/INST]",
)

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CORPUS = (
    " Here are some paragraphs: \n\n[1] The wing of a plane produces lift when air flows. \n\n[2] Layers grow. \n\n",
    "Please find information that are relevant to the following query in the paragraphs above. \n\nQuery: what is",
    "Please answer the following question based on the information in the paragraphs above.\n\nQuery: N/A system user",
    "Given a query, which of the following passages is the most relevant one to the query? Passage 1: Passage A: B:",
    "Output only the passage label of the most relevant passage: Does the passage answer it? Answer 'Yes' or 'No'.",
    "Bread rises because yeast turns sugar into carbon dioxide; the oven sets it. Die Straße ist naß, café, naïve.",
    "Numbers 0 1 2 3 4 5 6 7 8 9 10 11 12 20 25 50 100 1984 stand here. [10] > [2] > [1] and so on, word after word.",
)

TOKENIZERS = ("byte_level", "gpt2", "metaspace", "digits")

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@functools.cache
def _backend(kind: str, vocabulary: int) -> str:
    """JSON of a trained `tokenizers.Tokenizer`."""
    specials = list(SPECIALS)
    if kind == "metaspace":  # as Mistral's and Llama 2's: metaspace, merges, bytes for what is unknown
        pieces = [*specials, *(f"<0x{value:02X}>" for value in range(256))]
        tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=pieces, show_progress=False)
        words = [word for text in CORPUS for word in text.replace(" ", " ▁").split(" ")]
        tokenizer.normalizer, kept = None, tokenizer.normalizer
        tokenizer.train_from_iterator(words * 3, trainer)
        tokenizer.normalizer = kept
        tokenizer.add_special_tokens(specials)
    elif kind in ("byte_level", "gpt2", "digits"):
        tokenizer = tokenizers.Tokenizer(models.BPE())
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2")
        if kind == "gpt2":  # as GPT-2's and SmolLM2's: the regular expression of ByteLevel, digits alone
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), byte_level]
            )
        else:  # as Llama 3's and (one digit at a time) Qwen's
            pattern = LLAMA3_SPLIT if kind == "byte_level" else LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
            split = pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated")
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=specials,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(CORPUS * 3, trainer)
    else:
        raise KeyError(f"tokenizer {kind!r}: one of {TOKENIZERS}")
    return tokenizer.to_str()


def tiny_tokenizer(
    kind: str = "byte_level", *, bos: bool = True, chat_template: str | None = CHATML, vocabulary: int = 480
) -> Any:
    """A `PreTrainedTokenizerFast` of `vocabulary` tokens with offsets; `bos` adds `<s>` as Llama's tokenizers do."""
    backend = tokenizers.Tokenizer.from_str(_backend(kind, vocabulary))
    if bos:
        start = backend.token_to_id("<s>")
        template = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", start)])
        byte_level = processors.ByteLevel(trim_offsets=False)
        backend.post_processor = template if kind == "metaspace" else processors.Sequence([byte_level, template])
    elif kind != "metaspace":
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>" if kind == "metaspace" else None,
        pad_token="<pad>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def _config(architecture: str, layers: int, vocabulary: int, changes: Mapping[str, Any]) -> Any:
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": 16,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.15,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 3,
        "tie_word_embeddings": False,
    }
    alternating = ["full_attention" if index % 2 else "sliding_attention" for index in range(layers)]
    if architecture == "llama":
        config: Any = transformers.LlamaConfig(**{**common, **changes})
    elif architecture == "qwen3":
        config = transformers.Qwen3Config(**{**common, **changes})
    elif architecture == "qwen2_window":
        window = {"use_sliding_window": True, "sliding_window": WINDOW, "layer_types": alternating}
        config = transformers.Qwen2Config(**{**common, **window, **changes})
    elif architecture == "mistral":
        config = transformers.MistralConfig(**{**common, "sliding_window": None, **changes})
    elif architecture == "mistral_window":
        config = transformers.MistralConfig(**{**common, "sliding_window": WINDOW, **changes})
    elif architecture == "gemma2":
        soft = {"sliding_window": WINDOW, "layer_types": alternating, "query_pre_attn_scalar": 16}
        config = transformers.Gemma2Config(**{**common, **soft, **changes})
    elif architecture == "gemma3":
        extra = {"sliding_window": WINDOW, "layer_types": alternating, "query_pre_attn_scalar": 16}
        config = transformers.Gemma3TextConfig(**{**common, **extra, **changes})
    elif architecture == "phi3":
        config = transformers.Phi3Config(**{**common, "hidden_size": 64, "sliding_window": None, **changes})
    elif architecture == "olmo2":
        config = transformers.Olmo2Config(**{**common, "hidden_size": 64, **changes})
    elif architecture == "gpt_oss":
        extra = {"sliding_window": WINDOW, "layer_types": alternating, "num_local_experts": 4, "num_experts_per_tok": 2}
        config = transformers.GptOssConfig(**{**common, **extra, **changes})
    else:
        raise KeyError(f"architecture {architecture!r}: one of {ARCHITECTURES}")
    return config


ARCHITECTURES = (
    "llama",
    "qwen3",
    "qwen2_window",
    "mistral",
    "mistral_window",
    "gemma2",
    "gemma3",
    "phi3",
    "olmo2",
    "gpt_oss",
)


def tiny_model(
    architecture: str = "llama", *, layers: int = LAYERS, vocabulary: int = 480, seed: int = 0, **changes: Any
) -> Any:
    """A random `*ForCausalLM` in float32 and eval mode; `changes` go to its configuration."""
    config = _config(architecture, layers, vocabulary, changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1 and "norm" in name:
                    parameter.add_(torch.rand_like(parameter) * 0.5)
                elif parameter.ndim == 1:
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.requires_grad_(False)


def save_tiny(
    folder: Path | str,
    architecture: str = "llama",
    tokenizer: str | PreTrainedTokenizerBase = "byte_level",
    *,
    layers: int = LAYERS,
    seed: int = 0,
    bos: bool = True,
    chat_template: str | None = CHATML,
    **changes: Any,
) -> Path:
    """Save a tiny model with its tokenizer as a model folder and return it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(tokenizer, str):
        tokenizer = tiny_tokenizer(tokenizer, bos=bos, chat_template=chat_template)
    model = tiny_model(architecture, layers=layers, vocabulary=len(tokenizer), seed=seed, **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


CROSS_ENCODERS = ("bert", "xlm-roberta")


def save_cross_encoder(folder: Path | str, kind: str = "bert", *, labels: int = 1, seed: int = 0) -> Path:
    """Save a tiny random cross-encoder, with a head of `labels` scores that tell texts apart, and return its folder."""
    common: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "initializer_range": 0.3,
        "num_labels": labels,
        "pad_token_id": 3,
        "max_position_embeddings": 200,
    }
    backend = tokenizers.Tokenizer.from_str(_backend("byte_level", 480))
    start, end = "<s>", "</s>"
    between = f"{end} {end}" if kind == "xlm-roberta" else end
    second = 0 if kind == "xlm-roberta" else 1
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {between} $B:{second} {end}:{second}",
        special_tokens=[(name, backend.token_to_id(name)) for name in (start, end)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token=start,
        sep_token=end,
        pad_token="<pad>",
        model_max_length=150 if kind == "bert" else 10**30,
        model_input_names=["input_ids", "attention_mask", *(["token_type_ids"] if kind == "bert" else [])],
    )
    config: Any = {"bert": transformers.BertConfig, "xlm-roberta": transformers.XLMRobertaConfig}[kind](
        vocab_size=len(tokenizer), type_vocab_size=2 if kind == "bert" else 1, **common
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    folder = Path(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
