"""Synthetic tests: expected requests with expected answers, from a file of YAML."""

from hikkoshi.trials.synthetic.definition import SyntheticTest
from hikkoshi.trials.synthetic.reading import load_tests, parse_tests
from hikkoshi.trials.synthetic.run import State, SyntheticResult, run

__all__ = ["State", "SyntheticResult", "SyntheticTest", "load_tests", "parse_tests", "run"]
