"""Random numbers for compiled kernels: one stream per shower, so that no result depends on batches.

The generator is SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195): its state is one
integer, so a stream costs nothing to start and the stream of shower ``i`` follows from seed and ``i`` alone.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["exponential", "normal", "poisson", "start_stream", "uniform", "von_mises"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SHIFT_11 = np.uint64(11)
_UNIT = 1.0 / 9007199254740992.0
#: Above this mean a Poisson number is drawn by transformed rejection.
_LARGE_MEAN = 12.0


@njit(cache=True, inline="always")
def _mix(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _SHIFT_30)) * _MIX_1
    value = (value ^ (value >> _SHIFT_27)) * _MIX_2
    return value ^ (value >> _SHIFT_31)


@njit(cache=True)
def start_stream(state: NDArray[np.uint64], seed: int, stream: int) -> None:
    """Set the generator to the start of a stream; `state` has shape (1,)."""
    state[0] = _mix(_mix(np.uint64(seed) * _MIX_1 + _GAMMA) + np.uint64(stream) * _GAMMA)


@njit(cache=True, inline="always")
def uniform(state: NDArray[np.uint64]) -> float:
    """Return a number in [0, 1)."""
    state[0] = state[0] + _GAMMA
    return float(_mix(state[0]) >> _SHIFT_11) * _UNIT


@njit(cache=True)
def exponential(state: NDArray[np.uint64]) -> float:
    """Return a number from the exponential distribution of mean 1."""
    return -math.log(1.0 - uniform(state))


@njit(cache=True)
def normal(state: NDArray[np.uint64]) -> float:
    """Return a number from the normal distribution of mean 0 and variance 1 (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@njit(cache=True)
def _poisson_large(state: NDArray[np.uint64], mean: float) -> int:
    """Draw by transformed rejection, PTRS of Hörmann 1993 (doi:10.1016/0167-6687(93)90997-4)."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = uniform(state) - 0.5
        v = 1.0 - uniform(state)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43) if us > 0 else -1.0
        if us >= 0.07 and v <= v_r:
            return int(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        accept = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if accept <= k * math.log(mean) - mean - math.lgamma(k + 1.0):
            return int(k)


@njit(cache=True)
def poisson(state: NDArray[np.uint64], mean: float) -> int:
    """Return a Poisson number."""
    if mean > _LARGE_MEAN:
        return _poisson_large(state, mean)
    limit, product, count = math.exp(-mean), uniform(state), 0
    while product > limit:
        product *= uniform(state)
        count += 1
    return count


@njit(cache=True)
def von_mises(state: NDArray[np.uint64], kappa: float) -> float:
    """Return an angle about 0 [rad] of concentration `kappa` (Best & Fisher 1979, doi:10.2307/2346732)."""
    if kappa < 1e-3:
        return 2.0 * math.pi * uniform(state)
    if kappa > 50.0:
        return normal(state) / math.sqrt(kappa)
    tau = 1.0 + math.sqrt(1.0 + 4.0 * kappa * kappa)
    rho = (tau - math.sqrt(2.0 * tau)) / (2.0 * kappa)
    r = (1.0 + rho * rho) / (2.0 * rho)
    while True:
        z = math.cos(math.pi * uniform(state))
        f = (1.0 + r * z) / (r + z)
        c = kappa * (r - f)
        u = uniform(state)
        if c * (2.0 - c) > u or math.log(c / u) + 1.0 >= c:
            return math.acos(max(-1.0, min(1.0, f))) * (1.0 if uniform(state) < 0.5 else -1.0)
