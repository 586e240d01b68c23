"""NVIDIA GPUs through NVML (nvidia-ml-py). docs/gpus.md has the rules."""
