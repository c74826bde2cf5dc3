"""Checkpoints: the whole state of training. A kill at any moment loses no older one."""
