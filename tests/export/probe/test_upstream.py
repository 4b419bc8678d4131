"""Every scheduler file of the installed diffusers has a known outcome."""

import pytest

from tests.oracles import upstream

REGISTERS = {
    "deis_multistep": 2,
    "dpm_cogvideox": 2,
    "dpmsolver_multistep": 2,
    "dpmsolver_multistep_inverse": 2,
    "dpmsolver_singlestep": 2,
    "edm_dpmsolver_multistep": 2,
    "flow_match_heun_discrete": 2,
    "helios": 3,
    "heun_discrete": 2,
    "ipndm": 4,
    "k_dpm_2_ancestral_discrete": 2,
    "k_dpm_2_discrete": 2,
    "lms_discrete": 4,
    "pndm": 5,
    "sasolver": 3,
    "unipc_multistep": 3,
}
STAGES = {
    "flow_match_heun_discrete": 15,
    "heun_discrete": 15,
    "k_dpm_2_ancestral_discrete": 15,
    "k_dpm_2_discrete": 15,
    "minimax_h3": 7,  # its count of steps includes the end
    "pndm": 17,
    "scm": 2,
}
FAST = ["ddim", "unipc_multistep", "minimax_h3", "ddpm_wuerstchen", "scm", "dpm_cogvideox"]
NONE = sorted(upstream.NO_TABLES)


def test_no_file_is_unknown_and_none_is_gone():
    """A scheduler of a newer diffusers: give it a case in tests/oracles/upstream.py."""
    assert upstream.unknown() == ([], [])


def test_most_of_the_files_are_tables():
    assert len(upstream.files()) == 49
    assert len(upstream.TABLES) == 37


def check_table(name):
    found = upstream.outcome(name)
    assert found.registers == REGISTERS.get(name, 1), found
    assert found.stages == STAGES.get(name, 8), found
    assert not found.note.startswith(" ")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAST)
def test_a_table(name):
    check_table(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(upstream.TABLES) - set(FAST)))
def test_every_table(name):
    check_table(name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NONE)
def test_no_table_and_why(name):
    found = upstream.outcome(name)
    case = upstream.CASES[name]
    assert found.registers == found.stages == found.draws == 0
    assert found.note.startswith(case.reason)
    assert case.refusal in found.note
