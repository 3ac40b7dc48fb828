"""What a study will take: its jobs by rule, and an estimate of GPU hours, before anything runs.

Jobs are those of Snakemake's own dry run. The hours are arithmetic on the catalogues, within a factor of two or so:

- A forward pass over T tokens takes 2·P·T + 2·L·W·T² operations: P parameters, L layers, W = query heads × head width
  (matrix products, then attention, half of it masked). Reading attention up to layer e takes (e + 1) / L of it.
- A group of n passages is n·t + 100 tokens of prompt: t = 1.4 tokens for each of the smaller of the study's cut and the
  collection's mean words (`passage_words`; the cut itself where the catalogue does not say), and 10 more.
- A framework's groups are counted by running it, once, on made-up scores.
- Of several windows that a job ranks in, the one that takes longest reads all that it asks for. The others find that
  read; where what they ask next follows from their scores, they read half of theirs anew (`READ_ANEW`).
- Each token written reads all weights once for the whole batch: 2·P bytes at the GPU's bandwidth.
- A job spends a minute starting, and reads its weights once, at 1 GB a second.
- A model on several GPUs runs one after the other (`device_map`): its seconds count for each of them.
"""

from __future__ import annotations

import collections
import functools
import json
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.windows import ALL, fixed_window
from layerrank.ranking.frameworks import make_sorter
from layerrank.study import config as study_config
from layerrank.study import load as studies
from layerrank.study import systems
from layerrank.study.config import Study
from layerrank.study.systems import PlannedRun

BASE = Path(__file__).parents[3]

TOKENS_A_WORD = 1.4
PASSAGE_TOKENS = 10
PROMPT_TOKENS = 100
SELECTED_DEPTH = 0.6
"""Where a selected window is taken to end, relative to the model's depth, until it is chosen."""

START_SECONDS = 60.0
LOAD_BYTES_A_SECOND = 1e9
BYTES_A_PARAMETER = 2
READ_ANEW = 0.5
"""Share of a sort's groups, in one window, that no deeper window has asked for."""

WRITTEN = {"pointwise": 3, "pairwise": 3, "setwise": 3}
"""Tokens of an answer; a permutation of n passages has five a passage."""

BY = ("rule", "system", "model", "collection")
"""What a plan's lines may be of."""

RUN_A_MODEL = {
    *("extract_attention", "rerank_online", "rerank_shard", "rerank_windows", "rerank_windows_shard"),
    *("rerank_trained", "measure_latency", "measure_trained"),
}
QUERIES = 300
"""Judged queries of a collection of which nothing is known."""


