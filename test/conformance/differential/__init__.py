"""A differential test of two API servers: the same random requests go to both, and everything is compared.

Read `generator` for what is sent, `run` for how, `comparison` and `rules` for what counts as a difference.
"""
