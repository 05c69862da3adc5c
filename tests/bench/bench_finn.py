"""FINN's speed as ratios in one process: LFC's datapath and timing against its numpy reference, and a long batch."""

import time

import numpy as np

import archs
from archs import finn
from archs.finn import datapath, oracle
from archs.finn.chain import chain
from archs.finn.folding import resolve
from archs.finn.model import pipeline
from sim.run import simulate
from workloads.load import load


def seconds(run):
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def test_lfc_against_its_reference(row):
    """10,000 random digits through packed words and the timing model, against decoded matrix products."""
    spec = archs.settings("finn", "pynq-lfc-w1a1")
    network = finn.fill(spec, load("lfc").network, 0)
    lowered = chain(network, finn.precision(spec))
    folds = resolve(spec, lowered)
    images = np.random.default_rng(0).normal(0, 1, (10_000, 1, 28, 28)).astype(np.float32)
    datapath.run(lowered, folds, images[:10])
    line = pipeline(spec, lowered, folds)
    simulate(line.design(2))
    numbers = seconds(lambda: datapath.run(lowered, folds, images))
    timing = seconds(lambda: simulate(line.design(10_000)))
    plain = seconds(lambda: oracle.run(lowered, images))
    ours = numbers + timing
    row("FINN: LFC, 10,000 digits, datapath and timing", 10_000 / ours, "images/s")
    row("FINN: the same, against its numpy reference", plain / ours, "times as fast", "1 or more")
    assert simulate(line.design(10_000)).cycles == 8_410_978


def test_a_long_cnv_batch_against_a_dozen(row):
    """10,000 images against 12: regimes are skipped, not stepped."""
    spec = archs.settings("finn", "pynq-cnv-w1a1")
    lowered = chain(load("cnv").network, finn.precision(spec))
    line = pipeline(spec, lowered, resolve(spec, lowered))
    simulate(line.design(2))
    dozen = seconds(lambda: simulate(line.design(12)))
    long = seconds(lambda: simulate(line.design(10_000)))
    row("FINN: CNV, timing of 10,000 images against 12", long / dozen, "times as long")
    assert simulate(line.design(12)).cycles == 582_089
