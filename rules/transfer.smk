# Windows carried between the collections of a model, and between the models of a collection.


rule transfer:
    input:
        sweeps=PATHS.transfer_sweeps,
        selections=PATHS.transfer_selections,
    output:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    log:
        "<logs>/transfer.{kind}.{fixed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        sweeps=PATHS.of_transfer_sweeps,
        selections=PATHS.of_transfer_selections,
        same=PATHS.transfer_flags,
        code=code_digest("transfer"),
    shell:
        "python -m layerrank transfer --sweeps {params.sweeps:q} --selections {params.selections:q} {params.same:q}"
        " --output {output:q} 2> {log:q}"
