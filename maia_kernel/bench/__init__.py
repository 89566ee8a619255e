"""Evaluations of investigating agents. Host side: knows the driver and the torch-free modules of the embedded world."""
