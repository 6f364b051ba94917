"""Speed and memory against peers in the same process: `python -m benchmarks` lists what there is."""
