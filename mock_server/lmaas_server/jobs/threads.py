"""How many threads a job computes with: a rule over what it is, never over how busy the machine is.

The sums of a step depend on how many threads share them, so the number must follow from the request alone, or the same
request and seed would not give the same weights. Where a step is small a second thread saves nothing. Measured on two
cores, milliseconds a step, by threads that spin while they wait for each other:

    MLP                                    1 thread   2 threads, quiet   2 threads, others busy
    64-64-64-10, 32 rows    (0.3 M)           0.33          0.35                  9 to 114
    784-512-512-10, 128 rows (86 M)            6.4           4.1                 47 to 320

So those of jobs spin a hundredth as long before they sleep (`processes.SPINS`). The larger of the two again, by how
often they look before they sleep; the first row with the cores to themselves (median of 3), the others of 54 and 102
steps in turn beside other work, and one thread beside it:

                       300,000 (libgomp's)   10,000   3,000   1,000   0 (passive)   1 thread
    quiet                          4.2         6.6     6.1      -         7.0          6.6
    best of the three              3.9         4.6     4.9      -         5.5
    load 6 to 7                     45          35      11     8.2        6.5           13
    load 9 to 11                   193          74      17     8.5        6.9           27
"""

from __future__ import annotations

from typing import Any

from lmaas.types import TrainingRequest
from lmaas_server.engine.data.kinds import network_shape
from lmaas_server.engine.planning import estimate_parameters, output_size
from lmaas_server.engine.registry import ARCHITECTURES

Json = dict[str, Any]

WORTH_SHARING = 8_000_000
"""Parameters times rows of a step, from where a second thread saves time."""
UPDATE_ROWS = 96
"""Of one step of an update: new rows, anchor and reservoir."""


def training_threads(request: TrainingRequest, dataset: Json, most: int) -> int:
    """Return the threads of a training, at most `most`."""
    architecture = request.architecture
    if architecture is None or architecture.type not in ARCHITECTURES:  # a language model tells by its weights, later
        return most
    wanted = ARCHITECTURES[architecture.type].recipe.threads
    if wanted is not None:
        return min(most, wanted)
    if architecture.type != "mlp":  # elsewhere a parameter is used many times a row
        return most
    parameters = estimate_parameters(architecture, network_shape(dataset["input"]), output_size(dataset["target"]))
    return _shared(parameters * (request.batch_size or 1), most)


def update_threads(model: Json, most: int) -> int:
    """Return the threads of an update of the model that a bundle describes."""
    name = model["architecture"]["type"]
    if name == "mlp":
        return _shared(model["parameters"] * UPDATE_ROWS, most)
    return min(most, ARCHITECTURES[name].recipe.threads or most) if name in ARCHITECTURES else most


def _shared(work: int, most: int) -> int:
    return most if work >= WORTH_SHARING else 1
