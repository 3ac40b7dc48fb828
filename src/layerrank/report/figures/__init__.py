"""The figures: data frames in, matplotlib figures out, written as SVG and PDF with deterministic bytes."""
