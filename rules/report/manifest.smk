# What the study can be repeated from, beside its results and in the report.


rule manifest:
    input:
        collections=expand(
            "<results>/{collection}/collection/collection.json",
            collection=STUDY.collections,
        ),
        first_stages=expand(
            "<results>/{collection}/first_stage/counts.json",
            collection=STUDY.collections,
        ),
        models=PATHS.models.values(),
        trials=PATHS.trials,
        signals=PATHS.signals,
        files=["<results>/tables/means.tsv", "<results>/tables/comparisons.tsv"],
    output:
        manifest="<results>/manifest.json",
        provenance=report(
            "<results>/provenance.tsv",
            caption="../../workflow/report/manifest.rst",
            category=DIAGNOSTICS,
            labels={"item": "provenance"},
        ),
    log:
        "<logs>/manifest.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=PATHS.settings,
        collections=PATHS.of_collections,
        first_stages=PATHS.of_first_stages,
        models=PATHS.of_models,
        trials=PATHS.of_trials,
        code=code_digest("manifest"),
    shell:
        "python -m layerrank manifest --study {params.study:q} --collections {params.collections:q}"
        " --first-stages {params.first_stages:q} --models {params.models:q} --trials {params.trials:q} --signals {input.signals:q} --files {input.files:q}"
        " --output {output.manifest:q} --provenance {output.provenance:q} 2> {log:q}"
