# Heads from the stored signal, with no model at hand: every head scored, and those that rules choose; in each dtype too.


rule score_heads:
    input:
        signal=PATHS.attention.signal,
        orders=PATHS.heads.order_signals,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
    output:
        "<results>/{collection}/{model}/heads/{heads}.scores.arrow",
    log:
        "<logs>/{collection}/{model}/score_heads.{heads}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        rule=PATHS.heads.scoring,
        orders=PATHS.heads.of_orders,
        code=code_digest("score-heads"),
    shell:
        "python -m layerrank score-heads --rule {params.rule:q} --signal {input.signal:q} {params.orders:q}"
        " --qrels {input.qrels:q} --workers {threads} --output {output:q} 2> {log:q}"


rule choose_heads:
    input:
        scores=PATHS.heads.scores,
        others=PATHS.heads.other_scores,
        within=PATHS.heads.within,
    output:
        chosen="<results>/{collection}/{model}/heads/{heads}.json",
        ranked="<results>/{collection}/{model}/heads/{heads}.ranked.json",
    log:
        "<logs>/{collection}/{model}/choose_heads.{heads}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        rule=PATHS.heads.rule,
        others=PATHS.heads.of_others,
        within=PATHS.heads.within_flags,
        code=code_digest("choose-heads"),
    shell:
        "python -m layerrank choose-heads --name {wildcards.heads} --rule {params.rule:q}"
        " --collection {wildcards.collection} --scores {input.scores:q} --others {params.others:q} {params.within:q}"
        " --output {output.chosen:q} --ranked {output.ranked:q} 2> {log:q}"


use rule score_heads as score_heads_in_dtype with:
    output:
        "<results>/{collection}/{model}/heads/{variant}/{heads}.scores.arrow",
    log:
        "<logs>/{collection}/{model}/score_heads.{variant}.{heads}.log",
    wildcard_constraints:
        heads=one_of(PATHS.heads.rules_in_dtypes),


use rule choose_heads as choose_heads_in_dtype with:
    output:
        chosen="<results>/{collection}/{model}/heads/{variant}/{heads}.json",
        ranked="<results>/{collection}/{model}/heads/{variant}/{heads}.ranked.json",
    log:
        "<logs>/{collection}/{model}/choose_heads.{variant}.{heads}.log",
    wildcard_constraints:
        heads=one_of(PATHS.heads.rules_in_dtypes),
