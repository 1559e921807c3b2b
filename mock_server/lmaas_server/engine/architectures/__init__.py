"""Network architectures, one file each; sizes are counted without torch, which is imported when a network is built."""
