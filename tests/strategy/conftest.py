"""Two logical CPUs, one for each replica."""

from tests.two_devices import split_the_cpu

split_the_cpu()
