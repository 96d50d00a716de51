"""HDR as SDR: PQ and HLG become BT.709, white at 203 cd/m2 (BT.2408), highlights rolled off as in BT.2390."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.images import Images

Curve = Literal["pq", "hlg", "sdr"]
Floats = NDArray[np.float32]

#: cd/m2: white of an SDR picture shown among HDR ones, and the brightest highlights that are kept apart.
_WHITE, _PEAK = 203.0, 1000.0
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
#: Entries of the tables of light: 16 bits of its square root, which is finer where it is dark.
_STEPS = 65535


def to_sdr(coded: NDArray[np.uint16], curve: Curve) -> Images:
    """H x W x 3 of 16 bits in BT.2020, in a transfer curve, as 8-bit BT.709."""
    light = _curve(curve)[coded]
    if curve == "hlg":
        light *= np.power(np.maximum(light @ _LUMA * _WHITE / _PEAK, 1e-6), 0.2)[..., None]
    light = np.maximum(light @ _TO_BT709.T, 0.0)
    if curve != "sdr":
        light *= _gain()[_place(light.max(axis=2))][..., None]
    return _encoded()[_place(light)]


def _place(light: Floats) -> NDArray[np.uint16]:
    """Where an amount of light stands in a table."""
    return (np.sqrt(np.minimum(light * (_WHITE / _PEAK), 1.0)) * _STEPS + 0.5).astype(np.uint16)


def _places() -> NDArray[np.float64]:
    return (np.arange(_STEPS + 1) / _STEPS) ** 2 * (_PEAK / _WHITE)


@cache
def _curve(curve: Curve) -> Floats:
    """Light, 1 at SDR's white, for each 16-bit code."""
    code = np.arange(65536) / 65535
    if curve == "pq":
        return (np.minimum(_from_pq(code), _PEAK) / _WHITE).astype(np.float32)
    if curve == "hlg":  # before the display's own gamma, which to_sdr applies
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return (np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12) * _PEAK / _WHITE).astype(np.float32)
    return np.where(code < 0.081, code / 4.5, ((code + 0.099) / 1.099) ** (1 / 0.45)).astype(np.float32)


@cache
def _gain() -> Floats:
    """What light is multiplied with, so that the peak becomes white and what is dark stays."""
    light = _places()
    peak = _to_pq(np.array(_PEAK))
    value, most = _to_pq(light * _WHITE) / peak, _to_pq(np.array(_WHITE)) / peak
    knee = 1.5 * most - 0.5
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    rolled = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    shown = np.where(value < knee, light, _from_pq(rolled * peak) / _WHITE)
    return np.divide(shown, light, out=np.ones_like(light), where=light > 0).astype(np.float32)


@cache
def _encoded() -> Images:
    """8-bit BT.709 codes of light."""
    light = np.minimum(_places(), 1)
    code = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    return np.asarray(code * 255 + 0.5, np.uint8)


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def _from_pq(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m2 of a PQ code (SMPTE ST 2084)."""
    power = code ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _to_pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (light / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
