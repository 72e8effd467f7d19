"""Measure nnjit beside its peers; the same as ``nnjit bench``."""
import argparse
import sys

from nnjit import bench

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    bench.add_arguments(parser)
    sys.exit(bench.run(parser.parse_args()))
