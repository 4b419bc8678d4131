"""What the fresh noise of one tick costs by itself."""

from __future__ import annotations

import numpy as np

from bench.case import Setting, timed
from denoisert.kernels.philox import cpu as philox
from denoisert.runtime.measure.percentiles import percentile

PIXELS = 256


def draw_us(slots: int, setting: Setting) -> float:
    """Time one draw of digits for each slot.

    Args:
        slots: pictures that run at the same time.
        setting: how much to measure; its choice of provider does not matter here.

    Returns:
        Microseconds, the median.
    """
    out, space = np.empty(PIXELS, np.float32), philox.workspace(PIXELS)

    def draw() -> None:
        for image in range(slots):
            philox.normals(7, draw=1, image=image, count=PIXELS, out=out, workspace=space)

    every = Setting(setting.size, setting.machine, setting.bundle)
    return 1e3 * percentile(timed({"noise": draw}, every)["noise"], 0.5)
