"""Depth networks whose filters can be masked and removed: widths are data."""
