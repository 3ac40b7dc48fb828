# One forward pass a query reads the attention of every layer; everything about layers follows from what is stored here.


rule check_prompts:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model="<resources>/models/{model}",
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
        prompt=prompt_settings,
        code=code_digest("check-prompts"),
    shell:
        "python -m layerrank check-prompts --collection {wildcards.collection} --candidates {input.candidates}"
        " --model {input.model} {params.prompt} --output {output} 2> {log}"


rule extract_attention:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model="<resources>/models/{model}",
        check="<results>/{collection}/{model}/prompts/{variant}.json",
    output:
        "<results>/{collection}/{model}/attention/{variant}.shard-{shard}-of-{shards}.arrow",
    log:
        "<logs>/{collection}/{model}/extract_attention.{variant}.shard-{shard}-of-{shards}.log",
    priority: 50
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=gpus_of,
        mem_mb=model_memory,
        runtime=model_runtime,
    params:
        prompt=prompt_settings,
        code=code_digest("extract-attention"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank extract-attention --candidates {input.candidates}"
        " --model {input.model} {params.prompt} --shard {wildcards.shard} --shards {wildcards.shards}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --keep --output {output} 2> {log}"
