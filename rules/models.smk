# Decoders, as folders in safetensors; the cache is shared by all studies.


rule fetch_model:
    output:
        folder=directory("<resources>/models/{model}"),
    params:
        entry=model_entry,
        code=code_digest("fetch-model"),
    log:
        "<logs>/fetch_model/{model}.log",
    conda:
        "../envs/model.yaml"
    priority: 100
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        "python -m layerrank fetch-model --name {wildcards.model} --entry {params.entry:q}"
        " --cache <resources> --output {output.folder} 2> {log}"
