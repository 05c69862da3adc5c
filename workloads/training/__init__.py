"""How the shipped networks of `workloads/zoo/trained` were made. Needs numpy, scipy and the digits (extra `demo`) only.

    layers      differentiable layers in numpy; forms of weights: dense, pruned, shared, binary, ternary, power of two
    fit         Adam, softmax loss, augmentation, the training loop
    shrink      magnitude pruning and weight sharing by k-means
    lenet       LeNet-300-100 and LeNet-5: dense, pruned, shared, ternary, power of two, binary weights
    binary      +-1 weights and activations: SFC and both LeNets, batch norm folded into popcount thresholds
    binaryconv  a convolution network with +-1 weights, a scale and a bias per channel
    ship        saved, read back, measured, recorded

Each script runs as `python -m workloads.training.NAME --out DIR`, is seeded and, on one thread of one kind of
processor, repeats to the bit. Nothing outside imports this package.
"""
