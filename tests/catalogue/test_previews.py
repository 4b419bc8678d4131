"""What a picture looks as if it would become, told while it is made: beside diffusers."""

from unittest.mock import patch

import numpy as np
import pytest

from denoisert.runtime import Preview, Runtime
from tests.export.families.bundles import assert_equal, family_bundle
from tests.export.families.folders import FAMILIES, family_folder
from tests.export.families.oracles import opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CLOSE = 1e-3


@pytest.mark.paper(45)
def test_the_estimate_of_every_step_is_that_of_diffusers_scheduler(once):
    """Progressive decoding, of the compiled UNet of pixels; estimates are clipped to -1 .. 1."""
    family, wanted = FAMILIES["ddpm"], []
    request, pipeline = family.request(), opened(family_folder(once, "ddpm"))
    step = pipeline.scheduler.step

    def stepped(*arguments, **named):
        found = step(*arguments, **named)
        wanted.append(found.pred_original_sample.numpy())
        return found

    with Runtime.open(family_bundle(once, "ddpm"), threads=1) as runtime:
        ticket = runtime.submit(request, previews=1)
        seen = [event for event in ticket.events() if isinstance(event, Preview)]
        found = ticket.result()
    with patch.object(pipeline.scheduler, "step", stepped):
        assert_equal(found, family.pictures(None, request, pipeline=pipeline))
    assert seen
    for event in seen:
        estimate = wanted[event.step - 1][event.image].reshape(-1)
        assert np.abs(event.latent - estimate).max() <= CLOSE
        assert np.abs(event.latent).max() <= 1.0
    assert np.abs(wanted[0] - wanted[-1]).max() > 0.1
