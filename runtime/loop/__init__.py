"""The loop: slots of a pool advance tick by tick, whatever sampler each of them runs."""
