"""The same training as each peer does it: MLP 784-512-512-10, Adam, batch 128, the test rows after every epoch."""
