# One forward pass a query reads the attention of every layer; everything about layers follows from what is stored here.


rule check_prompts:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model=PATHS.models.folder,
    output:
        "<results>/{collection}/{model}/prompts/{variant}.json",
    log:
        "<logs>/{collection}/{model}/check_prompts.{variant}.log",
    priority: 70
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        prompt=PATHS.attention.checked_prompt,
        code=code_digest("check-prompts"),
    shell:
        "python -m layerrank check-prompts --collection {wildcards.collection} --candidates {input.candidates:q}"
        " --model {input.model:q} --prompts {params.prompt:q} --outputs {output:q} 2> {log:q}"


# No rule reads what it writes, so that a new window costs no signal; it comes before all that reads prompts.
rule check_layers:
    input:
        model=PATHS.models.folder,
    output:
        "<results>/models/{model}.json",
    log:
        "<logs>/check_layers/{model}.log",
    wildcard_constraints:
        model=PATHS.models.where(served=False),
    priority: 80
    conda:
        "../envs/model.yaml"
    params:
        asked=PATHS.models.asked,
        code=code_digest("check-layers"),
    shell:
        "python -m layerrank check-layers --model {input.model:q} --asked {params.asked:q} --output {output:q} 2> {log:q}"


# Whether every prompt fits its model, and every window, for all pairs at once and before any GPU is asked for.
rule prompts:
    input:
        PATHS.checks,
        every(
            "<results>/{collection}/{model}/prompts/{variant}.json",
            PATHS.attention.variants,
        ),


rule extract_attention:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model=PATHS.models.folder,
        check="<results>/{collection}/{model}/prompts/{variant}.json",
    output:
        "<results>/{collection}/{model}/attention/{variant}.shard-{shard}-of-{shards}.arrow",
    log:
        "<logs>/{collection}/{model}/extract_attention.{variant}.shard-{shard}-of-{shards}.log",
    priority: 50
    conda:
        "../envs/model.yaml"
    threads: PATHS.models.threads
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.attention.memory,
        runtime=PATHS.models.runtime,
    params:
        prompt=PATHS.attention.prompt,
        parts=PATHS.attention.parts,
        code=code_digest("extract-attention"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank extract-attention --candidates {input.candidates:q}"
        " --model {input.model:q} {params.prompt:q} {params.parts} --shard {wildcards.shard} --shards {wildcards.shards}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --keep --output {output:q} 2> {log:q}"
