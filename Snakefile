# Where in a language model's layers does relevance emerge? The study at a glance: README.md, config/README.md.

from snakemake.utils import min_version

min_version("9.27")


# The embedded study, where no other is named.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.current_basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/collections.smk"
include: "rules/first_stage.smk"
include: "rules/models.smk"
include: "rules/attention.smk"
include: "rules/layers.smk"
include: "rules/heads.smk"
include: "rules/head_sets.smk"
include: "rules/transfer.smk"
include: "rules/orders.smk"
include: "rules/ranking.smk"
include: "rules/windows.smk"
include: "rules/shards.smk"
include: "rules/evaluation.smk"
include: "rules/diagnostics.smk"
include: "rules/latency.smk"
include: "rules/report/explorer.smk"
include: "rules/report/effectiveness.smk"
include: "rules/report/emergence.smk"
include: "rules/report/windows.smk"
include: "rules/report/heads.smk"
include: "rules/report/cost.smk"
include: "rules/report/place.smk"
include: "rules/report/diagnostics.smk"
include: "rules/report/manifest.smk"


report: "workflow/report/workflow.rst"


# Until a run has ended well, long jobs keep what they have finished: a killed Snakemake would delete it as incomplete.
onsuccess:
    files.forget_kept(Path(CONFIG["results"]))


rule all:
    default_target: True
    input:
        PATHS.checks,
        PATHS.explorer.pages,
        PATHS.report.answers,
        PATHS.report.figures,
        PATHS.report.tables,
        "<results>/manifest.json",
