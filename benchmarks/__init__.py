"""Benchmarks: `make bench` prints one table and writes it to build/bench.json."""
