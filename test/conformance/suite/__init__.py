"""What the tests of the conformance suite are written with."""
