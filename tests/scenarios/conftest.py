"""Two logical CPUs for the distribution and device scenarios."""

from tests.two_devices import split_the_cpu

split_the_cpu()
