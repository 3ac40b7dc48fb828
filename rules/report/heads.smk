# Heads beside windows, in category 3 of the report, where a study has rules that choose them.


rule heads_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
        costs=PATHS.head_sets.costs,
        over_orders=PATHS.head_sets.over_orders,
        chosen=PATHS.head_sets.chosen,
    output:
        table("heads", "heads_table", WINDOWS, "windows and heads"),
    log:
        "<logs>/heads_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        chosen=PATHS.head_sets.of_chosen,
        tests=PATHS.report.tests,
        measure=LEAD_MEASURE,
        variant=PATHS.head_sets.variant,
        code=code_digest("heads-table"),
    shell:
        "python -m layerrank heads-table --means {input.means:q} --comparisons {input.comparisons:q} --costs {input.costs:q}"
        " --over-orders {input.over_orders:q} --chosen {params.chosen:q} --measure {params.measure:q} {params.tests:q}"
        " --variant {params.variant} --outputs {output:q} 2> {log:q}"


rule plot_heads:
    input:
        heads="<results>/{collection}/{model}/heads/map.tsv",
        chosen=PATHS.heads.chosen,
    output:
        figure("{collection}/{model}/heads", "heads", EMERGENCE, "measure by head"),
    log:
        "<logs>/{collection}/{model}/plot_heads.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-heads"),
    shell:
        "python -m layerrank plot-heads --heads {input.heads:q} --chosen {input.chosen:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_head_counts:
    input:
        "<results>/{collection}/{model}/heads/counts.tsv",
    output:
        figure(
            "{collection}/{model}/head_counts",
            "head_counts",
            WINDOWS,
            "how many heads it takes",
        ),
    log:
        "<logs>/{collection}/{model}/plot_head_counts.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-head-counts"),
    shell:
        "python -m layerrank plot-head-counts --counts {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule head_agreement_table:
    input:
        "<results>/tables/heads/agreement.tsv",
    output:
        table(
            "head_agreement", "head_agreement_table", WINDOWS, "agreement of head sets"
        ),
    log:
        "<logs>/head_agreement_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("head-agreement-table"),
    shell:
        "python -m layerrank head-agreement-table --agreement {input:q} --outputs {output:q} 2> {log:q}"


rule head_transfer_table:
    input:
        PATHS.head_sets.transferred,
    output:
        table("head_transfer", "head_transfer_table", WINDOWS, "heads from elsewhere"),
    log:
        "<logs>/head_transfer_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("head-transfer-table"),
    shell:
        "python -m layerrank head-transfer-table --transfer {input:q} --outputs {output:q} 2> {log:q}"
