"""Use cases: each one a class over ports, named after the draft's section it carries out."""
