# Category 4 of the report: seconds, tokens and passes, and what they buy.


rule answer_windows:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
        costs=every("<results>/{collection}/{model}/evaluation/base.costs.tsv"),
        latencies=(
            every("<results>/{collection}/{model}/latency.tsv")
            if CONFIG["latency"]["windows"]
            else []
        ),
        over_orders=PATHS.orders.tables,
        figure=every("<results>/figures/{collection}/{model}/pareto.base.svg")[0],
    output:
        answer("windows", COST),
    log:
        "<logs>/answer_windows.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        tests=PATHS.report.tests,
        measure=LEAD_MEASURE,
        links=PATHS.explorer.answer_links,
        code=code_digest("answer-windows"),
    shell:
        "python -m layerrank answer-windows --means {input.means:q} --comparisons {input.comparisons:q}"
        " --costs {input.costs:q} --latencies {input.latencies:q} --over-orders {input.over_orders:q} --measure {params.measure:q} {params.tests:q}"
        " --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule plot_pareto:
    input:
        means="<results>/tables/means.tsv",
        costs="<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
    output:
        figure(
            "{collection}/{model}/pareto.{variant}",
            "pareto",
            COST,
            "quality against cost",
        ),
    log:
        "<logs>/{collection}/{model}/plot_pareto.{variant}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        measure=LEAD_MEASURE,
        code=code_digest("plot-pareto"),
    shell:
        "python -m layerrank plot-pareto --means {input.means:q} --costs {input.costs:q} --cost layer_tokens --measure {params.measure:q}"
        " --collections {wildcards.collection} --models {wildcards.model} --variant {wildcards.variant} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_latency:
    input:
        "<results>/{collection}/{model}/latency.tsv",
        PATHS.latency.trained,
    output:
        figure("{collection}/{model}/latency", "latency", COST, "seconds by stage"),
    log:
        "<logs>/{collection}/{model}/plot_latency.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-latency"),
    shell:
        "python -m layerrank plot-latency --table {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule cost_table:
    input:
        ranked(
            "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
            PATHS.evaluation.shown,
        ),
    output:
        table("costs", "costs_table", COST, "costs of systems"),
    log:
        "<logs>/cost_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("cost-table"),
    shell:
        "python -m layerrank cost-table --costs {input:q} --outputs {output:q} 2> {log:q}"
