"""Readers and writers of every file format of the pipeline."""
