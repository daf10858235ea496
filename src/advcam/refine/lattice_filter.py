"""Mean-field inference over Gaussian kernels on permutohedral lattices, on the CPU.

Each iteration is one pass over the pixels and one blur. The pass collects a pixel's messages from the blurred lattice,
takes the softmax, and spreads the new probabilities into the empty lattice of the next iteration at once, so that the
corners and weights of a pixel are read once and the marginals are never stored. All kernels share one lattice whose
points are those of the first kernel, then those of the second: a sum of kernels is then one filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32

from advcam.refine.lattice import compiled
from advcam.refine.lattice_build import Lattice, build_lattice
from advcam.refine.lattice_lanes import exp_below, filled, lanes_of, load, multiply_add, store, total

_LOWEST = np.finfo(np.float32).min


def mean_field(
    logits: Float32[np.ndarray, "K N"],
    kernels: Sequence[tuple[Float32[np.ndarray, "N _"], float]],
    iterations: int,
) -> Float32[np.ndarray, "K N"]:
    """Marginals Q after ``iterations`` of ``Q <- softmax(logits + sum_m w_m K_m Q)``, from ``softmax(logits)``.

    ``kernels`` are pairs of features and weight ``w_m >= 0``; ``K_m`` is the symmetrically normalised Gaussian of the
    features. Computed in float32; the same input gives the same bits, whatever runs beside it.
    """
    num_labels, num_pixels = logits.shape
    lattice = join(kernels, num_pixels)
    lanes = lanes_of(4 if num_labels <= 4 else 8)
    width = -(-num_labels // len(lanes)) * len(lanes)
    # torch aligns its memory to cache lines, numpy does not; a row across two lines costs a third of the speed.
    padded = torch.full((num_pixels, width), float(_LOWEST))
    padded[:, :num_labels] = torch.from_numpy(logits).T
    values = torch.zeros(lattice.num_points, width).numpy()
    gathered = torch.zeros(lattice.num_points, width).numpy()
    marginals = np.empty((num_pixels, num_labels), np.float32)
    for iteration in range(iterations + 1):
        is_last = iteration == iterations
        _update(padded.numpy(), lattice.vertices, lattice.weights, values, gathered, marginals, is_last, lanes)
        if not is_last:
            _blur(gathered, lattice.chains, lanes)
            values, gathered = gathered, values
    return np.ascontiguousarray(marginals.T)


def join(kernels: Sequence[tuple[Float32[np.ndarray, "N _"], float]], num_pixels: int) -> Lattice:
    """One lattice for a weighted sum of kernels.

    Splatting and slicing with ``sqrt(w / D) * b``, where b are the barycentric weights and D the row sums of the
    lattice's approximation of the kernel, gives ``w D^-1/2 K D^-1/2``.
    """
    vertices = [np.empty((num_pixels, 0), np.int32)]
    weights = [np.empty((num_pixels, 0), np.float32)]
    chains = [np.empty(0, np.int32)]
    num_points = 0
    for features, weight in kernels:
        lattice = build_lattice(features)
        scale = np.sqrt(np.float32(weight) / row_sums(lattice))
        vertices.append(lattice.vertices + np.int32(num_points))
        weights.append(lattice.weights * scale[:, None])
        chains.append(np.where(lattice.chains < 0, np.int32(-1), lattice.chains + np.int32(num_points)))
        num_points += lattice.num_points
    return Lattice(
        np.concatenate(vertices, axis=1), np.concatenate(weights, axis=1), np.concatenate(chains), num_points
    )


def row_sums(lattice: Lattice) -> Float32[np.ndarray, " N"]:
    """``K 1``: what the filter makes of a constant one. Positive, because a vector's own share is part of it."""
    return _row_sums(lattice.vertices, lattice.weights, lattice.chains, lattice.num_points, lanes_of(4))


@compiled
@no_type_check
def _blur(values, chains, lanes):
    """Convolve with the taps 1/2, 1, 1/2 along every run, in place, one direction after the other."""
    half = np.float32(0.5)
    start = 0
    while start < chains.size:
        end = start
        for column in range(0, values.shape[1], len(lanes)):
            end = start + 1
            point = chains[start]
            following = chains[end]
            before = filled(lanes, np.float32(0))
            here = load(values, point, column, lanes)
            while following >= 0:
                after = load(values, following, column, lanes)
                store(values, point, column, multiply_add(half, before, multiply_add(half, after, here)))
                before = here
                here = after
                end += 1
                point = following
                following = chains[end]
            store(values, point, column, multiply_add(half, before, here))
        start = end + 1


@compiled
@no_type_check
def _row_sums(vertices, weights, chains, num_points, lanes):
    num_features, corners = vertices.shape
    values = np.zeros((num_points, len(lanes)), np.float32)
    for p in range(num_features):
        for c in range(corners):
            values[vertices[p, c], 0] += weights[p, c]
    _blur(values, chains, lanes)
    sums = np.zeros(num_features, np.float32)
    for p in range(num_features):
        for c in range(corners):
            sums[p] += weights[p, c] * values[vertices[p, c], 0]
    return sums


@compiled
@no_type_check
def _update(logits, vertices, weights, values, gathered, marginals, is_last, lanes):
    """Slice, softmax and splat, pixel by pixel; the last time the softmax is kept instead of splatted."""
    num_pixels, corners = vertices.shape
    width = logits.shape[1]
    one = np.float32(1)
    scores = np.empty((1, width), np.float32)
    if not is_last:
        gathered[:] = 0
    for p in range(num_pixels):
        top = np.float32(_LOWEST)
        for column in range(0, width, len(lanes)):
            score = load(logits, p, column, lanes)
            for c in range(corners):
                score = multiply_add(weights[p, c], load(values, vertices[p, c], column, lanes), score)
            store(scores, 0, column, score)
        for k in range(width):
            top = max(top, scores[0, k])
        mass = filled(lanes, np.float32(0))
        for column in range(0, width, len(lanes)):
            share = exp_below(load(scores, 0, column, lanes), top)
            store(scores, 0, column, share)
            mass = multiply_add(one, share, mass)
        scale = one / total(mass)
        if is_last:
            for k in range(marginals.shape[1]):
                marginals[p, k] = scores[0, k] * scale
        else:
            for c in range(corners):
                weight = weights[p, c] * scale
                for column in range(0, width, len(lanes)):
                    share = load(scores, 0, column, lanes)
                    gathered_row = load(gathered, vertices[p, c], column, lanes)
                    store(gathered, vertices[p, c], column, multiply_add(weight, share, gathered_row))
