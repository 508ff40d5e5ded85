"""Measurements, each a script of its own. docs/benchmarks.md tells what each measures."""
