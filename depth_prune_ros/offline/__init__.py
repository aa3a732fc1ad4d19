"""The stages of the paper: train, prune, compact, export."""
