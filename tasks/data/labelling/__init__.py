"""Find a formulary's terms in the texts of a cycle, and write the cycle with its terms."""
