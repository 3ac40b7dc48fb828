"""A real engine on the loopback address: llama.cpp, from the wheel of xllamacpp, that serves a tiny model or any GGUF.

`python -P tests/support/llama.py MODEL.gguf PORT [THREADS]` is the server: a program that imports nothing of the tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ENGINE = [sys.executable, "-P", str(Path(__file__))]
SAME_ENDS = ("</s>", "<|im_end|>", "<|eot_id|>")
"""What llama.cpp takes for the end of an answer, by name; the tiny model's own configuration says the same."""


def why_not() -> str | None:
    """Why no engine can be started here, or None."""
    return None if importlib.util.find_spec("xllamacpp") else "needs xllamacpp (extra dev)"


def save_gguf(folder: Path, path: Path, context: int = 4096) -> Path:
    """A tiny model of architecture qwen3 with a byte-level tokenizer as a GGUF file in float32."""
    import gguf
    import transformers
    from safetensors.numpy import load_file

    config: Any = transformers.AutoConfig.from_pretrained(folder)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    special = {token["id"] for token in backend["added_tokens"]}
    pieces = tokenizer.convert_ids_to_tokens(list(range(config.vocab_size)))
    writer.add_token_list(pieces)
    writer.add_token_types([3 if token in special else 1 for token in range(len(pieces))])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in backend["model"]["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, weight in load_file(folder / "model.safetensors").items():
        writer.add_tensor(names.get_name(name, (".weight",)), weight.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@contextlib.contextmanager
def running(model: Path) -> Iterator[str]:
    """The address of a server of a GGUF file, `http://127.0.0.1:PORT/v1`, for the time of the block."""
    port = free_port()
    with subprocess.Popen([*ENGINE, str(model), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    if urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200:
                        break
                assert process.poll() is None, "the engine has ended"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.send_signal(signal.SIGKILL)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(model: str, port: int, threads: int = 1) -> None:
    """Serve until killed: float32 all through, four slots of 4,096 tokens."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.model_alias = {"tiny"}
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.n_parallel, settings.n_ctx = 4, 4 * 4096
    settings.cpuparams.n_threads = threads
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.warmup = False
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:]))
