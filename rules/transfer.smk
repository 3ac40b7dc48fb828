# Windows carried between the collections of a model, and between the models of a collection.


rule transfer:
    input:
        sweeps=PATHS.transfer.sweeps,
        selections=PATHS.transfer.selections,
    output:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    log:
        "<logs>/transfer.{kind}.{fixed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        sweeps=PATHS.transfer.of_sweeps,
        selections=PATHS.transfer.of_selections,
        same=PATHS.transfer.same,
        code=code_digest("transfer"),
    shell:
        "python -m layerrank transfer --sweeps {params.sweeps:q} --selections {params.selections:q} {params.same:q}"
        " --output {output:q} 2> {log:q}"
