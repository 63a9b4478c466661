"""Trackers of runs and trainings: a file is a word of `track:`. See `datagen/tracking.py`."""
