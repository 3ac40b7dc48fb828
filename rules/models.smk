# Decoders, as folders in safetensors; the cache is shared by all studies, and a folder's name says what made it.


rule fetch_model:
    output:
        folder=directory("<resources>/models/{model}-{identity}"),
    log:
        "<logs>/fetch_model/{model}-{identity}.log",
    wildcard_constraints:
        model=one_of(PATHS.models.folders),
    priority: 100
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        entry=PATHS.models.source,
        code=code_digest("fetch-model"),
    shell:
        "python -m layerrank fetch-model --name {wildcards.model} --entry {params.entry:q}"
        ' --cache "$LAYERRANK_CACHE" --output {output.folder:q} 2> {log:q}'


# What is served is tried once for a study: every job is held against what was found.
rule try_server:
    input:
        model=PATHS.models.folder,
    output:
        "<results>/models/{model}.json",
    log:
        "<logs>/try_server/{model}.log",
    wildcard_constraints:
        model=PATHS.models.where(served=True),
    priority: 80
    conda:
        "../envs/model.yaml"
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.models.memory,
        runtime=PATHS.models.runtime,
    params:
        code=code_digest("try-server"),
    shell:
        'python -m layerrank try-server --model {input.model:q} "${{SERVED[@]}}" --output {output:q} 2> {log:q}'


rule fetch:
    input:
        PATHS.downloads,
