"""Reads a project directory: hikkoshi.yaml and AWS's own documents, with every position kept."""
