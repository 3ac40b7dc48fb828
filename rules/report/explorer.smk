# The report's first item: a page for each model and collection, on which a window is dragged and the ranking follows.


rule explore:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        qrels="<results>/{collection}/candidates/base.qrels.txt",
        model=PATHS.models.folder,
        check="<results>/{collection}/{model}/prompts/base.json",
        signals=PATHS.explorer.signals,
        runs=PATHS.explorer.runs,
        selections=PATHS.layers.selections_of,
        profile="<results>/{collection}/{model}/layers/profile.tsv",
        orders=PATHS.explorer.shares,
    output:
        PATHS.items.page(
            "explorer/{collection}/{model}", "explorer", EXPLORER, "explore"
        ),
    log:
        "<logs>/{collection}/{model}/explore.log",
    conda:
        "../../envs/model.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        signals=PATHS.explorer.of_signals,
        runs=PATHS.explorer.of_runs,
        windows=PATHS.explorer.windows,
        prompt=PATHS.attention.prompt,
        measure=CONFIG["layers"]["measure"],
        strategy=CONFIG["layers"]["strategy"],
        chosen=as_json(CONFIG["explorer"]["chosen"]),
        queries=CONFIG["explorer"]["queries"],
        tokens=CONFIG["explorer"]["tokens"],
        title=PATHS.items.title,
        links=PATHS.explorer.links,
        code=code_digest("explore"),
    shell:
        "python -m layerrank explore --candidates {input.candidates:q} --qrels {input.qrels:q} --model {input.model:q}"
        " --signals {params.signals:q} --runs {params.runs:q} --windows {params.windows:q}"
        " --selections {input.selections:q} --profile {input.profile:q} --orders {input.orders:q} {params.prompt:q}"
        " --measure {params.measure:q} --strategy {params.strategy} --chosen {params.chosen:q}"
        " --queries {params.queries} --tokens {params.tokens} --title {params.title:q} --links {params.links:q} --output {output:q} 2> {log:q}"
