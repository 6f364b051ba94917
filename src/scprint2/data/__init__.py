"""From h5ad files to training batches."""
