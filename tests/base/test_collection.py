"""The collector is off while something is made, and never walks over it afterwards."""

from __future__ import annotations

import gc

import pytest

from hikkoshi.base.collection import no_collection


def test_what_was_made_is_not_walked_over_and_the_collector_is_on_again():
    try:
        with pytest.raises(ZeroDivisionError), no_collection():
            assert not gc.isenabled()
            made = [[] for _ in range(10)]
            raise ZeroDivisionError
        assert gc.isenabled()
        walked_over = {id(each) for each in gc.get_objects()}
        assert not walked_over & {id(each) for each in made}
    finally:
        gc.unfreeze()
