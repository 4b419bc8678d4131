"""Samplers in k-diffusion's calling convention, written here from their papers, sound and unsound.

Source: Euler, Heun and churn: Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2; Euler
ancestral: DDPM's posterior in sigma, Ho et al. 2020, arXiv 2006.11239, eq. 6 and 7; DPM-Solver++
2M and SDE: Lu et al. 2022, arXiv 2211.01095, algorithm 2 and section 5; Adams-Bashforth: any book.
"""

import math

import torch


def slope(x, sigma, denoised):
    return (x - denoised) / sigma.reshape(-1, *[1] * (x.ndim - 1))


def euler(model, x, sigmas, *, extra_args=None, callback=None, disable=None, churn=0.0):
    ones = x.new_ones([x.shape[0]])
    for i in range(len(sigmas) - 1):
        raised = sigmas[i] * (1.0 + churn)
        if churn > 0:
            x = x + torch.randn_like(x) * (raised**2 - sigmas[i] ** 2).sqrt()
        denoised = model(x, raised * ones, **extra_args)
        callback({"i": i, "denoised": denoised})
        x = x + (sigmas[i + 1] - raised) * slope(x, raised, denoised)
    return x


def euler_ancestral(model, x, sigmas, extra_args=None, callback=None, disable=None):
    for i in range(len(sigmas) - 1):
        now, after = sigmas[i], sigmas[i + 1]
        denoised = model(x, now * x.new_ones([x.shape[0]]))
        up = after * (1.0 - (after / now) ** 2).sqrt()
        down = (after**2 - up**2).sqrt()
        x = denoised + (x - denoised) * (down / now)
        x = x + torch.randn_like(x) * up  # the last draw has no gain
    return x


def heun(model, x, sigmas, callback=None):
    for i in range(len(sigmas) - 1):
        first = slope(x, sigmas[i], model(x, sigmas[i]))
        callback({"i": i})
        ahead = x + (sigmas[i + 1] - sigmas[i]) * first
        if sigmas[i + 1] == 0:
            return ahead
        second = slope(ahead, sigmas[i + 1], model(ahead, sigmas[i + 1]))
        x = x + (sigmas[i + 1] - sigmas[i]) * (first + second) / 2
    return x


class Adams:
    """Adams-Bashforth of order up to 4 in sigma, a sampler that keeps its history in itself."""

    def __init__(self, order):
        self.order, self.past = order, []

    def __call__(self, model, x, sigmas):
        self.past.clear()
        for i in range(len(sigmas) - 1):
            self.past.insert(0, slope(x, sigmas[i], model(x, sigmas[i])))
            del self.past[self.order :]
            nodes = [float(sigmas[i - j]) for j in range(len(self.past))]
            weights = [
                self.integral(nodes, j, float(sigmas[i]), float(sigmas[i + 1]))
                for j in range(len(self.past))
            ]
            x = x + sum(w * d for w, d in zip(weights, self.past, strict=True))
        return x

    @staticmethod
    def integral(nodes, j, low, high):
        """Integral of the Lagrange polynomial of node j by four-point Gauss quadrature."""
        points = [
            (0.8611363115940526, 0.3478548451374538),
            (0.3399810435848563, 0.6521451548625461),
        ]
        total = 0.0
        for point, weight in [*points, *((-p, w) for p, w in points)]:
            at = (low + high) / 2 + (high - low) / 2 * point
            total += weight * math.prod(
                (at - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j
            )
        return total * (high - low) / 2


def dpmpp_2m(model, x, sigmas):
    before = None
    for i in range(len(sigmas) - 1):
        now, after = sigmas[i], sigmas[i + 1]
        denoised = model(x, now)
        target = denoised
        if before is not None and after > 0:
            ratio = (sigmas[i - 1] / now).log() / (now / after).log()
            target = denoised + (denoised - before) / (2 * ratio)
        x = (after / now) * x + (1.0 - after / now) * target
        before = denoised
    return x


def dpmpp_sde(model, x, sigmas, noise_sampler=None):
    """Midpoint in log sigma, fresh noise twice a step."""
    for i in range(len(sigmas) - 1):
        now, after = sigmas[i], sigmas[i + 1]
        denoised = model(x, now)
        if after == 0:
            return denoised
        middle = (now * after).sqrt()
        down, up = ancestral(now, middle)
        half = denoised + (x - denoised) * (down / now) + noise_sampler(now, middle) * up
        again = model(half, middle)
        down, up = ancestral(now, after)
        x = again + (x - again) * (down / now) + noise_sampler(now, after) * up
    return x


def ancestral(now, after):
    up = after * (1.0 - (after / now) ** 2).sqrt()
    return (after**2 - up**2).sqrt(), up


def three_draws(model, x, sigmas):
    """All of them independent of the state: one register, so one draw has the same law."""
    for i in range(len(sigmas) - 1):
        x = model(x, sigmas[i])
        noise = 0.6 * torch.randn_like(x) + 0.48 * torch.randn_like(x) + 0.64 * torch.randn_like(x)
        x = x + sigmas[i + 1] * noise
    return x


def remembered_draws(model, x, sigmas):
    """Noise that is used again after the next evaluation; each must be kept by itself."""
    kept = [torch.zeros_like(x) for _ in range(3)]
    for i in range(len(sigmas) - 1):
        denoised = model(x + kept[0] + 2 * kept[1] - kept[2], sigmas[i])
        kept = [torch.randn(x.shape) * 0.1 for _ in range(3)]
        x = denoised + sigmas[i + 1] * (kept[0] + kept[1] + kept[2])
        for noise in kept:
            x = model(x + noise, sigmas[i])
    return x


def cycle(model, x, sigmas):
    """Draws a noise and takes it back one evaluation later: a draw that becomes a register."""
    for i in range(len(sigmas) - 1):
        noise = torch.randn_like(x)
        far = x + sigmas[i] * noise
        x = model(far, 2**0.5 * sigmas[i]) + sigmas[i + 1] * noise
    return x
