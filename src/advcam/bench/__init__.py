"""The performance claims as code: what is compared, how it is timed. ``advcam bench`` and ``benchmarks`` print it."""
