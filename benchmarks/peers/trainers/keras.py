"""Keras on TensorFlow: compile and fit, as its first page shows it.

python -m benchmarks.peers.trainers.keras DIGITS.npz EPOCHS THREADS
"""

from __future__ import annotations

import json
import os
import sys
import time

BATCH = 128


def main(path: str, epochs: int, threads: int) -> None:
    """Train and print seconds and accuracy."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    arrays = np.load(path)
    keras.utils.set_random_seed(0)
    began = time.perf_counter()
    x = arrays["x"].reshape(-1, 784).astype(np.float32)
    mean, std = x.mean(), x.std()
    test = (arrays["test_x"].reshape(-1, 784).astype(np.float32) - mean) / std
    layers = [keras.layers.Dense(512, "relu"), keras.layers.Dense(512, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((784,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    held = (test, arrays["test_y"])
    history = model.fit((x - mean) / std, arrays["y"], batch_size=BATCH, epochs=epochs, validation_data=held, verbose=0)
    accuracy = float(history.history["val_accuracy"][-1])
    print(json.dumps({"seconds": time.perf_counter() - began, "accuracy": accuracy}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
