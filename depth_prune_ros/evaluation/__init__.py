"""Predictions against ground truth: numbers and pictures."""
