# What the study can be repeated from, beside its results and in the report.


rule manifest:
    input:
        collections=expand(
            "<results>/{collection}/collection/collection.json", collection=COLLECTIONS
        ),
        models=expand("<resources>/models/{model}", model=MODELS),
        signals=every_signal(),
        files=["<results>/tables/means.tsv", "<results>/tables/comparisons.tsv"],
    output:
        manifest="<results>/manifest.json",
        provenance=report(
            "<results>/provenance.tsv",
            caption="../workflow/report/manifest.rst",
            category=DIAGNOSTICS,
            labels={"item": "provenance"},
        ),
    log:
        "<logs>/manifest.log",
    conda:
        "../envs/analysis.yaml"
    params:
        study=study_settings(),
        collections=described_collections,
        models=described_models,
        code=code_digest("manifest"),
    shell:
        "python -m layerrank manifest --study {params.study:q} --collections {params.collections}"
        " --models {params.models} --signals {input.signals} --files {input.files}"
        " --output {output.manifest} --provenance {output.provenance} 2> {log}"
