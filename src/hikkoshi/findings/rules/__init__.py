"""One rule a file: NAME, TITLE and `judge(evidence, windows)`. The page of a rule is in pages/."""
