"""What is remembered: rows, bytes, lineage, manifests, hubs. Importing this package loads nothing else."""
