# Category 3 of the report: every window, those that rules chose, and what they lose against the oracle.


rule answer_choice:
    input:
        selections=every(
            "<results>/{collection}/{model}/windows/{selection}.json",
            selection=PATHS.layers.selections,
        ),
        means="<results>/tables/means.tsv",
        comparisons=PATHS.head_sets.compared,
        figure=every("<results>/figures/{collection}/{model}/sweep.svg")[0],
    output:
        answer("choice", WINDOWS),
    log:
        "<logs>/answer_choice.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        tests=PATHS.report.tests,
        measure=LEAD_MEASURE,
        links=PATHS.explorer.answer_links,
        variant=PATHS.head_sets.variant,
        code=code_digest("answer-choice"),
    shell:
        "python -m layerrank answer-choice --selections {input.selections:q} --means {input.means:q}"
        " --comparisons {input.comparisons:q} --heads-in {params.variant} --measure {params.measure:q} {params.tests:q}"
        " --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule plot_sweep:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=PATHS.layers.selections_of,
    output:
        figure("{collection}/{model}/sweep", "sweep", WINDOWS, "measure by window"),
    log:
        "<logs>/{collection}/{model}/plot_sweep.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        measure=CONFIG["layers"]["measure"],
        windows=PATHS.layers.fixed_windows,
        code=code_digest("plot-sweep"),
    shell:
        "python -m layerrank plot-sweep --sweep {input.sweep:q} --evaluation {input.evaluation:q} --measure {params.measure:q}"
        " --first-stage bm25 --ceiling ceiling --selections {input.selections:q} --windows {params.windows:q}"
        " --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_transfer:
    input:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    output:
        figure(
            "transfer/{kind}.{fixed}",
            "transfer",
            WINDOWS,
            "regret of windows from elsewhere (figure)",
        ),
    log:
        "<logs>/plot_transfer.{kind}.{fixed}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-transfer"),
    shell:
        "python -m layerrank plot-transfer --table {input:q} --measure {params.measure:q} --title {wildcards.fixed}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule selection_table:
    input:
        selections=every(
            "<results>/{collection}/{model}/windows/{selection}.json",
            selection=PATHS.layers.selections,
        ),
        over_orders=PATHS.orders.tables,
    output:
        table("selection", "selection_table", WINDOWS, "windows chosen"),
    log:
        "<logs>/selection_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("selection-table"),
    shell:
        "python -m layerrank selection-table --selections {input.selections:q} --over-orders {input.over_orders:q}"
        " --outputs {output:q} 2> {log:q}"


rule transfer_table:
    input:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    output:
        table(
            "transfer/{kind}.{fixed}",
            "transfer_table",
            WINDOWS,
            "regret of windows from elsewhere",
        ),
    log:
        "<logs>/transfer_table.{kind}.{fixed}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("transfer-table"),
    shell:
        "python -m layerrank transfer-table --table {input:q} --title {wildcards.fixed} --outputs {output:q} 2> {log:q}"
