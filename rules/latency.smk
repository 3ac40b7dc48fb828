# Honest seconds and memory, stage by stage, on a sample of queries.


rule measure_latency:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        model="<resources>/models/{model}",
        check="<results>/{collection}/{model}/prompts/base.json",
        selections=latency_selections,
    output:
        "<results>/{collection}/{model}/latency.tsv",
    log:
        "<logs>/{collection}/{model}/measure_latency.log",
    priority: -10
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=gpus_of,
        mem_mb=model_memory,
        runtime=model_runtime,
    params:
        windows=CONFIG["latency"]["windows"],
        queries=CONFIG["latency"]["queries"],
        repeats=CONFIG["latency"]["repeats"],
        warmup=CONFIG["latency"]["warmup"],
        seed=CONFIG["queries"]["seed"],
        selections=named_latency_selections,
        prompt=base_prompt_settings,
        code=code_digest("measure-latency"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank measure-latency --candidates {input.candidates}"
        " --model {input.model} {params.prompt} --windows {params.windows} {params.selections}"
        " --queries {params.queries} --repeats {params.repeats} --warmup {params.warmup} --seed {params.seed}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --output {output} 2> {log}"
