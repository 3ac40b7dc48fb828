# Runs: one-prompt attention from the stored signal, every other cell of the grid with the model at hand.


rule rerank_cached:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        signal=cached_signal,
        selection=selection_of,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_cached.{variant}.{system}.log",
    wildcard_constraints:
        system="|".join(systems_where(cached=True)),
    conda:
        "../envs/analysis.yaml"
    params:
        settings=mechanism_settings,
        window=window_flags,
        code=code_digest("rerank-cached"),
    shell:
        "python -m layerrank rerank-cached --candidates {input.candidates} --signal {input.signal}"
        " {params.window} --settings {params.settings:q} --tag {wildcards.system}"
        " --output {output.run} --costs {output.costs} 2> {log}"


rule rerank_online:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model="<resources>/models/{model}",
        check="<results>/{collection}/{model}/prompts/{variant}.json",
        selection=selection_of,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_online.{variant}.{system}.log",
    wildcard_constraints:
        system="|".join(systems_where(cached=False)) or "none",
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=gpus_of,
        mem_mb=model_memory,
        runtime=model_runtime,
    params:
        framework=framework_of,
        framework_settings=framework_settings,
        mechanism=mechanism_of,
        mechanism_settings=mechanism_settings,
        window=window_flags,
        prompt=prompt_settings,
        batch_tokens=CONFIG["systems"]["batch_tokens"],
        max_failure_rate=CONFIG["systems"]["max_failure_rate"],
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates} --model {input.model}"
        " --framework {params.framework} --framework-settings {params.framework_settings:q}"
        " --mechanism {params.mechanism} --mechanism-settings {params.mechanism_settings:q}"
        " {params.window} {params.prompt} --batch-tokens {params.batch_tokens}"
        " --max-failure-rate {params.max_failure_rate} --tag {wildcards.system}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --output {output.run} --costs {output.costs} 2> {log}"
