"""How fast the machine is at the moment: what a figure in seconds means little without."""

from __future__ import annotations

import time

from bench import peers
from bench.otlp_decode import requests, to_dictionaries

SPANS, BATCH = 20_480, 512


class Machine:
    """Reads spans into plain dictionaries, the least a receiver in Python does, and takes the time."""

    def __init__(self) -> None:
        self._bodies, _ = requests(SPANS, BATCH)

    def dictionary_s_per_1k_spans(self) -> float:
        """CPU seconds for 1,000 spans."""
        began = time.process_time()
        for body in self._bodies:
            to_dictionaries(body)
        return (time.process_time() - began) / SPANS * 1000

    def slower(self) -> float:
        """How many times as long as the peers' machine this one takes now."""
        return self.dictionary_s_per_1k_spans() / peers.DICTIONARY_S_PER_1K_SPANS