@dataclass(frozen=True)
class Job:
    """One job of a dry run."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gpu:
    """What one GPU does: peak TFLOP/s in bfloat16, TB/s of memory, and the share of the peak that long prompts reach.

    The defaults are of an A100 of 80 GB.
    """

    tflops: float = 312.0
    bandwidth: float = 2.0
    utilisation: float = 0.4


@dataclass(frozen=True)
class Seconds:
    """How long a job holds its GPUs, in seconds: in any case, and for each query, of a share of all queries.

    Attributes:
        start: whatever the number of queries.
        each: of one query.
        shards: jobs that share the queries.
        most: queries that the job takes at most, of however many there are.
    """

    start: float
    each: float
    shards: int = 1
    most: int | None = None

    def of(self, queries: int) -> float:
        """Of that many queries."""
        taken = queries if self.most is None else min(queries, self.most)
        return self.start + -(-taken // self.shards) * self.each


@dataclass(frozen=True)
class Line:
    """Jobs of one rule, system, model or collection (`name`); `gpu_hours` is None where they ask for no GPU.

    `unknown` counts jobs not estimated.
    """

    name: str
    jobs: int
    gpu_hours: float | None
    unknown: int = 0


def read_study(configfiles: Sequence[Path], base: Path = BASE) -> Study:
    """The study that `snakemake --configfile …` sees from the working directory; the embedded one where none is named.

    Raises `UserError` where it is not sound.
    """
    return studies.load_study(merged_config(configfiles, base), base, configfiles)


def merged_config(configfiles: Sequence[Path], base: Path = BASE) -> dict[str, Any]:
    """The files, each over the one before it, as Snakemake merges them; config/config.yaml where none is named."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config
    from snakemake_interface_common.exceptions import WorkflowError

    config: dict[str, Any] = {}
    for path in configfiles or (base / "config" / "config.yaml",):
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        try:
            update_config(config, load_configfile(str(path)))
        except (WorkflowError, ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
            raise UserError(f"{path}: no study in YAML or JSON ({reason})") from None
    return config


def dry_run(configfiles: Sequence[Path], *, everything: bool = False, base: Path = BASE) -> list[Job]:
    """The jobs that Snakemake would run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(base / "Snakefile"), "--dry-run", "--nolock"]
    command += ["--workflow-profile", "none", *(["--forceall"] if everything else [])]
    command += ["--configfile", *(str(path) for path in configfiles)] if configfiles else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise UserError(f"the dry run failed: {' '.join(lines[-4:])}")
    return parse_dry_run(done.stdout + done.stderr)


def parse_dry_run(text: str) -> list[Job]:
    """Rules and wildcards of the jobs that a dry run prints."""
    jobs: list[Job] = []
    rule: str | None = None
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word in {"rule", "localrule", "checkpoint", "localcheckpoint"} and rest.endswith(":"):
            rule = rest[:-1]
            jobs.append(Job(rule))
        elif rule and line.startswith("    wildcards: "):
            pairs = line.removeprefix("    wildcards: ").split(", ")
            jobs[-1] = Job(rule, dict(pair.split("=", 1) for pair in pairs))  # type: ignore[misc]
            rule = None
    return jobs


def estimate(study: Study, jobs: Iterable[Job], gpu: Gpu = Gpu(), by: str = "rule") -> list[Line]:
    """Lines of the plan for these jobs, by falling GPU hours, then by falling number of jobs.

    `by` is one of `BY`: a job of no system, model or collection counts under its rule's name, in parentheses.
    """
    count: collections.Counter[str] = collections.Counter()
    hours: dict[str, float] = {}
    unknown: collections.Counter[str] = collections.Counter()
    for job in jobs:
        name = _name(study, job, by)
        count[name] += 1
        gpus = gpus_of(study, job)
        if not gpus:
            continue
        hours.setdefault(name, 0.0)
        seconds = gpu_seconds(study, job, gpu)
        if seconds is None:
            unknown[name] += 1
        else:
            hours[name] += gpus * seconds / 3600
    lines = [Line(name, number, hours.get(name), unknown[name]) for name, number in count.items()]
    return sorted(lines, key=lambda line: (-(line.gpu_hours or 0.0), -line.jobs, line.name))


def gpu_seconds(study: Study, job: Job, gpu: Gpu = Gpu()) -> float | None:
    """Seconds that a job holds its GPUs; None where the model's catalogue entry does not say its size."""
    names = job.wildcards
    seconds = job_seconds(study, job, gpu)
    if seconds is None:
        return None
    return seconds.of(judged_queries(study, names["collection"], names.get("variant", "base")))


def job_seconds(study: Study, job: Job, gpu: Gpu = Gpu()) -> Seconds | None:
    """The same for any number of judged queries of its collection."""
    names = job.wildcards
    size = _entry(study, job).get("size")
    if size is None:
        return None
    own = study_config.variant_settings(study, names.get("variant", "base"))
    depth, tokens = own["depth"], passage_tokens(study, names["collection"], names.get("variant", "base"))
    start = START_SECONDS + BYTES_A_PARAMETER * size["parameters"] * 1e9 / LOAD_BYTES_A_SECOND
    if job.rule == "measure_latency":
        settings = study.config["latency"]
        shares = [layer_share(window, size["layers"]) for window in settings["windows"]]
        runs = (settings["repeats"] + settings["warmup"]) * sum(shares)
        return Seconds(start, runs * _pass_seconds(size, prompt_tokens(depth, tokens), gpu), most=settings["queries"])
    shards = int(names.get("shards", 1))
    if "ranker" in names:
        alone = depth * _pass_seconds(size, prompt_tokens(1, tokens), gpu)
        if job.rule == "measure_trained":
            settings = study.config["latency"]
            return Seconds(start, (settings["repeats"] + settings["warmup"]) * alone, most=settings["queries"])
        return Seconds(start, alone)
    if not (runs := _runs_of(study, job)):
        return Seconds(start, _pass_seconds(size, prompt_tokens(depth, tokens), gpu), shards, own["queries"])
    batch_tokens = study.config["systems"]["batch_tokens"]
    deepest, *others = sorted(
        (
            sum(
                number * _group_seconds(run, passages, prompt_tokens(passages, tokens), size, batch_tokens, gpu)
                for passages, number in comparisons(run.framework, _frozen(run.framework_settings), depth)
            )
            for run in runs
        ),
        reverse=True,
    )
    anew = READ_ANEW if steps(runs[0].framework, _frozen(runs[0].framework_settings), depth) > 1 else 0.0
    return Seconds(start, deepest + anew * sum(others), shards, own["queries"])


def beyond_context(study: Study) -> dict[str, list[str]]:
    """Collections, by model, whose prompts are likely to be longer than the model reads.

    A prompt is reckoned from the mean length of documents, for collections of which that is known; the longest ones are
    longer. What counts is what `check_prompts` finds, before the model runs.
    """
    depth = study_config.variant_settings(study, "base")["depth"]
    found: dict[str, list[str]] = {}
    for collection, model in study.pairs:
        entry = study.models[model]
        context = entry.get("context") or entry.get("size", {}).get("context")
        if context is None or "passage_words" not in study.collections[collection]:
            continue
        if prompt_tokens(depth, passage_tokens(study, collection, "base")) > context:
            found.setdefault(model, []).append(collection)
    return found


def judged_queries(study: Study, collection: str, variant: str) -> int:
    """Queries that a variant runs on a collection, as far as the catalogue and the configuration tell."""
    known = study.collections[collection].get("expected", {}).get("queries", QUERIES)
    limits = (study_config.query_limit(study, collection), study_config.variant_settings(study, variant)["queries"])
    return int(min([known, *(limit for limit in limits if limit is not None)]))


def passage_tokens(study: Study, collection: str, variant: str) -> float:
    """Tokens of a passage in a prompt, its number and separator included."""
    words = study_config.passage_words(study, collection, variant)
    return TOKENS_A_WORD * min(words, study.collections[collection].get("passage_words", words)) + PASSAGE_TOKENS


def prompt_tokens(passages: int, tokens: float) -> float:
    """Tokens of the prompt of a group."""
    return passages * tokens + PROMPT_TOKENS


def layer_share(window: str | None, layers: int) -> float:
    """Share of a model's layers that a window needs; all where there is no window."""
    if window is None or window == ALL:
        return 1.0
    fixed = fixed_window(window)
    return SELECTED_DEPTH if fixed is None else min(1.0, (fixed.end + 1) / layers)


def comparisons(framework: str, settings: str, n: int) -> tuple[tuple[int, int], ...]:
    """Groups that one query's sort of n candidates scores: (passages, how often), counted on made-up scores."""
    return _sorted_once(framework, settings, n)[0]


def steps(framework: str, settings: str, n: int) -> int:
    """Steps of the same sort: where there is but one, its groups do not depend on any score."""
    return _sorted_once(framework, settings, n)[1]


@functools.cache
def _sorted_once(framework: str, settings: str, n: int) -> tuple[tuple[tuple[int, int], ...], int]:
    rng = random.Random(0)
    relevance = [rng.random() for _ in range(n)]
    sort = make_sorter(framework, json.loads(settings)).start(n)
    seen: set[tuple[int, ...]] = set()
    taken = 0
    try:
        groups = next(sort)
        while True:
            seen.update(groups)
            taken += 1
            groups = sort.send([[relevance[index] for index in group] for group in groups])
    except StopIteration:
        pass
    return tuple(sorted(collections.Counter(len(group) for group in seen).items())), taken


def table(lines: Sequence[Line], by: str = "rule") -> str:
    """The plan as text: jobs, GPU hours and their share of all."""
    width = max([len(by), len("total"), *(len(line.name) for line in lines)])
    total = Line("total", sum(line.jobs for line in lines), sum(line.gpu_hours or 0.0 for line in lines))
    rows = [f"{by:<{width}}  {'jobs':>7}  {'GPU hours':>9}  {'share':>6}"]
    for line in (*lines, total):
        hours = "" if line.gpu_hours is None else f"{line.gpu_hours:.1f}"
        share = f"{line.gpu_hours / total.gpu_hours:.1%}" if line.gpu_hours and total.gpu_hours else ""
        rows.append(f"{line.name:<{width}}  {line.jobs:>7}  {hours:>9}  {share:>6}".rstrip())
    unknown = sum(line.unknown for line in lines)
    if unknown:
        rows.append(f"without an estimate: {unknown} jobs of models whose catalogue entry has no `size`")
    return "\n".join(rows)


def gpus_of(study: Study, job: Job) -> int:
    """GPUs that a job asks for: those of its model, in the rules that run one."""
    runs_a_model = job.rule in RUN_A_MODEL
    return int(_entry(study, job).get("gpus", 0)) if runs_a_model else 0


def _entry(study: Study, job: Job) -> Mapping[str, Any]:
    """The catalogue entry of the model that a job runs."""
    names = job.wildcards
    return study.trained[names["ranker"]] if "ranker" in names else study.models[names["model"]]


def _runs_of(study: Study, job: Job) -> tuple[PlannedRun, ...]:
    """The systems that a job ranks by, one or those of all windows of a cell; none of other jobs."""
    names = job.wildcards
    if not names.keys() & {"system", "cell"}:
        return ()
    runs = systems.systems(study, names.get("variant", "base"))
    if "system" in names:
        return (runs[names["system"]],)
    return systems.windows_together(runs, study.config["systems"]["windows"])[names["cell"]]


def _name(study: Study, job: Job, by: str) -> str:
    """The line that a job counts under; a cell in several windows names them all."""
    if by == "rule":
        return job.rule
    if by == "system" and "cell" in job.wildcards:
        windows = "+".join(run.window or "" for run in _runs_of(study, job))
        return f"{job.wildcards['cell']}-{windows}"
    return job.wildcards.get(by, f"({job.rule})")


def _frozen(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _pass_seconds(size: Mapping[str, float], tokens: float, gpu: Gpu) -> float:
    """Seconds of a forward pass of the whole model over one sequence."""
    operations = 2 * size["parameters"] * 1e9 * tokens + 2 * size["layers"] * size["width"] * tokens**2
    return operations / (gpu.utilisation * gpu.tflops * 1e12)


def _group_seconds(
    cell: PlannedRun, passages: int, tokens: float, size: Mapping[str, float], batch_tokens: int, gpu: Gpu
) -> float:
    """Seconds that one group takes, in a full batch."""
    share = layer_share(cell.window, int(size["layers"])) if cell.mechanism == "attention" else 1.0
    seconds = share * _pass_seconds(size, tokens, gpu)
    if cell.mechanism != "generation":
        return seconds
    written = cell.mechanism_settings.get("max_new_tokens") or WRITTEN.get(cell.framework, 5 * passages)
    batch = max(1, int(batch_tokens // (tokens + written)))
    reading = BYTES_A_PARAMETER * size["parameters"] * 1e9 / (gpu.bandwidth * 1e12)
    return seconds + written * reading / batch
