"""The words of --concurrency and --rate."""

import pytest

from denoisert.runtime.cli.loads import clients, rates
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.load import Closed, Open


def test_clients_are_a_list_of_numbers():
    assert clients("1,2,8") == (Closed(1), Closed(2), Closed(8))
    assert clients(" 3 ") == (Closed(3),)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "1,1", "-1", "1.5", "a", "10001", "1;2", "²"])
def test_what_is_no_list_of_clients_is_refused(text):
    with pytest.raises(InvalidInput, match="1,2,4,8"):
        clients(text)


def test_a_rate_is_requests_per_second_or_with_x_a_share_of_the_capacity():
    plain, share = rates("2.5,0.5x")
    assert plain.load(capacity=8.0) == Open(2.5)
    assert share.load(capacity=8.0) == Open(4.0, "0.5x")
    assert (plain.is_share, share.is_share) == (False, True)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "0x", "nan", "inf", "1,", "2,2", "5%", "2e9"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(InvalidInput, match="--rate"):
        rates(text)


def test_the_same_number_as_rate_and_as_share_are_two_loads():
    assert len(rates("1,1x")) == 2
