"""vegeta's results and reports: read, written and reckoned as vegeta 12 does."""
