"""The collector is off while something is made, and never walks over it afterwards."""

from __future__ import annotations

import gc

import pytest

from hikkoshi.base.collection import collection_later, no_collection


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


def test_the_collector_is_put_off_and_its_state_given_back():
    with pytest.raises(ZeroDivisionError), collection_later():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
