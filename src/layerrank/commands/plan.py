"""Print a study's jobs by rule and estimated GPU hours, without running anything."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="files over config/config.yaml"
    )
    parser.add_argument("--all", action="store_true", help="count finished jobs as well")
    parser.add_argument("--tflops", type=float, default=312.0, help="peak of one GPU in bfloat16, TFLOP/s")
    parser.add_argument("--bandwidth", type=float, default=2.0, help="memory bandwidth of one GPU, TB/s")
    parser.add_argument("--utilisation", type=float, default=0.4, help="share of the peak that long prompts reach")


def run(options: argparse.Namespace) -> None:
    from layerrank.study.plan import Gpu, beyond_context, plan, read_study, table

    gpu = Gpu(options.tflops, options.bandwidth, options.utilisation)
    print(table(plan(options.configfile, gpu, everything=options.all)))
    print(f"on GPUs of {gpu.tflops:g} TFLOP/s and {gpu.bandwidth:g} TB/s; how it is reckoned: docs/clusters.md")
    for model, collections in beyond_context(read_study(options.configfile)).items():
        print(f"prompts probably longer than {model} reads (passages.shorter, leave_out): {', '.join(collections)}")
