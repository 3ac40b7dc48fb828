# Category 3 of the report: every window, those that rules chose, and what they lose against the oracle.


rule plot_sweep:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=selections_of,
    output:
        **figure("{collection}/{model}/sweep", "sweep", WINDOWS, "measure by window"),
    log:
        "<logs>/{collection}/{model}/plot_sweep.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        windows=[
            window
            for window in CONFIG["systems"]["cached_windows"]
            if window.startswith("L")
        ],
        code=code_digest("plot-sweep"),
    shell:
        "python -m layerrank plot-sweep --sweep {input.sweep} --evaluation {input.evaluation} --measure {params.measure:q}"
        " --first-stage bm25 --ceiling ceiling --selections {input.selections} --windows {params.windows}"
        " --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_transfer:
    input:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    output:
        **figure(
            "transfer/{kind}.{fixed}",
            "transfer",
            WINDOWS,
            "regret of windows from elsewhere (figure)",
        ),
    log:
        "<logs>/plot_transfer.{kind}.{fixed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-transfer"),
    shell:
        "python -m layerrank plot-transfer --table {input} --measure {params.measure:q} --title {wildcards.fixed}"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule selection_table:
    input:
        every(
            "<results>/{collection}/{model}/windows/{selection}.json",
            selection=SELECTIONS,
        ),
    output:
        **table("selection", "selection_table", WINDOWS, "windows chosen"),
    log:
        "<logs>/selection_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        named=named_selections,
        code=code_digest("selection-table"),
    shell:
        "python -m layerrank selection-table --selections {params.named}"
        " --outputs {output} 2> {log}"


rule transfer_table:
    input:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    output:
        **table(
            "transfer/{kind}.{fixed}",
            "transfer_table",
            WINDOWS,
            "regret of windows from elsewhere",
        ),
    log:
        "<logs>/transfer_table.{kind}.{fixed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("transfer-table"),
    shell:
        "python -m layerrank transfer-table --table {input} --title {wildcards.fixed}"
        " --outputs {output} 2> {log}"
