"""The pictures that benchmarks run on."""
