# Tables of the report, each as TSV, styled HTML, LaTeX and Markdown.


rule effectiveness_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        **table(
            "effectiveness.{variant}",
            "effectiveness_table",
            EFFECTIVENESS,
            "all systems",
        ),
    log:
        "<logs>/effectiveness_table.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        marks=table_marks,
        measures=measures_of,
        code=code_digest("effectiveness-table"),
    shell:
        "python -m layerrank effectiveness-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {wildcards.variant} {params.marks} --measures {params.measures}"
        " --outputs {output} 2> {log}"


rule comparison_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        **table(
            "comparison.{variant}", "comparison_table", EFFECTIVENESS, "paired tests"
        ),
    log:
        "<logs>/comparison_table.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        marks=table_marks,
        measure=LEAD_MEASURE,
        code=code_digest("comparison-table"),
    shell:
        "python -m layerrank comparison-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {wildcards.variant} {params.marks} --measures {params.measure:q}"
        " --outputs {output} 2> {log}"


rule grid_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        **table("grid", "grid_table", EFFECTIVENESS, "frameworks × mechanisms"),
    log:
        "<logs>/grid_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        marks=table_marks,
        measure=LEAD_MEASURE,
        variant=GRID,
        code=code_digest("grid-table"),
    shell:
        "python -m layerrank grid-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {params.variant} {params.marks} --measure {params.measure:q}"
        " --outputs {output} 2> {log}"


rule shape_table:
    input:
        every("<results>/{collection}/{model}/layers/shape.tsv", ["base"]),
    output:
        **table("shape", "shape_table", EMERGENCE, "shape of the curve"),
    log:
        "<logs>/shape_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        named=named_selections,
        code=code_digest("shape-table"),
    shell:
        "python -m layerrank shape-table --shapes {params.named}"
        " --outputs {output} 2> {log}"


rule selection_table:
    input:
        every(
            "<results>/{collection}/{model}/windows/{selection}.json",
            ["base"],
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
        "<results>/tables/{model}/transfer.values.tsv",
    output:
        **table(
            "{model}/transfer",
            "transfer_table",
            WINDOWS,
            "regret of windows from elsewhere",
        ),
    log:
        "<logs>/transfer_table.{model}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("transfer-table"),
    shell:
        "python -m layerrank transfer-table --table {input} --title {wildcards.model}"
        " --outputs {output} 2> {log}"


rule cost_table:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.costs.tsv", SHOWN),
    output:
        **table("costs", "costs_table", COST, "costs of systems"),
    log:
        "<logs>/cost_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("cost-table"),
    shell:
        "python -m layerrank cost-table --costs {input}" " --outputs {output} 2> {log}"


rule outcome_table:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.costs.tsv", SHOWN),
    output:
        **table("outcomes", "outcomes_table", DIAGNOSTICS, "answers of models"),
    log:
        "<logs>/outcome_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("outcome-table"),
    shell:
        "python -m layerrank outcome-table --costs {input}"
        " --outputs {output} 2> {log}"


rule diagnostics_table:
    input:
        every("<results>/{collection}/{model}/diagnostics/correlations.tsv", ["base"]),
    output:
        **table(
            "diagnostics",
            "diagnostics_table",
            DIAGNOSTICS,
            "rank correlations of scores",
        ),
    log:
        "<logs>/diagnostics_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("diagnostics-table"),
    shell:
        "python -m layerrank diagnostics-table --correlations {input}"
        " --outputs {output} 2> {log}"


rule sensitivity_table:
    input:
        "<results>/tables/differences.tsv",
    output:
        **table("sensitivity", "sensitivity_table", DIAGNOSTICS, "sensitivity"),
    log:
        "<logs>/sensitivity_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        variants=as_json(SENSITIVITY),
        code=code_digest("sensitivity-table"),
    shell:
        "python -m layerrank sensitivity-table --differences {input} --measure {params.measure:q}"
        " --variants {params.variants:q}"
        " --outputs {output} 2> {log}"


rule published_table:
    input:
        means="<results>/tables/means.tsv",
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv", ["base"]),
    output:
        **table("published", "published_table", DIAGNOSTICS, "published and measured"),
    log:
        "<logs>/published_table.log",
    conda:
        "../envs/analysis.yaml"
    params:
        profiles=named_profiles,
        code=code_digest("published-table"),
    shell:
        "python -m layerrank published-table --means {input.means} --profiles {params.profiles}"
        " --outputs {output} 2> {log}"
