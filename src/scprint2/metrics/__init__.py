"""Metrics: arrays in, `Score`s out. They read no files, draw no plots and know nothing of models; see config/metrics.yaml."""
