# Category 5 of the report: what rankings owe to the passage, and what to its place in the prompt.


rule answer_place:
    input:
        orders=every("<results>/{collection}/{model}/orders/sweep.tsv"),
        windows=PATHS.orders.tables,
        comparisons="<results>/tables/comparisons.tsv",
        figure=every("<results>/figures/{collection}/{model}/shares.svg")[0],
    output:
        answer("place", PLACE),
    log:
        "<logs>/answer_place.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        tests=PATHS.report.tests,
        measure=CONFIG["layers"]["measure"],
        links=PATHS.explorer.answer_links,
        code=code_digest("answer-place"),
    shell:
        "python -m layerrank answer-place --orders {input.orders:q} --windows {input.windows:q}"
        " --comparisons {input.comparisons:q} --measure {params.measure:q} {params.tests:q}"
        " --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule plot_shares:
    input:
        "<results>/{collection}/{model}/orders/sweep.tsv",
    output:
        figure(
            "{collection}/{model}/shares",
            "shares",
            PLACE,
            "shares of passage and place",
        ),
    log:
        "<logs>/{collection}/{model}/plot_shares.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-shares"),
    shell:
        "python -m layerrank plot-shares --orders {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_stability:
    input:
        "<results>/{collection}/{model}/orders/sweep.tsv",
    output:
        figure(
            "{collection}/{model}/stability", "stability", PLACE, "stability by window"
        ),
    log:
        "<logs>/{collection}/{model}/plot_stability.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-stability"),
    shell:
        "python -m layerrank plot-stability --orders {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_slopes:
    input:
        "<results>/{collection}/{model}/orders/by_order.tsv",
    output:
        figure(
            "{collection}/{model}/slopes",
            "slopes",
            PLACE,
            "windows from order to order",
        ),
    log:
        "<logs>/{collection}/{model}/plot_slopes.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-slopes"),
    shell:
        "python -m layerrank plot-slopes --by-order {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule orders_table:
    input:
        windows=PATHS.orders.tables,
        comparisons="<results>/tables/comparisons.tsv",
    output:
        table("orders", "orders_table", PLACE, "windows over orders"),
    log:
        "<logs>/orders_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        tests=PATHS.report.tests,
        measure=CONFIG["layers"]["measure"],
        code=code_digest("orders-table"),
    shell:
        "python -m layerrank orders-table --windows {input.windows:q} --comparisons {input.comparisons:q}"
        " --measure {params.measure:q} {params.tests:q} --outputs {output:q} 2> {log:q}"
