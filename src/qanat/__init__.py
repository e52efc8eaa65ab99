"""qanat: the operating stack of quantum-secured networks.

Read ``core`` for the nouns, then follow a bit: ``physics`` -> ``distill`` -> ``km`` -> ``sae``.
Importing this package loads nothing else, so that ``qanat --help`` stays quick.
"""

__version__ = "0.1.0"
