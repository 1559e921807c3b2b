"""What is measured, how, and against what: `make bench`, or `python -m benchmarks NAME ...` for some of it."""
