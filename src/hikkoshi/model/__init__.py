"""The frozen values that stages exchange, and the ports between them. Imports base only."""
