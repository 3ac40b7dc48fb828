# Whether scores follow the place in the prompt, or the length of the passage.


rule diagnose:
    input:
        qrels="<results>/{collection}/candidates/base.qrels.txt",
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        signal=PATHS.attention.signal,
        runs="<results>/{collection}/{model}/runs/base/listwise-attention-all.txt",
    output:
        position="<results>/{collection}/{model}/diagnostics/position.tsv",
        length="<results>/{collection}/{model}/diagnostics/length.tsv",
        correlations="<results>/{collection}/{model}/diagnostics/correlations.tsv",
    log:
        "<logs>/{collection}/{model}/diagnose.log",
    conda:
        "../envs/analysis.yaml"
    params:
        seed=CONFIG["evaluation"]["seed"],
        code=code_digest("diagnose"),
    shell:
        "python -m layerrank diagnose --collection {wildcards.collection} --model {wildcards.model} --qrels {input.qrels:q}"
        " --candidates {input.candidates:q} --signal {input.signal:q} --runs listwise-attention-all={input.runs:q}"
        " --seed {params.seed} --position {output.position:q} --length {output.length:q} --correlations {output.correlations:q} 2> {log:q}"
